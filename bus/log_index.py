"""What a log remembers besides its records: where each stream's events are, and which appends it has seen."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from zlib import crc32

import orjson

from .log_files import index_path, write_durably
from .log_record import Position, StoredEvent, Summary

APPEND_WINDOW: Final = 8192
"""A repeated append is recognised while it is among this many latest appends (and for up to twice as many)."""
INDEX_FORMAT: Final = 2
TIME_MARK: Final = 256
"""Events from one note of the time to the next."""


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


class EventIndex:
    """In one stretch of the log: the sequence numbers of each stream, and the latest time so far at every TIME_MARK-th
    event. Clocks jump back, the latest time so far does not, so what came at or after a time is found and never missed.
    """

    __slots__ = ("_count", "latest", "marks", "streams")

    def __init__(self) -> None:
        self.streams: dict[str, array[int]] = {}
        self.marks: array[float] = array("d")
        self.latest = 0.0
        self._count = 0

    def add(self, event: StoredEvent | Summary) -> None:
        """Note the next event."""
        found = self.streams.get(event.stream)
        if found is None:
            found = self.streams[event.stream] = array("Q")
        found.append(event.seq)
        self.latest = max(self.latest, event.time)
        if not self._count % TIME_MARK:
            self.marks.append(self.latest)
        self._count += 1

    def before(self, time: float) -> int:
        """How many events from the beginning on are all before a time; the first that is not is among the next ones."""
        return max(bisect_left(self.marks, time) - 1, 0) * TIME_MARK

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

    def saved(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        streams = {stream: found.tolist() for stream, found in self.streams.items()}
        return {"streams": streams, "marks": self.marks.tolist(), "latest": self.latest}

    @classmethod
    def restored(cls, saved: dict[str, Any]) -> Self:
        """The index that was saved."""
        made = cls()
        made.streams = {stream: array("Q", seqs) for stream, seqs in saved["streams"].items()}
        made.marks = array("d", saved["marks"])
        made.latest = saved["latest"]
        made._count = sum(map(len, made.streams.values()))
        return made


@dataclass(slots=True)
class SegmentIndex:
    """The index of one segment, and what holds for the whole log at its end (`tails`, `appends`).

    `size` and `mtime_ns` are the segment file's when the index was written; `digest` (SHA-256) is of the sealed file;
    `latest` is the latest time of an event in it.
    """

    first: Position
    last: Position
    size: int = 0
    mtime_ns: int = 0
    digest: str | None = None
    latest: float = 0.0
    tails: dict[str, Position] = field(default_factory=dict)
    appends: list[tuple[bytes, Position]] = field(default_factory=list)
    index: EventIndex = field(default_factory=EventIndex)

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
        head: dict[str, Any] = {"format": INDEX_FORMAT, "first": self.first, "last": self.last, "size": self.size}
        head |= {"mtime_ns": self.mtime_ns, "digest": self.digest, "latest": self.index.latest}
        known = {"tails": self.tails, "appends": [(key.hex(), position) for key, position in self.appends]}
        return head, known, self.index.saved()


def load_head(segment: Path) -> SegmentIndex | None:
    """First, last, size and digest only (the rest can be a megabyte of JSON); None without a sound index."""
    return _load(segment, whole=False)


def load(segment: Path) -> SegmentIndex | None:
    """The whole index of a segment; None when there is none, or it is damaged."""
    return _load(segment, whole=True)


def _load(segment: Path, *, whole: bool) -> SegmentIndex | None:
    try:
        lines = index_path(segment).read_bytes().splitlines()
        head, known, index = [_sound(line) for line in lines]
        fields = orjson.loads(head)
    except (OSError, ValueError):
        return None
    if fields.pop("format") != INDEX_FORMAT:
        return None
    found = SegmentIndex(**fields)
    if whole:
        known = orjson.loads(known)
        found.tails = known["tails"]
        found.appends = [(bytes.fromhex(key), position) for key, position in known["appends"]]
        found.index = EventIndex.restored(orjson.loads(index))
    return found


def _line(part: object) -> bytes:
    body = orjson.dumps(part)
    return b"%08x %s\n" % (crc32(body), body)


def _sound(line: bytes) -> Any:
    check, _, body = line.partition(b" ")
    if check != b"%08x" % crc32(body):
        raise ValueError("an index line is damaged")
    return body


def build(first: Position, records: Sequence[Summary]) -> SegmentIndex:
    """The index of records."""
    made = SegmentIndex(first, first - 1)
    window = AppendWindow()
    for record in records:
        made.index.add(record)
        window.add(record.append_id, record.seq)
        made.last = record.seq
    made.latest = made.index.latest
    made.tails, made.appends = made.index.tails(), window.latest()
    return made
