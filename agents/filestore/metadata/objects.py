"""Adds the commands by which Klipper can leave out single objects of a print, where the slicer has only marked them.

preprocess-cancellation knows what each slicer's marks mean and writes the commands, but reads every move, at 10 MB/s.
So it gets an extract: the marks, and of the moves between them those that are farthest out. What it adds to the extract
is then copied to the same places of the file.
"""

import importlib.util
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

Progress = Callable[[float], None]

LIBRARY = "preprocess_cancellation"
COMMENTED = "; "  # before commands that it replaces
BLOCK = 4 << 20
MAX_LINES = 750_000  # of the extract
OUTLINE_BYTES = 8 << 20  # of moves that are read for outlines: the first layers, and an even choice of the others
FIRST_LAYERS = 2  # of every object, which are read in any case
MAX_LINE = 8 << 20  # bytes
MARK = re.compile(
    rb"\n(; printing object |; stop printing object |;MESH:|;TIME_ELAPSED:|;PRINTING:|;PRINTING_ID:|;TOTAL_NUM:"
    rb"|;REMAINING_TIME:|M486|EXCLUDE_OBJECT_DEFINE|DEFINE_OBJECT)[^\n]*"
)
DONE = (b"EXCLUDE_OBJECT_DEFINE", b"DEFINE_OBJECT")
DIALECTS = {  # the library's function for each kind of mark
    b"; printing object ": "preprocess_slicer",
    b";MESH:": "preprocess_cura",
    b";PRINTING_ID:": "preprocess_ideamaker",
    b"M486": "preprocess_m486",
}
NOTHING = re.compile(
    rb"; stop printing object |;MESH:NONMESH|;PRINTING_ID: ?-1|M486 S-1"
)  # after it, no object is printed
TOO_MANY = re.compile(rb"M486[^;]* T *0*[1-9]\d{4}")  # the library would make all of them
NAMED = re.compile(rb"; printing object |;MESH:|;PRINTING_ID:|M486 S")
MOVE = re.compile(rb"\nG[0-3] (?:F\S+ )?X(-?\d{0,6}\.?\d{1,6}) Y(-?\d{0,6}\.?\d{1,6})[^\n;]* E(?=\d*\.?\d*[1-9])")


class Line(NamedTuple):
    """One line of the extract, and where in the file that ends for which it stands."""

    text: str
    end: int


class Insertion(NamedTuple):
    """Text to be added, and the offset in the file before which it goes."""

    offset: int
    text: bytes


class Extract:
    """The lines of a gcode file that say where objects begin and end, and how far they reach.

    `first` is the offset of the first command: objects are defined before it.
    """

    def __init__(self, size: int, first: int) -> None:
        self.lines: list[Line] = []
        self.dialect = ""
        self._size = size
        self._first = first
        self._stride = 1 + size // OUTLINE_BYTES
        self._parts: dict[bytes, int] = {}  # of each object, how many have been met
        self._object = b""

    def add(self, block: bytes, base: int) -> bool:
        """Adds the lines of a block; False where the file defines objects already, or is beyond bounds."""
        position = 0
        for mark in MARK.finditer(block):
            if mark[1] in DONE or len(self.lines) > MAX_LINES:
                return False
            self._add_between(block, position, mark.start(), base)
            self._add_mark(mark, base)
            position = mark.end()
        self._add_between(block, position, len(block), base)
        return True

    def _add_mark(self, mark: re.Match[bytes], base: int) -> None:
        line = mark[0][1:]
        if TOO_MANY.match(line):
            raise ValueError("more objects than fit on a bed")
        if mark[1] == b"M486" or not self.dialect:
            self.dialect = DIALECTS.get(mark[1], self.dialect)
        if NOTHING.match(line):
            self._object = b""
        elif NAMED.match(line):
            self._object = line
        self._append(line, base + mark.end())

    def _add_between(self, block: bytes, begin: int, end: int, base: int) -> None:
        """Adds what stands for the lines between two marks; `begin` and `end` are at newlines."""
        first = self._first - base
        if begin < first < end:
            after = block.find(b"\n", first, end)
            before, after = block.rfind(b"\n", begin, first), after if after >= 0 else end
            self._append(b"; -", base + before)
            self._append(block[before + 1 : after], base + after)
            begin = after
        if begin < end:
            self._add_outline(block[begin:end], base + end)
            self._append(b"; -", base + end)

    def _add_outline(self, moves: bytes, end: int) -> None:
        if not self._object:
            return
        count = self._parts[self._object] = self._parts.get(self._object, 0) + 1
        if count <= FIRST_LAYERS or count % self._stride == 0:
            for x, y in farthest(moves):
                self._append(b"G1 X%b Y%b E1" % (x, y), end)

    def _append(self, line: bytes, newline: int) -> None:
        self.lines.append(Line(line.decode(errors="surrogateescape"), min(newline + 1, self._size)))


def farthest(moves: bytes) -> list[tuple[bytes, bytes]]:
    """The points of extrusions which are farthest out in each direction."""
    points = MOVE.findall(moves)
    axes = [list(map(float, values)) for values in zip(*points, strict=True)]
    places = {axis.index(extreme(axis)) for axis in axes for extreme in (min, max)}
    return [points[place] for place in sorted(places)]


def blocks(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """A file in blocks of whole lines with their offsets; each begins with the newline before it, none ends with one.

    Raises ValueError for a line without end.
    """
    offset, rest = -1, b"\n"
    source.seek(0)
    while data := source.read(BLOCK):
        lines, newline, begun = (rest + data).rpartition(b"\n")
        if lines:
            yield offset, lines
        offset += len(lines)
        rest = newline + begun
        if len(rest) > MAX_LINE:
            raise ValueError("a line is too long for gcode")
    if len(rest) > 1:
        yield offset, rest


def available() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec(LIBRARY) is not None


def find(source: BinaryIO, size: int, first: int, progress: Progress) -> list[Insertion]:
    """The commands that a gcode file lacks; none where it defines objects itself, or marks none.

    `first` is the offset of its first command. Raises OSError, and ValueError for marks that make no sense.
    """
    extract = Extract(size, first)
    for base, block in blocks(source):
        if not extract.add(block, base):
            return []
        progress((base + len(block)) / size)
    if not extract.dialect:
        return []
    return list(inserted(extract.lines, _processed(extract)))


def _processed(extract: Extract) -> list[str]:
    """The extract with the library's additions."""
    import preprocess_cancellation as library

    text = "".join(line.text + "\n" for line in extract.lines)
    try:
        return "".join(getattr(library, extract.dialect)(io.StringIO(text, newline="\n"))).split("\n")[:-1]
    except (AssertionError, LookupError, RuntimeError, UnboundLocalError) as error:  # its ways to give up
        raise ValueError("the marks of objects make no sense") from error


def inserted(lines: Sequence[Line], output: Iterable[str]) -> Iterator[Insertion]:
    """What an output has beyond the lines that went in, by places in the file; raises ValueError if it lacks some."""
    offset, count = 0, 0
    for text in output:
        expected = lines[count].text if count < len(lines) else ""
        if not expected or text not in (expected, COMMENTED + expected):
            yield Insertion(offset, f"{text}\n".encode(errors="surrogateescape"))
            continue
        if text != expected:
            yield Insertion(offset, COMMENTED.encode())
        offset = lines[count].end
        count += 1
    if count != len(lines):
        raise ValueError("the marks of objects were lost")


def insert(source: BinaryIO, size: int, target: BinaryIO, insertions: Iterable[Insertion], progress: Progress) -> None:
    """Copies a file with the insertions; raises OSError."""
    source.seek(0)
    position, last = 0, b"\n"
    for offset, text in insertions:
        for block in _read(source, offset - position):
            target.write(block)
            last = block[-1:]
        if offset == size and last != b"\n":
            text, last = b"\n" + text, b"\n"
        target.write(text)
        position = offset
        progress(position / size)
    for block in _read(source, size - position):
        target.write(block)


def _read(source: BinaryIO, count: int) -> Iterator[bytes]:
    while count > 0 and (block := source.read(min(count, BLOCK))):
        count -= len(block)
        yield block
