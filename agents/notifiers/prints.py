"""What happens to prints, as notifiers tell it: events by their names, with print_stats before and now."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bus.agent import Bus
from bus.envelope import loads
from bus.errors import BusError
from schemas import printer
from schemas.notifiers import Event

log = logging.getLogger(__name__)

MAX_WAITING = 100  # facts; one more is not told
PRINT_STATS = "print_stats"
STATES: Mapping[str, tuple[Event, str]] = {  # by type of fact, or how it ended: the event, and Klipper's word
    "print.started.1": ("started", "printing"),
    "print.paused.1": ("paused", "paused"),
    "print.resumed.1": ("resumed", "printing"),
    "completed": ("complete", "complete"),
    "cancelled": ("cancelled", "cancelled"),
    "error": ("error", "error"),
    "interrupted": ("error", "error"),
}
NUMBERS = ("filename", "print_duration", "total_duration", "filament_used", "message")

Stats = dict[str, Any]
AT_REST: Stats = {
    "filename": "",
    "total_duration": 0.0,
    "print_duration": 0.0,
    "filament_used": 0.0,
    "state": "standby",
    "message": "",
}


@dataclass(frozen=True, slots=True)
class Occasion:
    """What there is to tell: print_stats before and now for a print, a text for a macro."""

    event: str
    args: Sequence[Stats] = ()
    message: str = ""


class Prints:
    """Follows the facts about prints."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._facts: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_WAITING)
        self._stats = AT_REST

    async def start(self) -> None:
        """From now on."""
        self._bus.subscribe(self._bus.topics.event("print", "+"), self._on_fact)
        self._stats = {**AT_REST, **await self.stats()}

    async def occasions(self) -> AsyncIterator[tuple[Event, Occasion]]:
        """What there is to tell, without end."""
        while True:
            fact = await self._facts.get()
            known = STATES.get(fact["data"].get("how", fact["type"]))
            if known is not None and not fact["data"].get("found"):  # found: it had begun long ago
                yield known[0], await self._occasion(*known, fact["data"])

    async def stats(self) -> Stats:
        """Klipper's print_stats; nothing where it cannot be asked."""
        try:
            answer = await self._bus.call(printer.OBJECTS_QUERY.name, {"objects": {PRINT_STATS: None}})
        except BusError as error:
            log.debug("print_stats is not known: %s", error)
            return {}
        return dict(answer["status"].get(PRINT_STATS, {}))

    async def _occasion(self, event: Event, state: str, data: Mapping[str, Any]) -> Occasion:
        """The fact itself counts: Klipper may have gone on, or away, by now."""
        before = self._stats
        said = {name: data[name] for name in NUMBERS if name in data}
        self._stats = {**before, **await self.stats(), **said, "state": state}
        return Occasion(event, (before, self._stats))

    def _on_fact(self, _topic: str, payload: bytes) -> None:
        try:
            self._facts.put_nowait(loads(payload))
        except asyncio.QueueFull:
            log.warning("%d facts about prints wait; what comes now is not told", MAX_WAITING)
