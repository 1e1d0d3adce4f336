"""Status queries and subscriptions: answered on a 4 Hz tick that only runs while there is somebody to answer."""

from collections.abc import Callable
from typing import NamedTuple

from .loop import Loop, Timer
from .objects import Objects, Status

TICK = 0.25

Wanted = dict[str, list[str] | None]
"""Fields by object; None means all of them."""
Answer = Callable[[dict[str, object]], None]


class Query(NamedTuple):
    """A query that waits for the tick; `subscriber` is whose subscription it becomes, if any."""

    wanted: Wanted
    answer: Answer
    subscriber: object | None
    update: Answer


class Subscriptions:
    """Keeps one subscription for each subscriber; updates carry only fields that changed since the tick before."""

    def __init__(self, loop: Loop, objects: Objects, prepare: Callable[[], None]) -> None:
        self._loop = loop
        self._objects = objects
        self._prepare = prepare
        self._pending: list[Query] = []
        self._subscribed: dict[object, tuple[Wanted, Answer]] = {}
        self._last: dict[str, Status] = {}
        self._timer: Timer | None = None

    def query(self, wanted: Wanted, answer: Answer) -> None:
        """Answer once with the full status of these fields."""
        self._add(Query(wanted, answer, None, answer))

    def subscribe(self, subscriber: object, wanted: Wanted, answer: Answer, update: Answer) -> None:
        """Answer once with the full status, then call `update` with changes; replaces the subscriber's old one."""
        self._subscribed.pop(subscriber, None)
        self._add(Query(wanted, answer, subscriber, update))

    def drop(self, subscriber: object) -> None:
        """The subscriber is gone."""
        self._subscribed.pop(subscriber, None)
        self._pending = [query for query in self._pending if query.subscriber is not subscriber]

    def stop(self) -> None:
        """Answer nobody any more (restart)."""
        if self._timer is not None:
            self._timer.cancel()
        self._pending.clear()
        self._subscribed.clear()

    def _add(self, query: Query) -> None:
        self._pending.append(query)
        if self._timer is None:
            self._timer = self._loop.call_later(0.0, self._tick)

    def _tick(self) -> None:
        """As in Klipper the timer runs once more after the last query, so queries in a row wait for it."""
        now = self._loop.clock.now()
        pending, self._pending = self._pending, []
        if not pending and not self._subscribed:
            self._timer = None
            self._last = {}
            return
        self._timer = self._loop.call_at(now + TICK, self._tick)
        self._prepare()
        current: dict[str, Status] = {}
        self._send_updates(now, current)
        for query in pending:
            self._answer(query, now, current)
        self._last = current

    def _send_updates(self, now: float, current: dict[str, Status]) -> None:
        changed: dict[str, Status] = {}
        for wanted, update in list(self._subscribed.values()):
            status: dict[str, object] = {}
            for name, fields in wanted.items():
                if name not in changed:
                    changed[name] = self._changes(name, self._read(name, now, current))
                if mine := _pick(changed[name], fields):
                    status[name] = mine
            if status:
                update({"eventtime": now, "status": status})

    def _changes(self, name: str, status: Status) -> Status:
        last = self._last.get(name)
        if last is None or last is status:
            return status if last is None else {}
        return {field: value for field, value in status.items() if field not in last or last[field] != value}

    def _read(self, name: str, now: float, current: dict[str, Status]) -> Status:
        if name not in current:
            current[name] = self._objects.status(name, now)
        return current[name]

    def _answer(self, query: Query, now: float, current: dict[str, Status]) -> None:
        status: dict[str, object] = {}
        for name, fields in query.wanted.items():
            found = self._read(name, now, current)
            status[name] = found if fields is None else {field: found.get(field) for field in fields}
        query.answer({"eventtime": now, "status": status})
        if query.subscriber is not None:
            self._subscribed[query.subscriber] = (query.wanted, query.update)


def _pick(changes: Status, fields: list[str] | None) -> Status:
    if fields is None or not changes:
        return changes
    return {field: changes[field] for field in fields if field in changes}
