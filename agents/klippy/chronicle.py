"""Tells the event log what happens to the printer and its prints, and who had asked for it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from bus.agent import Bus
from bus.record import Record

from .credits import Credits
from .prints import ENDED, Fact, How, PrintWatch
from .state import State

CONNECTED = "printer.connected.1"
SHUTDOWN, DISCONNECTED = "printer.shutdown.1", "printer.disconnected.1"
MOVED: Mapping[State, str] = {
    State.READY: "printer.ready.1",
    State.ERROR: "printer.failed.1",
    State.SHUTDOWN: SHUTDOWN,
    State.DISCONNECTED: DISCONNECTED,
}
ABOUT = ("software_version", "hostname", "process_id", "config_file")


class Chronicle:
    """The streams `printer` and `print`; `credits` remembers who asked for what."""

    def __init__(self, bus: Bus) -> None:
        self.record = Record(bus)
        self.credits = Credits(lambda: asyncio.get_running_loop().time())
        self._prints = PrintWatch()

    def connected(self, info: Mapping[str, Any]) -> None:
        """Klipper has said who it is."""
        self._prints.connected()
        self.record.note("printer", CONNECTED, {name: info.get(name) for name in ABOUT})

    def moved(self, state: State, message: str) -> None:
        """Klipper, or the link to it, is in another state; whatever was printing does not survive some of them."""
        event = MOVED.get(state)
        if event is None:
            return
        self.record.note("printer", event, {"message": message}, self.credits.who(event))
        if event in (SHUTDOWN, DISCONNECTED):
            self._note(self._prints.interrupted(message))

    def print_stats(self, fields: Mapping[str, Any]) -> None:
        """All fields of print_stats, after any of them changed."""
        self._note(self._prints.observe(fields))

    def _note(self, facts: list[Fact]) -> None:
        for fact in facts:
            asked_for = fact.kind != ENDED or fact.data["how"] == How.CANCELLED
            actor = self.credits.who(fact.kind, fact.filename) if asked_for else None
            self.record.note("print", fact.kind, fact.data, actor)
