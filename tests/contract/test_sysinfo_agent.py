"""The system information agent on a bus: when it answers, what it publishes, and what makes it say something new."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.sysinfo import SysInfo, agent
from bus.agent import Settings
from schemas import machine
from tests.agent_bus import RecordingBus, running, start_call
from tests.conftest import Run
from tests.machines import MACHINES

DOCUMENT = "rig/state/sysinfo/system_info"
SERVICES = "rig/state/machine/services"
NONE = {
    "provider": "none",
    "available_services": [],
    "service_state": {},
    "instance_ids": {"moonraker": "moonraker", "klipper": "klipper"},
}
KLIPPER = {
    "provider": "systemd_dbus",
    "available_services": ["klipper"],
    "service_state": {"klipper": {"active_state": "active", "sub_state": "running"}},
    "instance_ids": {"moonraker": "moonraker", "klipper": "klipper-1"},
}


class Scene:
    """An agent on a machine whose addresses a test changes."""

    def __init__(self, folder: Path, name: str = "Raspberry Pi 3") -> None:
        self.bus = RecordingBus(folder)
        self.addresses = dict(MACHINES[name].addresses)
        root = MACHINES[name].build(folder / "root")
        self.agent = SysInfo(self.bus, Settings(), root=root, find_addresses=lambda: dict(self.addresses))

    async def ask(self) -> dict[str, Any]:
        """The answer, from inside."""
        found = await asyncio.wait_for(start_call(self.agent, machine.SYSTEM_INFO), 20)
        return dict(found["system_info"])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at the networks often."""
    monkeypatch.setattr(agent, "NETWORK_SECONDS", 0.01)


def test_the_first_who_asks_waits_until_all_is_known(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            found = await here.ask()
        machine.SystemInfo.model_validate(found)
        assert found["cpu_info"]["model"] == "Raspberry Pi 3 Model B Rev 1.2"
        assert list(found["network"]) == ["wlan0"]
        assert {key: found[key] for key in NONE} == NONE
        assert here.bus.retained == {DOCUMENT: found}

    run(body())


def test_a_new_address_is_told_and_no_change_is_not(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            await here.ask()
            here.addresses["wlan0"] = ("192.168.1.200",)
            await here.bus.until(lambda: len(here.bus.messages(DOCUMENT)) > 1)
            found = await here.ask()
            await asyncio.sleep(0.1)
        assert [each["address"] for each in found["network"]["wlan0"]["ip_addresses"]] == ["192.168.1.200"]
        assert len(here.bus.messages(DOCUMENT)) == 2

    run(body())


def test_services_are_those_of_whoever_knows_them(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            await here.ask()
            await here.bus.until(lambda: SERVICES in here.bus.handlers)
            here.bus.say(SERVICES, KLIPPER)
            found = await here.ask()
            assert {key: found[key] for key in KLIPPER} == KLIPPER
            assert here.bus.retained[DOCUMENT] == found
            here.bus.say(SERVICES)
            found = await here.ask()
            assert {key: found[key] for key in NONE} == NONE

    run(body())


def test_on_this_machine_the_answer_is_what_the_document_promises(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        bus = RecordingBus(tmp_path)
        here = SysInfo(bus, Settings())
        async with running(here):
            found = await asyncio.wait_for(start_call(here, machine.SYSTEM_INFO), 20)
        machine.SystemInfoResult.model_validate_json(orjson.dumps(found))
        assert found["system_info"]["cpu_info"]["total_memory"] > 0

    run(body())
