"""Watches Klipper's toolhead, from whenever it can be seen."""

import asyncio
import logging
from collections.abc import Callable

import orjson

from bus.agent import Bus
from bus.errors import BusError
from schemas import printer

from .extrusion import OBJECTS, Extrusion, Status

log = logging.getLogger(__name__)


class Sight:
    """Feeds an extrusion; `moved` is called after each change."""

    def __init__(self, bus: Bus, extrusion: Extrusion, moved: Callable[[], None]) -> None:
        self._bus = bus
        self._extrusion = extrusion
        self._moved = moved
        self._wanted = asyncio.Event()  # Klipper is there, and has not been seen

    async def run(self) -> None:
        """Asks Klipper where it was there before us; otherwise it comes with its changes."""
        topics = self._bus.topics
        self._bus.subscribe(topics.klipper_delta, self._on_delta)
        self._bus.subscribe(topics.state(printer.OWNER, "server"), self._on_printer)
        self._bus.subscribe(topics.agent(printer.OWNER), self._on_printer_agent)
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                found = await self._bus.call(printer.OBJECTS_QUERY.name, {"objects": OBJECTS})
            except BusError as error:
                log.debug("the extruder is not known yet: %s", error)
                continue
            if not self._extrusion.complete:
                self._see(found["status"])

    def _on_delta(self, _topic: str, payload: bytes) -> None:
        self._see(orjson.loads(payload)["status"])

    def _see(self, status: Status) -> None:
        self._extrusion.seen(status)
        self._moved()

    def _on_printer(self, _topic: str, payload: bytes) -> None:
        if not payload or not orjson.loads(payload)["klippy_connected"]:
            self._extrusion.lost()
        elif not self._extrusion.complete:
            self._wanted.set()

    def _on_printer_agent(self, _topic: str, payload: bytes) -> None:
        if not payload or not orjson.loads(payload)["alive"]:
            self._extrusion.lost()
