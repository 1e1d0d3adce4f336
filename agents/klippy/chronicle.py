"""Tells the event log what happens to the printer and its prints, and who had asked for it."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from bus.agent import Bus, Host
from bus.clock import SYSTEM
from bus.errors import BusError
from bus.record import Record
from schemas import server

from .credits import Credits
from .prints import ACTIVE, ENDED, Fact, How, PrintWatch, Stats, Unfinished, numbers
from .state import State
from .story import LastPrint

log = logging.getLogger(__name__)

CONNECTED = "printer.connected.1"
SHUTDOWN, DISCONNECTED = "printer.shutdown.1", "printer.disconnected.1"
MOVED: Mapping[State, str] = {
    State.READY: "printer.ready.1",
    State.ERROR: "printer.failed.1",
    State.SHUTDOWN: SHUTDOWN,
    State.DISCONNECTED: DISCONNECTED,
}
CAUSES = {SHUTDOWN: "shutdown", DISCONNECTED: "disconnected"}  # what interrupts a print
PROGRESS, PROGRESSED = "progress", "print.progressed.1"
PROGRESS_SECONDS = 60.0  # what is known of a print after the power was lost is at most so old
PAGE = 5000  # events of a stream that are read at once
ABOUT = ("software_version", "hostname", "process_id", "config_file")


class Chronicle:
    """The streams `printer` and `print`; `credits` remembers who asked for what."""

    def __init__(self, bus: Bus) -> None:
        self.record = Record(bus)
        self.credits = Credits(lambda: asyncio.get_running_loop().time())
        self._bus = bus
        self._prints = PrintWatch()
        self._leaving = False
        self._noted: float | None = None  # when progress was noted, on the loop's clock; None: nothing is printed

    async def recall(self, host: Host | None) -> None:
        """Learns from the log what was printing when this program ended."""
        try:
            last = await self._last_print(host)
            if last.get("state") in ACTIVE:
                stats = Stats.of({**last, **await self._progress(last["started"])})
                self._prints.recall(Unfinished(stats, SYSTEM.wall() - last["started"]))
        except BusError as error:
            log.warning("what was printed before is not known: %s", error)

    def leave(self) -> None:
        """From now on the link ends because we end it: what is printing goes on without us."""
        self._leaving = True

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
        if event in CAUSES and not self._leaving:
            self._note(self._prints.interrupted(message, CAUSES[event]))

    def print_stats(self, fields: Mapping[str, Any]) -> None:
        """All fields of print_stats, after any of them changed."""
        self._note(self._prints.observe(fields))
        self._note_progress(self._prints.running, asyncio.get_running_loop().time())

    def _note_progress(self, running: Stats | None, now: float) -> None:
        if running is None or self._noted is None:
            self._noted = None if running is None else now
        elif now - self._noted >= PROGRESS_SECONDS:
            self._noted = now
            self.record.note(PROGRESS, PROGRESSED, {"filename": running.filename, **numbers(running)})

    async def _last_print(self, host: Host | None) -> dict[str, Any]:
        if host is not None:
            found: dict[str, Any] = await host.fold_state(LastPrint.name, None, None)
            return found
        answer = await self._bus.call(server.EVENTS_STATE.name, {"fold": LastPrint.name})
        return dict(answer["state"])

    async def _progress(self, since: float) -> dict[str, Any]:
        """The last that was noted of a print which began at a time; {} where nothing was."""
        found: dict[str, Any] = {}
        wanted: dict[str, Any] = {"stream": PROGRESS, "since_time": since, "limit": PAGE}
        while True:
            page = await self._bus.call(server.EVENTS_READ.name, wanted)
            if not page["events"]:
                return found
            found, wanted["since"] = page["events"][-1]["data"], page["events"][-1]["seq"]

    def _note(self, facts: list[Fact]) -> None:
        for fact in facts:
            asked_for = fact.kind != ENDED or fact.data["how"] == How.CANCELLED
            actor = self.credits.who(fact.kind, fact.filename) if asked_for else None
            self.record.note("print", fact.kind, fact.data, actor)
