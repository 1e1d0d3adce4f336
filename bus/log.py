"""The event log: its interface, the rules every implementation follows, and the one in memory."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from threading import RLock
from typing import Final, Protocol
from uuid import UUID, uuid4

from .clock import SYSTEM, Clock
from .errors import BusError, Conflict, InvalidParams, TooLarge, Unavailable
from .log_checkpoint import carried
from .log_index import APPEND_WINDOW, AppendWindow, EventIndex, SegmentIndex
from .log_record import JSON, START, Item, NewEvent, Position, Room, StoredEvent, decode, encode

__all__ = [
    "APPEND_WINDOW",
    "JSON",
    "MAX_APPEND_BYTES",
    "READ_BYTES",
    "START",
    "Append",
    "EventLog",
    "Excerpt",
    "Ledger",
    "MemoryLog",
    "NewEvent",
    "Plan",
    "Position",
    "StoredEvent",
    "excerpt",
    "is_stream",
    "up_to",
]

MAX_APPEND_BYTES: Final = 4 << 20
"""The encoded size an append may have; what is larger belongs into a file."""
READ_BYTES: Final = 2 << 20
"""Records that are read at once are not many more bytes than this."""
PAGE: Final = 500
"""Events that are read at once where some are left out."""
COMMIT_BYTES: Final = 8 << 20
"""A transaction is closed when its records reach this size, so that a batch cannot outgrow a segment."""

_STREAM = re.compile(r"[a-z0-9_-]+")


def is_stream(name: str) -> bool:
    """Whether a stream can have this name."""
    return _STREAM.fullmatch(name) is not None


@dataclass(slots=True)
class Append:
    """Events to be stored together, in one stream, once."""

    stream: str
    events: Sequence[NewEvent]
    append_id: UUID
    expected: Position | None = None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Events after a position, from one wall time on and up to another (Unix seconds), of one stream, so many.

    Those of the streams in `without` are left out: who reads on behind the last event misses no other.
    It begins where `EventLog.before` says, and ends before the first event that is later: nothing between is left out.
    """

    after: Position = START
    stream: str | None = None
    limit: int = 500
    since_time: float | None = None
    until_time: float | None = None
    without: frozenset[str] = frozenset()


class EventLog(Protocol):
    """Facts in order. Methods block; they may be called from any thread.

    The position of a stream is the sequence number of its last readable event, 0 when it has none.
    """

    @property
    def epoch(self) -> UUID:
        """A random id made with the log: another epoch is another history, whatever its numbers."""

    def append(
        self, stream: str, events: Sequence[NewEvent], *, append_id: UUID, expected: Position | None = None
    ) -> Position:
        """Store events, durable on return; the position of the last one.

        A repeated `append_id` stores nothing and returns its first position. Conflict when the stream is not at
        `expected`; InvalidParams, TooLarge, OutOfSpace or Unavailable when nothing was stored.
        """

    def commit(self, appends: Sequence[Append], stored: list[StoredEvent] | None = None) -> list[Position | BusError]:
        """The same for a batch in one transaction: a position or the error of each.

        One append that is refused does not fail the others. What was stored is added to `stored`, in sequence.
        """

    def read(self, after: Position = START, *, stream: str | None = None, limit: int = 500) -> Sequence[StoredEvent]:
        """Up to `limit` events with a sequence number greater than `after`, in order.

        Large ones come in smaller numbers (READ_BYTES), but when there are none, none follow.
        """

    def before(self, time: float) -> Position:
        """The position before the first event at or after a wall time (Unix seconds), the head when there is none.

        Clocks can jump back: later events may have earlier times, but none at or after the time is before the position.
        """

    def head(self) -> Position:
        """The sequence number of the last event, 0 when there is none."""

    def position(self, stream: str) -> Position:
        """The position of a stream, for `expected`."""

    def boundaries(self) -> Sequence[Position]:
        """The first sequence number of each segment, the readable part of the log beginning with the first."""

    def trim(self, before: Position, keep: Collection[str], stored: list[StoredEvent] | None = None) -> Position:
        """Drop what lies before a position, in whole segments, and return the first readable position.

        Streams to keep are carried forward first as checkpoint events (`log_checkpoint`), which are added to `stored`;
        of the others only the dropped events are gone.
        """

    def close(self) -> None:
        """Let go of files; nothing else may be called afterwards."""


@dataclass(slots=True)
class Plan:
    """What a transaction is going to change, decided before anything is written."""

    head: Position
    results: list[Position | BusError] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    events: list[StoredEvent] = field(default_factory=list)
    tails: dict[str, Position] = field(default_factory=dict)
    ids: dict[bytes, Position] = field(default_factory=dict)
    size: int = 0


class Ledger:
    """The rules of appending, and what must be known to follow them."""

    __slots__ = ("head", "tails", "window")

    def __init__(self) -> None:
        self.head: Position = START
        self.tails: dict[str, Position] = {}
        self.window = AppendWindow()

    def plan(self, appends: Sequence[Append], now: float) -> Plan:
        """Decide about as many of the appends as fit into one transaction (`len(plan.results)`, at least one)."""
        plan = Plan(self.head)
        for append in appends:
            if plan.size >= COMMIT_BYTES:
                break
            try:
                plan.results.append(self._place(append, plan, now))
            except BusError as error:
                plan.results.append(error)
        return plan

    def apply(self, plan: Plan) -> None:
        """Remember what has been stored."""
        self.head = plan.head
        self.tails.update(plan.tails)
        for append_id, position in plan.ids.items():
            self.window.add(append_id, position)

    def load(self, known: SegmentIndex) -> None:
        """Begin with what an index says of the log at its end."""
        self.head = known.last
        self.tails = dict(known.tails)
        for append_id, position in known.appends:
            self.window.add(append_id, position)

    def forget(self, before: Position) -> None:
        """Streams without an event from `before` on are empty again."""
        self.tails = {stream: tail for stream, tail in self.tails.items() if tail >= before}

    def _place(self, append: Append, plan: Plan, now: float) -> Position:
        key = append.append_id.bytes
        seen = plan.ids.get(key) or self.window.get(key)
        if seen is not None:
            return seen
        stream = append.stream
        if append.expected is not None:
            _require(append, plan.tails.get(stream) or self.tails.get(stream, START))
        events, items, size = _records(append, plan.head, now)
        plan.events += events
        plan.items += items
        plan.size += size
        plan.head += len(items)
        plan.tails[stream] = plan.ids[key] = plan.head
        return plan.head


def _require(append: Append, position: Position) -> None:
    if append.expected != position:
        raise Conflict(f"stream {append.stream} is at {position}, not at {append.expected}")


def _records(append: Append, head: Position, now: float) -> tuple[list[StoredEvent], list[Item], int]:
    if not append.events or not is_stream(append.stream):
        raise InvalidParams("an append needs events and a stream named [a-z0-9_-]+")
    stream, append_id = append.stream, append.append_id
    events: list[StoredEvent] = []
    items: list[Item] = []
    size = 0
    try:
        for seq, event in enumerate(append.events, head + 1):
            stored = StoredEvent(seq, now, stream, event.type, event.actor, event.data, append_id)
            item = encode(stored)
            events.append(stored)
            items.append(item)
            size += len(item[1])
    except TypeError as error:
        raise InvalidParams(f"event data of stream {stream} is not JSON: {error}") from error
    if size > MAX_APPEND_BYTES:
        raise TooLarge(f"an append of {size} bytes is over the limit of {MAX_APPEND_BYTES}")
    return events, items, size


def excerpt(log: EventLog, wanted: Excerpt) -> Sequence[StoredEvent]:
    """The events of an excerpt. Blocks. There are fewer than the limit where they are large, none only at the end."""
    after = wanted.after
    if wanted.since_time is not None:
        after = max(after, log.before(wanted.since_time))
    at_once = max(wanted.limit, PAGE) if wanted.without else wanted.limit
    while page := log.read(after, stream=wanted.stream, limit=at_once):
        events = list(up_to(wanted.until_time, page))
        found = [event for event in events if event.stream not in wanted.without]
        if found or len(events) < len(page):
            return found[: wanted.limit]
        after = page[-1].seq
    return []


def up_to(time: float | None, events: Iterable[StoredEvent]) -> Iterable[StoredEvent]:
    """Events before the first one that is later than a wall time."""
    return events if time is None else takewhile(lambda event: event.time <= time, events)


def only(results: list[Position | BusError]) -> Position:
    """The position of a batch of one, or its error raised."""
    [result] = results
    if isinstance(result, BusError):
        raise result
    return result


class MemoryLog:
    """An event log that ends with the process; it keeps encoded records, so that it refuses what a disk would."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self.epoch = uuid4()
        self._clock = clock
        self._ledger = Ledger()
        self._index = EventIndex()
        self._items: list[Item] = []
        self._first: Position = START + 1
        self._lock = RLock()
        self._open = True

    def append(
        self, stream: str, events: Sequence[NewEvent], *, append_id: UUID, expected: Position | None = None
    ) -> Position:
        return only(self.commit([Append(stream, events, append_id, expected)]))

    def commit(self, appends: Sequence[Append], stored: list[StoredEvent] | None = None) -> list[Position | BusError]:
        results: list[Position | BusError] = []
        with self._lock:
            self._require_open()
            while len(results) < len(appends):
                results += self._store(self._ledger.plan(appends[len(results) :], self._clock.wall()), stored)
        return results

    def _store(self, plan: Plan, stored: list[StoredEvent] | None) -> list[Position | BusError]:
        self._items += plan.items
        for event in plan.events:
            self._index.add(event)
        self._ledger.apply(plan)
        if stored is not None:
            stored += plan.events
        return plan.results

    def read(self, after: Position = START, *, stream: str | None = None, limit: int = 500) -> Sequence[StoredEvent]:
        with self._lock:
            self._require_open()
            start, limit = max(after - self._first + 1, 0), max(limit, 0)
            room = Room(READ_BYTES)
            if stream is None:
                return decode(room.take(self._items[start : start + limit]))
            found = self._index.after(stream, max(after, self._first - 1), limit)
            return decode(room.take(self._items[seq - self._first] for seq in found))

    def before(self, time: float) -> Position:
        with self._lock:
            self._require_open()
            later = (event.seq for event in decode(self._items) if event.time >= time)
            return next(later, self._ledger.head + 1) - 1

    def head(self) -> Position:
        return self._ledger.head

    def position(self, stream: str) -> Position:
        return self._ledger.tails.get(stream, START)

    def boundaries(self) -> Sequence[Position]:
        return (self._first,)

    def trim(self, before: Position, keep: Collection[str], stored: list[StoredEvent] | None = None) -> Position:
        with self._lock:
            boundary = max(min(before, self._ledger.head + 1), self._first)
            for stream in sorted(keep):
                for event in carried(partial(self.read, stream=stream), boundary):
                    only(self.commit([Append(stream, [event], uuid4())], stored))
            del self._items[: boundary - self._first]
            self._first = boundary
            self._ledger.forget(boundary)
            return boundary

    def close(self) -> None:
        self._open = False

    def _require_open(self) -> None:
        if not self._open:
            raise Unavailable("the event log is closed")
