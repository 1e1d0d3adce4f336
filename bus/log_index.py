"""What a log remembers besides its records: where each stream's events are, and which appends it has seen."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import orjson

from .log_files import index_path, write_durably
from .log_record import Position

APPEND_WINDOW: Final = 8192
"""A repeated append is recognised while it is among this many latest appends (and for up to twice as many)."""
INDEX_FORMAT: Final = 1


class AppendWindow:
    """The positions of the latest appends, by id: two generations, the older dropped when the younger is full."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._old: dict[bytes, Position] = {}
        self._young: dict[bytes, Position] = {}

    def get(self, append_id: bytes) -> Position | None:
        """The position that this append got, if it is still remembered."""
        return self._young.get(append_id) or self._old.get(append_id)

    def add(self, append_id: bytes, position: Position) -> None:
        """Remember an append; the oldest generation is forgotten at the bound."""
        if len(self._young) >= APPEND_WINDOW and append_id not in self._young:
            self._old, self._young = self._young, {}
        self._young[append_id] = position

    def latest(self) -> list[tuple[bytes, Position]]:
        """The last APPEND_WINDOW appends, oldest first."""
        return [*self._old.items(), *self._young.items()][-APPEND_WINDOW:]


class StreamIndex:
    """The sequence numbers of each stream in one stretch of the log."""

    __slots__ = ("streams",)

    def __init__(self) -> None:
        self.streams: dict[str, array[int]] = {}

    def add(self, stream: str, seq: Position) -> None:
        """Note the next event of a stream."""
        found = self.streams.get(stream)
        if found is None:
            found = self.streams[stream] = array("Q")
        found.append(seq)

    def after(self, stream: str, after: Position, limit: int) -> Sequence[Position]:
        """Up to `limit` sequence numbers of a stream greater than `after`."""
        found = self.streams.get(stream)
        if found is None:
            return ()
        start = bisect_right(found, after)
        return found[start : start + limit]

    def tails(self) -> dict[str, Position]:
        """The last sequence number of each stream."""
        return {stream: found[-1] for stream, found in self.streams.items()}


@dataclass(slots=True)
class SegmentIndex:
    """The index of one segment, and what holds for the whole log at its end (`tails`, `appends`).

    `size` and `mtime_ns` are the segment file's when the index was written; `digest` (SHA-256) is of the sealed file.
    """

    first: Position
    last: Position
    size: int = 0
    mtime_ns: int = 0
    digest: str | None = None
    tails: dict[str, Position] = field(default_factory=dict)
    appends: list[tuple[bytes, Position]] = field(default_factory=list)
    index: StreamIndex = field(default_factory=StreamIndex)

    def follow(self, earlier: "SegmentIndex") -> None:
        """Add what the log knew at the end of the segment before this one."""
        self.tails = earlier.tails | self.tails
        self.appends = (earlier.appends + self.appends)[-APPEND_WINDOW:]

    def fits(self, segment: Path) -> bool:
        """Whether the segment file is as it was when this was written."""
        status = segment.stat()
        return (self.size, self.mtime_ns) == (status.st_size, status.st_mtime_ns)

    def save(self, segment: Path, digest: str | None = None) -> None:
        """Write the index file beside its segment, durably."""
        status = segment.stat()
        self.size, self.mtime_ns, self.digest = status.st_size, status.st_mtime_ns, digest
        write_durably(index_path(segment), b"".join(_line(part) for part in self._parts()))

    def _parts(self) -> tuple[Any, ...]:
        head = {"format": INDEX_FORMAT, "first": self.first, "last": self.last, "size": self.size}
        known = {"tails": self.tails, "appends": [(key.hex(), position) for key, position in self.appends]}
        places = {stream: found.tolist() for stream, found in self.index.streams.items()}
        return head | {"mtime_ns": self.mtime_ns, "digest": self.digest}, known, places


def load_head(segment: Path) -> SegmentIndex | None:
    """First, last, size and digest only (the rest can be a megabyte of JSON); None without a sound index."""
    return _load(segment, whole=False)


def load(segment: Path) -> SegmentIndex | None:
    """The whole index of a segment; None when there is none, or it is damaged."""
    return _load(segment, whole=True)


def _load(segment: Path, *, whole: bool) -> SegmentIndex | None:
    try:
        lines = index_path(segment).read_bytes().splitlines()
        head, known, places = [_sound(line) for line in lines]
        fields = orjson.loads(head)
    except (OSError, ValueError):
        return None
    if fields.pop("format") != INDEX_FORMAT:
        return None
    found = SegmentIndex(**fields)
    if whole:
        known, places = orjson.loads(known), orjson.loads(places)
        found.tails = known["tails"]
        found.appends = [(bytes.fromhex(key), position) for key, position in known["appends"]]
        found.index.streams = {stream: array("Q", seqs) for stream, seqs in places.items()}
    return found


def _line(part: object) -> bytes:
    body = orjson.dumps(part)
    return b"%08x %s\n" % (crc32(body), body)


def _sound(line: bytes) -> Any:
    check, _, body = line.partition(b" ")
    if check != b"%08x" % crc32(body):
        raise ValueError("an index line is damaged")
    return body


def build(first: Position, records: Sequence[tuple[Position, str, bytes]]) -> SegmentIndex:
    """The index of records given as (seq, stream, append id)."""
    made = SegmentIndex(first, first - 1)
    window = AppendWindow()
    for seq, stream, append_id in records:
        made.index.add(stream, seq)
        window.add(append_id, seq)
        made.last = seq
    made.tails, made.appends = made.index.tails(), window.latest()
    return made
