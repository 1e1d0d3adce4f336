"""The peripherals agent on a bus: answers, lists on topics, and records of what comes and goes."""

import asyncio
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from agents.peripherals import Peripherals, agent, hotplug
from agents.peripherals.canbus import open_bus
from bus.agent import Settings
from bus.errors import Internal, Unavailable
from schemas import AnyMethod, peripherals
from tests.agent_bus import RecordingBus, running, start_call
from tests.conftest import Run
from tests.hardware import HOTPLUG, change
from tests.plugged import BOARD, PRINTER

ROWS: dict[AnyMethod, str] = {
    peripherals.USB: "usb_devices",
    peripherals.SERIAL: "serial_devices",
    peripherals.VIDEO: "v4l2_devices",
}
USB_LIST = "rig/state/peripherals/usb"


class Scene:
    """An agent on a printer with everything plugged in; no process of the test has a CAN bus."""

    def __init__(self, folder: Path, open_can: Callable[[str], socket.socket] = open_bus) -> None:
        self.bus = RecordingBus(folder)
        self.root = PRINTER.build(folder / "root")
        self.agent = Peripherals(self.bus, Settings(), root=self.root, open_can=open_can)

    async def ask(self, row: AnyMethod, **params: Any) -> Any:
        """The answer, of the shape that is promised."""
        found = await asyncio.wait_for(start_call(self.agent, row, params), 10)
        TypeAdapter(row.result).validate_python(found)
        return found

    def unplug(self) -> None:
        """The board goes, with its port."""
        (self.root / "sys/bus/usb/devices/1-1.2").unlink()
        (self.root / "sys/class/tty/ttyACM0").unlink()

    def plug(self) -> None:
        """It comes back under another number."""
        (self.root / BOARD / "devnum").write_text("9\n")
        (self.root / "sys/bus/usb/devices/1-1.2").symlink_to(self.root / BOARD)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are looked at soon."""
    monkeypatch.setattr(agent, "SETTLING", 0.01)


def test_the_lists_are_on_their_topics_and_no_news_when_they_are_first_made(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            await here.bus.until(lambda: len(here.bus.retained) == len(ROWS))
            for row, member in ROWS.items():
                found = await here.ask(row)
                assert here.bus.retained[f"rig/state/peripherals/{row.name.rpartition('.')[2]}"] == found
                assert bool(found[member]) == (row is not peripherals.VIDEO)  # nothing answers on this /dev
            assert (len(here.bus.published), here.bus.events) == (len(ROWS), [])

    run(body())


def test_what_goes_and_comes_is_recorded_and_published(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            await here.bus.until(lambda: len(here.bus.retained) == len(ROWS))
            here.unplug()
            assert len((await here.ask(peripherals.USB))["usb_devices"]) == 4
            here.plug()
            await here.ask(peripherals.USB)
            await here.ask(peripherals.SERIAL)
        assert here.bus.facts("devices") == [
            ("device.unplugged.1", {"kind": "usb", "device": "1:4", "name": "stm32f407xx"}),
            ("device.plugged.1", {"kind": "usb", "device": "1:9", "name": "stm32f407xx"}),
            (
                "device.unplugged.1",
                {
                    "kind": "serial",
                    "device": "/dev/ttyACM0",
                    "name": "/dev/serial/by-id/usb-Klipper_stm32f407xx_12345-if00",
                },
            ),
        ]
        assert here.bus.retained[USB_LIST]["usb_devices"][-1]["usb_location"] == "1:9"

    run(body())


def test_a_log_that_fails_does_not_hide_the_list(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            await here.bus.until(lambda: len(here.bus.retained) == len(ROWS))
            here.bus.failing = Unavailable("the log is away")
            here.unplug()
            found = await here.ask(peripherals.USB)
            assert here.bus.retained[USB_LIST] == found

    run(body())


@pytest.mark.skipif(not HOTPLUG, reason="said at the end of the test run")
def test_udev_says_when_to_look(tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel itself tells of a change of this machine's first serial port."""
    monkeypatch.setattr(hotplug, "USB", tmp_path)

    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            await here.bus.until(lambda: len(here.bus.retained) == len(ROWS))
            here.unplug()
            change()
            await here.bus.until(lambda: here.bus.events)
        assert [data["kind"] for _, data in here.bus.facts("devices")] == ["serial"]

    run(body())


def test_without_udevs_library_answers_are_true_all_the_same(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hotplug, "USB", tmp_path)
    monkeypatch.setattr("pyudev._ctypeslib.utils.find_library", lambda _name: None)

    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            await here.bus.until(lambda: len(here.bus.retained) == len(ROWS))
            here.unplug()
            assert len((await here.ask(peripherals.USB))["usb_devices"]) == 4

    run(body())


def test_nodes_of_a_can_bus(tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "CAN_SECONDS", 0.05)
    asked: list[str] = []

    async def body() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        theirs.send(struct.pack("=IB3x8s", 0x3F1, 8, bytes.fromhex("2011aabbccddee11")))

        def open_can(interface: str) -> socket.socket:
            asked.append(interface)
            return ours

        here = Scene(tmp_path, open_can)
        with theirs:
            async with running(here.agent):
                found = await here.ask(peripherals.CANBUS, interface="can1")
        assert found == {"can_uuids": [{"uuid": "11aabbccddee", "application": "Katapult"}]}
        assert asked == ["can1"]

    run(body())


def test_a_missing_can_interface_is_named_in_the_error(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            with pytest.raises(Internal, match=r"CAN interface 'can0' cannot be used: .+"):
                await here.ask(peripherals.CANBUS)

    run(body())
