"""Carrying a stream forward when the segments that hold it are dropped."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import orjson

from .log_record import START, NewEvent, Position, StoredEvent

CHECKPOINT: Final = "log.checkpoint.1"
"""Its data repeats earlier events of its stream: `{part, parts, events: [[seq, time, type, actor, data], ...]}`."""
PART_BYTES: Final = 512 << 10

Read = Callable[[Position], Sequence[StoredEvent]]


def whole_stream(read: Read) -> Iterator[StoredEvent]:
    """All events that `read(after)` gives, page by page."""
    after = START
    while page := read(after):
        yield from page
        after = page[-1].seq


def expand(events: Iterable[StoredEvent]) -> list[StoredEvent]:
    """The events of one stream with its checkpoints replaced by what they repeat, for a fold from the start.

    A checkpoint stands for everything before it; one that was not finished stands for nothing.
    """
    done: list[StoredEvent] = []
    parts: list[StoredEvent] = []
    for event in events:
        if event.type != CHECKPOINT:
            done.append(event)
            continue
        data: Any = event.data
        parts = [*parts, event] if data["part"] == len(parts) and parts else [event]
        if len(parts) == data["parts"] and parts[0].data["part"] == 0:
            done, parts = [repeated for part in parts for repeated in _repeated(part)], []
    return done


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
