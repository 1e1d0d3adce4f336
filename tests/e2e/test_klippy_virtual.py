"""The klippy agent with the virtual printer: a file is printed, paused, resumed, cancelled; the printer is stopped."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agents.klippy import Klippy
from agents.klippy.agent import KlippySettings
from bus.agent import Actor
from bus.errors import Refused
from schemas import AnyMethod, printer
from tests.agent_bus import ALICE, RecordingBus, running, start_call
from tests.virtual_printer import VirtualPrinter, virtual_printer

BOB = Actor("bob", "mqtt", "bob-1")
PATIENCE = 20.0  # seconds
SQUARE = ("G28", "G90", *("G1 X50 Y50 F6000", "G1 X150 Y50", "G1 X150 Y150", "G1 X50 Y150") * 25)


class Scene:
    """An agent and the bus it is on."""

    def __init__(self, agent: Klippy, bus: RecordingBus) -> None:
        self.agent, self.bus = agent, bus

    async def call(self, row: AnyMethod, params: Any = None, actor: Actor = ALICE) -> Any:
        """The answer to a call."""
        return await asyncio.wait_for(start_call(self.agent, row, params, actor), PATIENCE)

    async def shown(self, state: str) -> None:
        """Waits for a state."""
        await self.bus.until(lambda: self.bus.retained.get("rig/moonraker/klippy", {}).get("state") == state, PATIENCE)

    async def printing(self, *kinds: str) -> None:
        """Waits until the story of prints is this one."""
        expected = [f"print.{kind}.1" for kind in kinds]
        await self.bus.until(lambda: [kind for kind, _ in self.bus.facts("print")] == expected, PATIENCE)


def play(folder: Path, body: Callable[[Scene, VirtualPrinter], Coroutine[Any, Any, None]], speed: float) -> None:
    """Runs a test body with a ready virtual printer."""

    async def main(virtual: VirtualPrinter) -> None:
        bus = RecordingBus(folder)
        agent = Klippy(bus, KlippySettings(socket=virtual.socket))
        async with running(agent):
            here = Scene(agent, bus)
            await here.shown("ready")
            await body(here, virtual)

    with virtual_printer(speed=speed) as virtual:
        virtual.write("square.gcode", *SQUARE)
        asyncio.run(main(virtual))


def test_a_file_is_printed_to_its_end(tmp_path: Path) -> None:
    async def body(here: Scene, virtual: VirtualPrinter) -> None:
        assert await here.call(printer.PRINT_START, {"filename": "square.gcode"}) == "ok"
        await here.printing("started")
        assert await here.call(printer.PRINT_PAUSE, actor=BOB) == "ok"
        await here.printing("started", "paused")
        assert await here.call(printer.PRINT_RESUME) == "ok"
        await here.printing("started", "paused", "resumed", "ended")
        actors = [event.actor and event.actor["user"] for stream, event in here.bus.events if stream == "print"]
        assert actors == ["alice", "bob", "alice", None]
        ended = here.bus.facts("print")[-1][1]
        assert (ended["filename"], ended["how"]) == ("square.gcode", "completed")
        stats = await here.call(printer.OBJECTS_QUERY, {"objects": {"print_stats": None}})
        assert stats["status"]["print_stats"]["state"] == "complete"
        assert stats["status"]["print_stats"]["total_duration"] == ended["total_duration"]

    play(tmp_path, body, speed=50)


def test_a_print_is_cancelled(tmp_path: Path) -> None:
    async def body(here: Scene, virtual: VirtualPrinter) -> None:
        await here.call(printer.GCODE_SCRIPT, {"script": "SDCARD_PRINT_FILE FILENAME=square.gcode"})
        await here.printing("started")
        assert await here.call(printer.PRINT_CANCEL, actor=BOB) == "ok"
        await here.printing("started", "ended")
        ended = [event for _, event in here.bus.events][-1]
        assert (ended.data["how"], ended.actor) == ("cancelled", BOB.as_dict())

    play(tmp_path, body, speed=10)


def test_an_emergency_stop_passes_a_script_that_waits_for_a_heater(tmp_path: Path) -> None:
    async def body(here: Scene, virtual: VirtualPrinter) -> None:
        heating = start_call(here.agent, printer.GCODE_SCRIPT, {"script": "M109 S200"})
        await here.bus.until(lambda: here.bus.retained["rig/klipper/state/extruder/target"]["value"] == 200)
        assert not heating.done()
        asked = time.monotonic()
        assert await here.call(printer.EMERGENCY_STOP) == "ok"
        assert time.monotonic() - asked < 5.0
        await asyncio.wait_for(asyncio.gather(heating, return_exceptions=True), PATIENCE)
        await here.shown("shutdown")
        assert (await here.call(printer.INFO))["state"] == "shutdown"
        assert await here.call(printer.FIRMWARE_RESTART) == "ok"
        await here.shown("disconnected")
        await here.shown("ready")
        names = [name for name, _ in here.bus.notifications() if name != "notify_gcode_response"]
        assert names == [f"notify_klippy_{what}" for what in ("ready", "shutdown", "disconnected", "ready")]

    play(tmp_path, body, speed=1)


def test_every_question_of_the_table_is_answered(tmp_path: Path) -> None:
    async def body(here: Scene, virtual: VirtualPrinter) -> None:
        names = (await here.call(printer.OBJECTS_LIST))["objects"]
        whole = (await here.call(printer.OBJECTS_QUERY, {"objects": dict.fromkeys(names)}))["status"]
        assert {"toolhead", "extruder", "heater_bed", "print_stats", "configfile"} <= set(whole)
        assert "SDCARD_PRINT_FILE" in await here.call(printer.GCODE_HELP)
        assert set((await here.call(printer.QUERY_ENDSTOPS)).values()) <= {"open", "TRIGGERED"}
        with pytest.raises(Refused):
            await here.call(printer.PRINT_START, {"filename": "nosuch.gcode"})
        assert here.bus.retained["rig/state/klippy/server"]["missing_klippy_requirements"] == []

    play(tmp_path, body, speed=50)
