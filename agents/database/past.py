"""What the log tells about earlier times: the changes of one key, and how to keep only the present. All blocks."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from bus.fold import history, upcast
from bus.log import EventLog, NewEvent, StoredEvent
from bus.log_checkpoint import checkpoint

from .chronicle import COMPACTED, SET, STREAM, Namespaces
from .places import Place
from .tree import portions

ANSWER_BYTES: Final = 512 << 10
"""Values of one answer; what does not fit is answered when it is asked for again."""
PORTION: Final = 1 << 20
"""Bytes of a value that one fact states anew."""

NOBODY = UUID(int=0)

Stamp = tuple[int, float, Any]  # number, time and actor of an event


@dataclass(frozen=True, slots=True)
class Change:
    """What a key became; None where it was gone."""

    seq: int
    time: float
    actor: Any
    text: bytes | None

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return len(self.text or b"")


def as_it_was(place: Place, log: EventLog, *, seq: int | None = None, time: float | None = None) -> Namespaces:
    """A place and what is around it as they were after an event or at a time (Unix seconds)."""
    fold = Namespaces()
    for event in _facts(log):
        if (seq is not None and event.seq > seq) or (time is not None and event.time > time):
            break
        if event.type == COMPACTED or _concerns(event, place):
            fold.apply(event)
    return fold


def _concerns(event: StoredEvent, place: Place) -> bool:
    """Whether a fact is about a place, or about what is in it or around it."""
    data: Any = event.data
    if event.type == COMPACTED:
        return False
    there = Place(data["namespace"], tuple(data["key"]))
    return there.leads_to(place) or place.leads_to(there)


def changes(place: Place, before: int | None, limit: int, log: EventLog) -> tuple[list[Change], bool]:
    """The last changes of a key before an event, newest first, and whether there were more."""
    found: deque[Change] = deque()
    size, more = 0, False
    for change in _changes(place, before, log):
        found.append(change)
        size += change.size
        while len(found) > limit or (size > ANSWER_BYTES and len(found) > 1):
            size -= found.popleft().size
            more = True
    return list(reversed(found)), more


def _changes(place: Place, before: int | None, log: EventLog) -> Iterator[Change]:
    fold, text = Namespaces(), None
    for event in _facts(log):
        if before is not None and event.seq >= before:
            return
        if not _concerns(event, place):
            continue
        fold.apply(event)
        now = fold.find(place.namespace, place.path)
        if now != text:
            text = now
            yield Change(event.seq, event.time, event.actor, text)


def restated(now: Namespaces, log: EventLog) -> tuple[list[NewEvent], int, int]:
    """The present as a checkpoint of the stream, and how many bytes there are to be kept before and after it."""
    last: dict[tuple[str, str], Stamp] = {}
    marks: list[StoredEvent] = []
    before = 0
    for event in _facts(log):
        before += _size(event)
        data: Any = event.data
        if event.type == COMPACTED:
            marks = [event]
        else:
            last[data["namespace"], data["key"][0]] = event.seq, event.time, event.actor
    kept = [
        _stated(last[name, path[0]], name, path, text)
        for name in now.names()
        for path, text in portions(now.members(name), PORTION)
    ]
    kept = sorted([*kept, *marks], key=lambda event: event.seq)
    return checkpoint(kept), before, sum(map(_size, kept))


def _facts(log: EventLog) -> Iterator[StoredEvent]:
    return map(upcast, history(log, {STREAM}))


def _stated(stamp: Stamp, namespace: str, path: list[str], text: bytes) -> StoredEvent:
    """A value as the last fact about its top-level key could have set it."""
    seq, time, actor = stamp
    data: Any = {"namespace": namespace, "key": path, "value": orjson.Fragment(text)}
    return StoredEvent(seq, time, STREAM, SET, actor, data, NOBODY)


def _size(event: StoredEvent) -> int:
    return len(orjson.dumps([event.seq, event.time, event.type, event.actor, event.data]))


def shown(change: Change) -> dict[str, Any]:
    """A change as clients see it."""
    about = {"seq": change.seq, "time": change.time, "actor": change.actor}
    return about if change.text is None else {**about, "value": orjson.Fragment(change.text)}
