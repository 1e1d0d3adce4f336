"""The machine agent with systemctl, with a real supervisord, with sudo, and with nothing of it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.machine import Machine, agent, supervisord, supervisord_place, systemctl
from agents.machine.settings import MachineSettings
from bus.errors import HostError, Refused, Unavailable
from schemas import AnyMethod
from schemas import services as rows
from tests.agent_bus import RecordingBus, running, start_call
from tests.conftest import Run
from tests.host_programs import HostPrograms

SERVICES, ABILITIES = "rig/state/machine/services", "rig/state/machine/abilities"
SYSTEM_INFO = "rig/state/sysinfo/system_info"
PASSWORD = "correct horse"  # noqa: S105
VIRTUAL_MACHINE = {"virtualization": {"virt_type": "vm", "virt_identifier": "kvm", "virt_id": "kvm"}}
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Looks often, and finds nothing of this machine."""
    monkeypatch.setattr(agent, "RETRY_FIRST", 0.02)
    monkeypatch.setattr(agent, "RETRY_LAST", 0.02)
    monkeypatch.setattr(systemctl, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(supervisord, "LOOK_SECONDS", 0.05)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    monkeypatch.delenv("SUPERVISOR_SERVER_URL", raising=False)
    monkeypatch.setattr(supervisord_place, "PLACES", ())
    (tmp_path / "empty").mkdir()


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> HostPrograms:
    """Our own programs, and we are not root."""
    found = HostPrograms(tmp_path, klipper=("active", "running"), ssh=("active", "running"))
    monkeypatch.setenv("PATH", found.path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return found


class Scene:
    """The agent and its bus."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.bus = RecordingBus(folder)
        self.agent = Machine(self.bus, MachineSettings.model_validate(settings))

    @property
    def services(self) -> Json:
        """The retained document."""
        return dict(self.bus.retained.get(SERVICES, {}))

    def told(self, name: str) -> list[Json]:
        """The params of notifications."""
        return [params[0] for found, params in self.bus.notifications() if found == name]

    async def ask(self, row: AnyMethod, **params: Any) -> Any:
        """The answer; raises BusError."""
        return await asyncio.wait_for(start_call(self.agent, row, params), 20)

    async def state(self, unit: str, active: str) -> None:
        """Waits until a service is in a state."""
        await self.bus.until(lambda: self.services["service_state"][unit]["active_state"] == active)


@asynccontextmanager
async def scene(folder: Path, **settings: Any) -> AsyncIterator[Scene]:
    here = Scene(folder, **settings)
    async with running(here.agent):
        await here.bus.until(lambda: ABILITIES in here.bus.retained, 20)
        yield here


# -- systemctl


def test_systemctl_is_found_without_a_bus_and_run_through_sudo(
    tmp_path: Path, programs: HostPrograms, run: Run[None]
) -> None:
    async def body() -> None:
        async with scene(tmp_path) as here:
            assert here.services["provider"] == "systemd_cli"
            assert here.services["available_services"] == ["klipper"]
            assert await here.ask(rows.STOP, service="klipper") == "ok"
            await here.state("klipper", "inactive")
            assert await here.ask(rows.START, service="klipper") == "ok"
            await here.state("klipper", "active")
            assert await here.ask(rows.RESTART, service="klipper") == "ok"
            assert len(here.told("notify_service_state_changed")) == 2
            assert ["-n", "--", "systemctl", "stop", "klipper.service"] in programs.asked("sudo")
            with pytest.raises(Refused, match="not on the list"):
                await here.ask(rows.STOP, service="ssh")

    run(body())


def test_a_unit_that_goes_is_noticed_and_a_systemctl_that_fails_is_a_reason(
    tmp_path: Path, programs: HostPrograms, run: Run[None]
) -> None:
    async def body() -> None:
        async with scene(tmp_path) as here:
            programs.set(units={"klipper": ("failed", "failed")})
            await here.state("klipper", "failed")
            programs.set(broken=True)
            await here.bus.until(lambda: not here.bus.retained[ABILITIES]["services"]["available"])
            assert "not been booted" in here.bus.retained[ABILITIES]["services"]["reason"]
            with pytest.raises(Unavailable, match="not been booted"):
                await here.ask(rows.START, service="klipper")
            programs.set(broken=False)
            await here.bus.until(lambda: here.bus.retained[ABILITIES]["services"]["available"])
            assert await here.ask(rows.START, service="klipper") == "ok"

    run(body())


def test_a_systemctl_without_a_systemd_is_none_although_it_lists_unit_files(
    tmp_path: Path, programs: HostPrograms, run: Run[None]
) -> None:
    programs.set(broken=True)

    async def body() -> None:
        async with scene(tmp_path) as here:
            assert here.services["provider"] == "none"
            assert "not been booted" in here.bus.retained[ABILITIES]["services"]["reason"]

    run(body())


@pytest.mark.parametrize(
    ("row", "settings", "verb"),
    [
        (rows.SHUTDOWN, {}, "poweroff"),
        (rows.SHUTDOWN, {"shutdown_action": "halt"}, "halt"),
        (rows.REBOOT, {}, "reboot"),
    ],
)
def test_power_by_systemctl(
    tmp_path: Path, programs: HostPrograms, run: Run[None], row: AnyMethod, settings: Json, verb: str
) -> None:
    async def body() -> None:
        async with scene(tmp_path, **settings) as here:
            here.bus.say(SYSTEM_INFO, VIRTUAL_MACHINE)
            programs.set(password=PASSWORD)
            with pytest.raises(HostError, match="a password is required"):
                await here.ask(row)
            programs.set(password="")
            assert await here.ask(row) == "ok"
            assert [verb] in programs.asked("systemctl")

    run(body())


# -- sudo


def test_the_password_is_asked_for_kept_in_memory_and_gives_the_rights(
    tmp_path: Path, programs: HostPrograms, run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    programs.set(password=PASSWORD)

    async def body() -> None:
        async with scene(tmp_path) as here:
            (alert,) = here.told("notify_sudo_alert")
            assert alert == {
                "sudo_requested": True,
                "sudo_messages": [agent.WANTED],
                "request_messages": [agent.WANTED],
            }
            assert not here.bus.retained[ABILITIES]["services"]["available"]
            found = await here.ask(rows.SUDO_INFO, check_access="true")
            assert (found["sudo_access"], found["sudo_requested"], found["request_messages"]) == (
                False,
                True,
                [agent.WANTED],
            )
            with pytest.raises(HostError, match="password is required"):
                await here.ask(rows.STOP, service="klipper")
            for wrong in ("wrong", "", "two\nlines"):
                with pytest.raises(Refused):
                    await here.ask(rows.SUDO_PASSWORD, password=wrong)
            assert await here.ask(rows.SUDO_PASSWORD, password=PASSWORD) == {
                "sudo_responses": ["Sudo password successfully set.", "Services can be managed."],
                "is_restarting": False,
            }
            assert here.told("notify_sudo_alert")[1:] == [
                {"sudo_requested": False, "sudo_messages": [], "request_messages": []}
            ]
            assert here.bus.retained[ABILITIES]["services"] == {"available": True, "reason": None}
            assert await here.ask(rows.STOP, service="klipper") == "ok"
            assert (await here.ask(rows.SUDO_INFO))["sudo_access"] is None
            assert (await here.ask(rows.SUDO_INFO, check_access=True))["sudo_access"] is True
            said = [*map(str, here.bus.published), caplog.text, *map(str, programs.asked("sudo"))]
            assert not any(PASSWORD in each for each in said)

    run(body())
    assert not any(PASSWORD.encode() in path.read_bytes() for path in tmp_path.glob("*") if path.is_file())


def test_a_password_that_is_configured_is_used(tmp_path: Path, programs: HostPrograms, run: Run[None]) -> None:
    programs.set(password=PASSWORD)
    (tmp_path / "password").write_text(PASSWORD + "\n")

    async def body() -> None:
        async with scene(tmp_path, sudo_password={"file": str(tmp_path / "password")}) as here:
            assert await here.ask(rows.STOP, service="klipper") == "ok"
            assert not here.told("notify_sudo_alert")

    run(body())


def test_what_waited_for_the_password_and_fails_is_500(tmp_path: Path, programs: HostPrograms, run: Run[None]) -> None:
    programs.set(password=PASSWORD)

    async def body() -> None:
        async with scene(tmp_path) as here:
            (programs.folder / "true").write_text('#!/bin/sh\n[ -e "$0.once" ] && exit 1\ntouch "$0.once"\n')
            (programs.folder / "true").chmod(0o755)
            with pytest.raises(HostError, match="without a password"):
                await here.ask(rows.SUDO_PASSWORD, password=PASSWORD)

    run(body())


# -- supervisord

SUPERVISOR = """
[unix_http_server]
file = %(here)s/supervisor.sock
username = printer ; with a comment
password = secret%word
[supervisord]
logfile = {folder}/supervisord.log
pidfile = {folder}/supervisord.pid
nodaemon = true
user = {user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[program:klipper]
command = {sleep} 600
startsecs = 0
[program:crowsnest]
command = {sleep} 601
autostart = false
startsecs = 0
[program:sonar]
command = {folder}/no-such-program
autostart = false
[program:other]
command = {sleep} 602
startsecs = 0
"""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Path]:
    """A real one; the path of its configuration."""
    config = tmp_path / "supervisord.conf"
    text = SUPERVISOR.format(folder=tmp_path, sleep=shutil.which("sleep"), user=_user()).replace("secret%", "secret%%")
    config.write_text(text)
    command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield config
    process.terminate()
    process.wait()


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def test_a_real_supervisord(tmp_path: Path, supervisor: Path, run: Run[None]) -> None:
    async def body() -> None:
        settings = {"provider": "supervisord_cli", "supervisord_config_path": str(supervisor)}
        async with scene(tmp_path, **settings) as here:
            await here.bus.until(lambda: here.services.get("available_services"), 20)
            assert here.services["available_services"] == ["crowsnest", "klipper", "sonar"]
            assert here.services["provider"] == "supervisord_cli"
            await here.state("klipper", "active")
            assert await here.ask(rows.STOP, service="klipper") == "ok"
            await here.state("klipper", "inactive")
            assert await here.ask(rows.STOP, service="klipper") == "ok"
            assert await here.ask(rows.RESTART, service="klipper") == "ok"
            assert await here.ask(rows.START, service="klipper") == "ok"
            await here.state("klipper", "active")
            assert {"klipper": {"active_state": "active", "sub_state": "running"}} in here.told(
                "notify_service_state_changed"
            )
            with pytest.raises(HostError, match="NO_FILE"):
                await here.ask(rows.START, service="sonar")
            with pytest.raises(Refused, match="not on the list"):
                await here.ask(rows.STOP, service="other")
            here.bus.say(SYSTEM_INFO, VIRTUAL_MACHINE)
            with pytest.raises(Unavailable, match="no power"):
                await here.ask(rows.SHUTDOWN)

    run(body())


# -- nothing


def test_where_nothing_manages_services_every_method_says_so(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.delenv("DBUS_SYSTEM_BUS_ADDRESS")
    monkeypatch.setattr("agents.machine.choice.SOCKET", tmp_path / "nothing")

    async def body() -> None:
        for settings in ({}, {"provider": "none"}):
            async with scene(tmp_path, **settings) as here:
                assert here.services["provider"] == "none"
                for row in (rows.START, rows.STOP, rows.RESTART):
                    with pytest.raises(Unavailable):
                        await here.ask(row, service="klipper")
                here.bus.say(SYSTEM_INFO, VIRTUAL_MACHINE)
                for power in (rows.SHUTDOWN, rows.REBOOT):
                    with pytest.raises(Unavailable):
                        await here.ask(power)
                assert not (await here.ask(rows.SUDO_INFO))["sudo_requested"]
        assert "Traceback" not in caplog.text

    run(body())


def test_a_provider_that_is_asked_for_and_not_there_is_a_reason(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    async def body() -> None:
        for provider in ("systemd_dbus", "systemd_cli", "supervisord_cli"):
            async with scene(tmp_path, provider=provider) as here:
                assert here.services["provider"] == provider
                shown = here.bus.retained[ABILITIES]
                assert not shown["services"]["available"] and shown["services"]["reason"]
                with pytest.raises(Unavailable):
                    await here.ask(rows.START, service="klipper")

    run(body())
