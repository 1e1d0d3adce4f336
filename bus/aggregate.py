"""State that one agent decides about: a fold of one stream, restored from the log and changed by durable facts only."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar
from uuid import UUID

from schemas import server

from .agent import Actor, Bus, Host
from .clock import SYSTEM, Clock
from .fold import Fold, upcast
from .log import JSON, NewEvent, StoredEvent
from .log_checkpoint import expand

F = TypeVar("F", bound=Fold)
Fact = tuple[str, Mapping[str, JSON]]  # type and data

PAGE = 200  # events that are read at a time
NOBODY = UUID(int=0)


class Aggregate(Generic[F]):
    """The fold as this agent knows it; whoever decides by it and appends holds `lock` meanwhile.

    Moments that the fold needs belong into the data of its facts: the time of an event is the log's.
    """

    def __init__(self, bus: Bus, host: Host | None, kind: type[F], clock: Clock = SYSTEM) -> None:
        self._bus = bus
        self._host = host
        self._clock = clock
        (self._stream,) = kind.streams
        self._ready = asyncio.Event()
        self.fold = kind()
        self.lock = asyncio.Lock()

    async def restore(self, due: Callable[[F], Sequence[Fact]] = lambda _: ()) -> None:
        """Learns what the log knows; `due` gives the facts that have to be noted before anybody is answered."""
        self.fold = await restored(type(self.fold), self._bus, self._host)
        await self.append(due(self.fold))
        self._ready.set()

    async def known(self) -> F:
        """The fold, once it has been restored."""
        await self._ready.wait()
        return self.fold

    async def append(self, facts: Sequence[Fact], actor: Actor | None = None) -> None:
        """Appends facts as one, then applies them; raises BusError, and then nothing has changed."""
        if not facts:
            return
        who = None if actor is None else actor.as_dict()
        seq = await self._bus.append(self._stream, [NewEvent(kind, data, who) for kind, data in facts])
        first, now = seq - len(facts) + 1, self._clock.wall()
        for number, (kind, data) in enumerate(facts, first):
            self.fold.apply(StoredEvent(number, now, self._stream, kind, who, data, NOBODY))


async def restored(kind: type[F], bus: Bus, host: Host | None) -> F:
    """A fold as the log gives it: beside the broker its own copy, elsewhere read event by event."""
    if host is not None:
        return kind.restored(await host.fold_state(kind.name, None, None))
    fold = kind()
    events = [event for stream in kind.streams for event in expand(await _history(bus, stream))]
    for event in sorted(events, key=lambda each: each.seq):
        fold.apply(upcast(event))
    return fold


async def _history(bus: Bus, stream: str) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    while True:
        since = found[-1].seq if found else 0
        page = await bus.call(server.EVENTS_READ.name, {"since": since, "stream": stream, "limit": PAGE})
        if not page["events"]:
            return found
        found += [StoredEvent(**event, append_id=NOBODY) for event in page["events"]]
