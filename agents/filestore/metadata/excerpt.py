"""Reads what slicers write about a print: the beginning and the end of its file, however long it is."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

HEAD_BYTES = 4 << 20  # the comments before the first command, with the pictures in them
START_BYTES = 256 << 10  # of what follows them: the start gcode and the first layer
TAIL_BYTES = 1 << 20  # the end gcode, and the settings of most slicers
MAX_PICTURES = 16
FIRST_COMMAND = re.compile(rb"\n(?:\xef\xbb\xbf)?[ \t]*([A-Za-z_])")  # begins with a newline: much is searched
LAST_COMMAND = re.compile(rb"(?:.*\n|\A)[ \t]*[A-Za-z_][^\n]*(?:\n|\Z)", re.DOTALL)
COMMENT = re.compile(r"^;[^\n]*", re.MULTILINE)
NOTE = re.compile(r"^;[ \t]*([^\W\d_][^=:,\n]{0,63}?)[ \t]{0,64}[=:,][ \t]*([^\n]{0,8192})", re.MULTILINE)
SETTINGS_BEGIN = re.compile(r"^; (?:\w{1,32}_config = begin|CONFIG_BLOCK_START)", re.MULTILINE)
SETTINGS_END = re.compile(r"^; (?:\w{1,32}_config = end|CONFIG_BLOCK_END)", re.MULTILINE)
LAYER = re.compile(
    r"^;[ \t]*(?:Z|Z_HEIGHT|layer \d+, Z|(?:BEGIN|END)_LAYER_OBJECT z)[ \t]*[:=][ \t]*"
    r"(\d{1,5}(?:\.\d{1,6})?|\.\d{1,6})",
    re.MULTILINE,
)
PICTURE = re.compile(rb"\n;[ \t]*(thumbnail(?:_[A-Z]{3})?|png|jpg) begin([^\n]*)")


class PictureBlock(NamedTuple):
    """Where the lines of a picture begin and end, what the first one says, and the others."""

    start: int
    stated: bytes
    lines: bytes
    end: int


@dataclass(frozen=True)
class Excerpt:
    """Beginning and end of a gcode file as text, what its comments say, and where its commands are."""

    pictures: Sequence[PictureBlock]
    opening: str  # the comments before the first command, without pictures, and what follows it
    ending: str
    start: int | None  # where the first command begins
    end: int | None  # where the last command's line ends

    @cached_property
    def remarks(self) -> tuple[str, str]:
        """The comment lines of the opening and of the ending."""
        return "\n".join(COMMENT.findall(self.opening)), "\n".join(COMMENT.findall(self.ending))

    @cached_property
    def notes(self) -> dict[str, str]:
        """The values of comments such as `; name = value`, by lower-case name; the last one counts, or the slicer's."""
        parts = [*self.remarks, *map(_settings, self.remarks)]
        return {name.lower(): value.strip() for part in parts for name, value in NOTE.findall(part)}

    @cached_property
    def heights(self) -> tuple[list[float], list[float]]:
        """The heights of layers in the opening and in the ending, mm."""
        opening, ending = ([float(z) for z in LAYER.findall(part)] for part in self.remarks)
        return opening, ending


def excerpt(file: int) -> Excerpt:
    """Reads at most some megabytes of an open file; raises OSError."""
    size = os.fstat(file).st_size
    head = b"\n" + os.pread(file, HEAD_BYTES, 0)  # so that each of its lines follows a newline
    first = FIRST_COMMAND.search(head)
    offset = max(size - TAIL_BYTES, 0)
    tail = os.pread(file, TAIL_BYTES, offset)
    last = LAST_COMMAND.match(tail)
    pictures = picture_blocks(head)
    return Excerpt(
        [*pictures, *picture_blocks(tail, max(HEAD_BYTES - offset, 0))][:MAX_PICTURES],
        _text(_opening(head, first.start(1) if first else len(head), pictures)),
        _text(tail),
        start=first.start(1) - 1 if first else None,
        end=offset + last.end() if last else None,
    )


def picture_blocks(lines: bytes, position: int = 0) -> list[PictureBlock]:
    """Where the pictures are in some lines, behind the first newline."""
    found: list[PictureBlock] = []
    while len(found) < MAX_PICTURES and (begin := PICTURE.search(lines, position)):
        end = lines.find(b"; " + begin[1] + b" end", begin.end())
        position = end if end >= 0 else begin.end()
        found.append(PictureBlock(begin.start() + 1, begin[2], lines[begin.end() : position], position))
    return found


def _opening(head: bytes, first: int, pictures: Sequence[PictureBlock]) -> bytes:
    """The beginning until some bytes after the first command, without pictures, which would be read for nothing."""
    kept, position, length = [], 0, first + START_BYTES
    for picture in pictures:
        kept.append(head[position : picture.start])
        position = picture.end
        if picture.start < first:
            length -= picture.end - picture.start
    rest = max(length - sum(map(len, kept)), 0)
    return b"".join([*kept, head[position : position + rest]])[:length].lstrip(b"\n")


def _settings(comments: str) -> str:
    """The block in which a slicer has written its settings, without what others have around it; or an empty text."""
    begin = SETTINGS_BEGIN.search(comments)
    end = SETTINGS_END.search(comments, begin.end()) if begin else None
    return comments[begin.end() : end.start()] if begin and end else ""


def _text(data: bytes) -> str:
    return data.replace(b"\r\n", b"\n").decode("utf-8-sig", errors="replace")
