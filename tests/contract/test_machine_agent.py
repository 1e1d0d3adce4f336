"""The machine agent on a bus, with a scripted systemd on a private D-Bus."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dbus_next.aio.message_bus import MessageBus
from dbus_next.message import Message
from dbus_next.signature import Variant

from agents.machine import Machine, agent, cgroups, systemd
from agents.machine.settings import MachineSettings
from bus.agent import Call
from bus.errors import Conflict, HostError, Refused, Unavailable
from schemas import AnyMethod
from schemas import services as rows
from tests.agent_bus import ALICE, RecordingBus, running, start_call
from tests.brokers import until
from tests.conftest import Run
from tests.scripted_systemd import PrivateBus, ScriptedSystemd

SERVICES, ABILITIES = "rig/state/machine/services", "rig/state/machine/abilities"
CHANGED = "notify_service_state_changed"
SYSTEM_INFO = "rig/state/sysinfo/system_info"
UNITS = {
    "klipper": ("active", "running"),
    "moonraker": ("active", "running"),
    "klipper_mcu": ("inactive", "dead"),
    "ssh": ("active", "running"),
}
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tries again soon; our process is the service `moonraker`."""
    monkeypatch.setattr(agent, "RETRY_FIRST", 0.02)
    monkeypatch.setattr(agent, "RETRY_LAST", 0.02)
    belongs(tmp_path, monkeypatch, os.getpid(), "moonraker")


def belongs(folder: Path, monkeypatch: pytest.MonkeyPatch, process: int, unit: str) -> None:
    """A process is in the control group of a service."""
    proc = folder / "proc"
    (proc / str(process)).mkdir(parents=True, exist_ok=True)
    (proc / str(process) / "cgroup").write_text(f"0::/system.slice/{unit}.service\n")
    monkeypatch.setattr(cgroups, "PROC", proc)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    with PrivateBus(tmp_path) as found:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", found.address)
        yield found


class Scene:
    """The agent, its bus, and its systemd."""

    def __init__(self, folder: Path, scripted: ScriptedSystemd, **settings: Any) -> None:
        self.systemd = scripted
        self.bus = RecordingBus(folder)
        self.agent = Machine(self.bus, MachineSettings.model_validate(settings))

    @property
    def services(self) -> Json:
        """The retained document."""
        return dict(self.bus.retained.get(SERVICES, {}))

    @property
    def changes(self) -> list[Json]:
        """What was told about services."""
        return [params[0] for name, params in self.bus.notifications() if name == CHANGED]

    async def ask(self, row: AnyMethod, **params: Any) -> Any:
        """The answer; raises BusError."""
        return await asyncio.wait_for(start_call(self.agent, row, params), 10)

    async def service(self, verb: str, unit: str) -> Any:
        """Starts, stops or restarts one."""
        return await self.ask(getattr(rows, verb.upper()), service=unit)

    async def shown(self) -> None:
        """Waits until services are known."""
        await self.bus.until(lambda: self.services.get("available_services"))
        await self.bus.until(lambda: ABILITIES in self.bus.retained)

    def is_in(self, kind: str, identifier: str) -> None:
        """What the system information says about the host."""
        found = {"virt_type": kind, "virt_identifier": identifier, "virt_id": identifier}
        self.bus.say(SYSTEM_INFO, {"virtualization": found})


@asynccontextmanager
async def scene(folder: Path, daemon: PrivateBus, **settings: Any) -> AsyncIterator[Scene]:
    async with ScriptedSystemd(daemon.address, **UNITS) as scripted:
        here = Scene(folder, scripted, **settings)
        async with running(here.agent):
            await here.shown()
            yield here


def state(active: str, sub: str) -> Json:
    return {"active_state": active, "sub_state": sub}


def test_services_that_may_be_managed_are_published(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            assert here.services == {
                "provider": "systemd_dbus",
                "available_services": ["klipper", "klipper_mcu", "moonraker"],
                "service_state": {
                    "klipper": state("active", "running"),
                    "klipper_mcu": state("inactive", "dead"),
                    "moonraker": state("active", "running"),
                },
                "instance_ids": {"moonraker": "moonraker", "klipper": "klipper"},
            }
            assert all(each == {"available": True, "reason": None} for each in here.bus.retained[ABILITIES].values())
        assert "klipper_mcu" in (tmp_path / "moonraker.asvc").read_text().splitlines()

    run(body())


@pytest.mark.parametrize(
    ("verb", "unit", "states"),
    [
        ("start", "klipper_mcu", [("activating", "start"), ("active", "running")]),
        ("stop", "klipper", [("deactivating", "stop-sigterm"), ("inactive", "dead")]),
        ("restart", "klipper", [("deactivating", "stop-sigterm"), ("inactive", "dead"), ("active", "running")]),
    ],
)
def test_a_command_is_answered_when_its_job_has_ended_and_every_state_is_told(
    tmp_path: Path, daemon: PrivateBus, run: Run[None], verb: str, unit: str, states: list[tuple[str, str]]
) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            assert await here.service(verb, unit) == "ok"
            await here.bus.until(lambda: len(here.changes) >= len(states))
            assert here.changes == [{unit: state(*each)} for each in states]
            assert here.services["service_state"][unit] == state(*states[-1])

    run(body())


def test_a_change_that_others_make_is_told_once(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            for _ in range(2):
                here.systemd.becomes("klipper", "failed", "failed")
            here.systemd.becomes("ssh", "inactive", "dead")
            here.systemd.becomes("klipper_mcu", "active", "running")
            await here.bus.until(lambda: len(here.changes) >= 2)
            assert here.changes == [{"klipper": state("failed", "failed")}, {"klipper_mcu": state("active", "running")}]

    run(body())


def test_what_somebody_else_on_the_bus_claims_is_not_believed(
    tmp_path: Path, daemon: PrivateBus, run: Run[None]
) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            forger = await MessageBus(bus_address=daemon.address).connect()
            body = ["org.freedesktop.systemd1.Unit", {"ActiveState": Variant("s", "failed")}, []]
            path, interface = "/org/freedesktop/systemd1/unit/klipper_2eservice", "org.freedesktop.DBus.Properties"
            forged = Message.new_signal(path, interface, "PropertiesChanged", "sa{sv}as", body)
            forged.destination = await unique_name(here)
            await forger.send(forged)
            here.systemd.becomes("klipper_mcu", "active", "running")
            await here.bus.until(lambda: here.changes)
            assert here.changes == [{"klipper_mcu": state("active", "running")}]
            forger.disconnect()  # type: ignore[no-untyped-call]
            await asyncio.gather(forger._disconnect_future, return_exceptions=True)
            forger._stream.close()
            forger._sock.close()

    async def unique_name(here: Scene) -> str:
        await here.service("start", "klipper_mcu")
        await here.service("stop", "klipper_mcu")
        await here.bus.until(lambda: len(here.changes) == 4)
        here.bus.published.clear()
        return here.systemd.callers["StopUnit"]

    run(body())


@pytest.mark.parametrize(("unit", "said"), [("ssh", "not on the list"), ("klipper-7", "not installed")])
def test_a_service_that_is_not_listed_or_not_there_is_400(
    tmp_path: Path, daemon: PrivateBus, run: Run[None], unit: str, said: str
) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            for verb in ("start", "stop", "restart"):
                with pytest.raises(Refused, match=said):
                    await here.service(verb, unit)
            assert not here.systemd.called("StartUnit")

    run(body())


def test_the_server_itself_is_neither_stopped_nor_started_and_restarts_after_the_answer(
    tmp_path: Path, daemon: PrivateBus, run: Run[None]
) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            for verb in ("start", "stop"):
                with pytest.raises(Refused, match="this server"):
                    await here.service(verb, "moonraker")
            call, outcome = Call(rows.RESTART, rows.ServiceParams(service="moonraker"), ALICE), asyncio.Event()
            here.agent.handle(call, lambda _: outcome.set())
            await outcome.wait()
            await here.service("restart", "klipper")
            assert here.systemd.called("RestartUnit") == [["klipper.service", "replace"]]
            call.answered()
            await here.bus.until(lambda: {"moonraker": state("active", "running")} in here.changes)
            assert here.systemd.called("RestartUnit")[-1] == ["moonraker.service", "replace"]

    run(body())


def test_a_refusal_and_a_failed_job_are_500_and_a_unit_that_went_is_400(
    tmp_path: Path, daemon: PrivateBus, run: Run[None]
) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            here.systemd.denied = {"StopUnit", "Reboot"}
            with pytest.raises(HostError, match="No permission: Access denied"):
                await here.service("stop", "klipper")
            here.is_in("none", "none")
            with pytest.raises(HostError, match="No permission"):
                await here.ask(rows.REBOOT)
            here.systemd.job_result = "failed"
            with pytest.raises(HostError, match="the job ended as 'failed'"):
                await here.service("start", "klipper")
            del here.systemd.units["klipper"]
            with pytest.raises(Refused, match="not found"):
                await here.service("start", "klipper")

    run(body())


def test_rights_that_are_missing_are_shown_with_the_reason(
    tmp_path: Path, daemon: PrivateBus, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    async def body() -> None:
        async with ScriptedSystemd(daemon.address, **UNITS) as systemd:
            systemd.polkit = False
            systemd.can["CanPowerOff"] = "challenge"
            systemd.denied = {"CanReboot"}
            here = Scene(tmp_path, systemd)
            async with running(here.agent):
                await here.bus.until(lambda: here.bus.retained.get(ABILITIES, {}).get("services", {}).get("reason"))
                shown = here.bus.retained[ABILITIES]
                assert not any(each["available"] for each in shown.values())
                assert "manage-units" in shown["services"]["reason"]
                assert "wants a password" in shown["shutdown"]["reason"]
                assert "Access denied" in shown["reboot"]["reason"]
                with pytest.raises(HostError, match="manage-units"):
                    await here.service("restart", "moonraker")

    run(body())


def test_a_bus_that_goes_and_comes_back(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            daemon.stop()
            await here.bus.until(lambda: not here.services["available_services"])
            assert "gone" in here.bus.retained[ABILITIES]["services"]["reason"]
            with pytest.raises(Unavailable):
                await here.service("stop", "klipper")
            daemon.start()
            async with ScriptedSystemd(daemon.address, **{**UNITS, "klipper": ("failed", "failed")}):
                await here.shown()
                assert here.services["provider"] == "systemd_dbus"
                await here.bus.until(lambda: here.bus.retained[ABILITIES]["services"]["available"])
                assert here.changes == [{"klipper": state("failed", "failed")}]
                assert await here.service("start", "klipper") == "ok"

    run(body())


def test_a_systemd_that_begins_anew_is_asked_again(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            waiting = asyncio.ensure_future(here.service("stop", "klipper"))
            here.systemd.holding = True
            await here.systemd.until(lambda: here.systemd.called("StopUnit"))
            await here.systemd.__aexit__()
            with pytest.raises(Unavailable, match="how it ended is not known"):
                await waiting
            await here.systemd.__aenter__()
            await here.shown()
            here.systemd.becomes("klipper", "failed", "failed")
            await here.bus.until(lambda: {"klipper": state("failed", "failed")} in here.changes)

    run(body())


def test_no_socket_is_left_behind(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    def sockets() -> int:
        """Open ones of this process; the listing's own descriptor is gone by now."""
        links = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
        return sum("socket:" in each for each in links)

    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            before = sockets()
            for _ in range(10):
                await here.systemd.__aexit__()
                await here.bus.until(lambda: not here.services["available_services"])
                await asyncio.sleep(0.05)  # some attempts without a systemd
                await here.systemd.__aenter__()
                await here.shown()
                await here.bus.until(lambda: here.bus.retained[ABILITIES]["services"]["available"])
            await until(lambda: sockets() == before)
            daemon.stop()
            await here.bus.until(lambda: not here.services["available_services"])
            await asyncio.sleep(0.2)  # some attempts without a bus
            await until(lambda: sockets() == before - 1)  # that of the scripted systemd is still open

    run(body())


def test_units_that_are_installed_later_are_found(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            here.systemd.units["crowsnest"] = ("inactive", "dead")
            here.systemd.reloads()
            await here.bus.until(lambda: "crowsnest" in here.services["available_services"])
            here.systemd.becomes("crowsnest", "active", "running")
            await here.bus.until(lambda: {"crowsnest": state("active", "running")} in here.changes)

    run(body())


def test_more_changes_at_once_than_are_kept_are_asked_for_anew(
    tmp_path: Path, daemon: PrivateBus, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "WAITING", 3)

    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            for number in range(20):
                here.systemd.becomes("klipper_mcu", "activating", f"attempt-{number}")
                here.systemd.becomes("klipper", "reloading", f"attempt-{number}")
            here.systemd.becomes("klipper", "failed", "failed")
            here.systemd.becomes("klipper_mcu", "active", "running")
            await here.bus.until(lambda: here.services["service_state"]["klipper_mcu"] == state("active", "running"))
            assert here.services["service_state"]["klipper"] == state("failed", "failed")

    run(body())


def test_klipper_is_found_by_its_process(
    tmp_path: Path, daemon: PrivateBus, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    belongs(tmp_path, monkeypatch, 4711, "klipper-voron")

    async def body() -> None:
        async with ScriptedSystemd(daemon.address, **UNITS, klipper__voron=("active", "running")) as systemd:
            here = Scene(tmp_path, systemd)
            here.bus.results["printer.info"] = {"process_id": 4711}
            async with running(here.agent):
                await here.shown()
                here.bus.say("rig/state/klippy/server", {"klippy_connected": True})
                await here.bus.until(lambda: here.services["instance_ids"]["klipper"] == "klipper-voron")

    run(body())


# -- power


@pytest.mark.parametrize(
    ("row", "settings", "member"),
    [
        (rows.SHUTDOWN, {}, "PowerOff"),
        (rows.SHUTDOWN, {"shutdown_action": "halt"}, "Halt"),
        (rows.REBOOT, {}, "Reboot"),
    ],
)
def test_power_is_left_to_logind_and_never_in_a_container(
    tmp_path: Path, daemon: PrivateBus, run: Run[None], row: AnyMethod, settings: Json, member: str
) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon, **settings) as here:
            with pytest.raises(Unavailable, match="not known yet"):
                await here.ask(row)
            here.is_in("container", "docker")
            with pytest.raises(Refused, match="docker"):
                await here.ask(row)
            assert here.bus.retained[ABILITIES]["reboot"] == {
                "available": False,
                "reason": "the host is a container (docker)",
            }
            assert not here.systemd.called(member)
            here.is_in("vm", "kvm")
            assert await here.ask(row) == "ok"
            assert here.systemd.called(member) == [[False]]

    run(body())


def test_a_print_keeps_the_host_on_where_that_is_configured(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    async def body() -> None:
        for refuse in (True, False):
            async with scene(tmp_path, daemon, refuse_while_printing=refuse) as here:
                here.is_in("none", "none")
                here.bus.results["printer.objects.query"] = {"status": {"print_stats": {"state": "paused"}}}
                if refuse:
                    with pytest.raises(Conflict):
                        await here.ask(rows.SHUTDOWN)
                    here.bus.results["printer.objects.query"] = {"status": {"print_stats": {"state": "complete"}}}
                assert await here.ask(rows.SHUTDOWN) == "ok"

    run(body())


def test_macros_may_switch_the_host_off(tmp_path: Path, daemon: PrivateBus, run: Run[None]) -> None:
    async def body() -> None:
        async with scene(tmp_path, daemon) as here:
            offered = here.bus.retained["rig/state/machine/remote_methods"]
            assert offered == {"methods": ["shutdown_machine", "reboot_machine"]}
            here.is_in("container", "lxc")
            here.bus.say("rig/agent/machine/macro", {"method": "reboot_machine", "params": {}})
            await here.bus.until(lambda: "notify_gcode_response" in dict(here.bus.notifications()))
            here.is_in("none", "none")
            for method in offered["methods"]:
                here.bus.say("rig/agent/machine/macro", {"method": method, "params": {}})
            await here.systemd.until(lambda: here.systemd.called("PowerOff") and here.systemd.called("Reboot"))

    run(body())
