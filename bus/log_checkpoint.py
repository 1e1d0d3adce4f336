"""Carrying a stream forward when the segments that hold it are dropped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import orjson

from .log_record import START, NewEvent, Position, StoredEvent

CHECKPOINT: Final = "log.checkpoint.1"
"""Its data repeats earlier events of its stream: `{part, parts, events: [[seq, time, type, actor, data], ...]}`."""
PART_BYTES: Final = 512 << 10

Read = Callable[[Position], Sequence[StoredEvent]]


def whole_stream(read: Read, after: Position = START) -> Iterator[StoredEvent]:
    """All events that `read(after)` gives, page by page."""
    while page := read(after):
        yield from page
        after = page[-1].seq


def expand(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """The events of one stream with its checkpoints replaced by what they repeat, for a fold from the start.

    A checkpoint stands for everything before it; one that was not finished stands for nothing.
    """
    known = list(events)
    begin, parts = _last_finished(known)
    return list(_expanded((event for event in known if event.seq >= begin), parts))


def whole_history(read: Read) -> Iterator[StoredEvent]:
    """The same of all that `read(after)` gives, which is read twice and never all in memory."""
    begin, parts = _last_finished(whole_stream(read))
    return _expanded(whole_stream(read, max(begin - 1, START)), parts)


def _expanded(events: Iterable[StoredEvent], parts: int) -> Iterator[StoredEvent]:
    """What events amount to that begin with a finished checkpoint of so many parts."""
    for event in events:
        if event.type != CHECKPOINT:
            if not parts:
                yield event
        elif parts:
            yield from _repeated(event)
            parts -= 1


def _last_finished(events: Iterable[StoredEvent]) -> tuple[Position, int]:
    """Where the last finished checkpoint begins, and how many parts it has; zeros where there is none."""
    found, begin, known = (START, 0), START, 0
    for event in events:
        if event.type != CHECKPOINT:
            continue
        data: Any = event.data
        if data["part"] == 0:
            begin, known = event.seq, 1
        else:
            known = known + 1 if known and data["part"] == known else 0
        if known and known == data["parts"]:
            found, known = (begin, known), 0
    return found


def checkpoint(events: Sequence[StoredEvent]) -> list[NewEvent]:
    """The checkpoint events that repeat these events, to be appended one by one."""
    rows = [[event.seq, event.time, event.type, event.actor, event.data] for event in events]
    parts: list[list[Any]] = [[]]
    size = 0
    for row in rows:
        size += len(orjson.dumps(row))
        if size > PART_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(row)
    return [
        NewEvent(CHECKPOINT, {"part": number, "parts": len(parts), "events": part}) for number, part in enumerate(parts)
    ]


def carried(read: Read, boundary: Position) -> list[NewEvent]:
    """The checkpoint of a stream that would lose events before `boundary`; empty when it loses none."""
    stored = list(whole_stream(read))
    if not stored or stored[0].seq >= boundary:
        return []
    return checkpoint(expand(stored))


def _repeated(part: StoredEvent) -> Iterator[StoredEvent]:
    data: Any = part.data
    for seq, time, kind, actor, fields in data["events"]:
        yield StoredEvent(seq, time, part.stream, kind, actor, fields, part.append_id)
