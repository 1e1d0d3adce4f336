"""A private dbus-daemon, and on it a systemd, logind and polkit that do what a test says."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant

DAEMON = "dbus-daemon"
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""
NAMES = ("org.freedesktop.systemd1", "org.freedesktop.login1", "org.freedesktop.PolicyKit1")
MANAGER = "org.freedesktop.systemd1.Manager"
ROOT = "/org/freedesktop/systemd1"
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
Json = dict[str, Any]


class PrivateBus:
    """A dbus-daemon of its own."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bus"
        self.address = f"unix:path={self.socket}"
        self._config = folder / "bus.conf"
        self._daemon: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Starts it, at the same address every time."""
        if shutil.which(DAEMON) is None:
            pytest.skip(f"{DAEMON} is not installed")
        self._config.write_text(CONFIG.format(socket=self.socket))
        command = [DAEMON, f"--config-file={self._config}", "--nofork", "--print-address"]
        self._daemon = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._daemon.stdout is not None
        assert self._daemon.stdout.readline().startswith(self.address)

    def stop(self) -> None:
        """Ends it; the socket goes with it."""
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.communicate()
            self._daemon = None
        self.socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


class _Refusal(Exception):
    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class ScriptedSystemd:
    """Units by name with active and sub state; `denied` methods answer AccessDenied."""

    def __init__(self, address: str, **units: tuple[str, str]) -> None:
        self._address = address
        self.units = {name.replace("__", "-"): state for name, state in units.items()}
        self.asked: list[tuple[str, list[Any]]] = []
        self.callers: dict[str, str] = {}  # who called a method last
        self._heard = asyncio.Event()
        self.denied: set[str] = set()
        self.can = {"CanPowerOff": "yes", "CanHalt": "yes", "CanReboot": "yes"}
        self.polkit = True
        self.job_result = "done"
        self.holding = False  # jobs do not end
        self._jobs = 0
        self._bus: MessageBus | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._bus = await MessageBus(bus_address=self._address).connect()
        self._bus.add_message_handler(self._on_message)
        for name in NAMES:
            await self._bus.request_name(name)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._bus is not None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._bus.connected:
            self._bus.disconnect()  # type: ignore[no-untyped-call]
        await asyncio.gather(self._bus._disconnect_future, return_exceptions=True)
        self._bus._stream.close()
        self._bus._sock.close()

    def called(self, member: str) -> list[list[Any]]:
        """The arguments of all calls of a method."""
        return [arguments for name, arguments in self.asked if name == member]

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits until a call has made it true."""
        async with asyncio.timeout(5):
            while not condition():
                self._heard.clear()
                await self._heard.wait()

    def becomes(self, unit: str, active: str, sub: str) -> None:
        """A unit's state changes."""
        self.units[unit] = (active, sub)
        changed = {"ActiveState": Variant("s", active), "SubState": Variant("s", sub)}
        self.signal(
            _path(unit),
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            "sa{sv}as",
            ["org.freedesktop.systemd1.Unit", changed, []],
        )

    def reloads(self) -> None:
        """As after `systemctl daemon-reload`."""
        for begins in (True, False):
            self.signal(ROOT, MANAGER, "Reloading", "b", [begins])

    def signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        """Says something to all."""
        assert self._bus is not None
        sent = self._bus.send(Message.new_signal(path, interface, member, signature, body))
        sent.add_done_callback(lambda ended: ended.exception())

    def _on_message(self, message: Message) -> Message | bool:
        if message.message_type is not MessageType.METHOD_CALL:
            return False
        self.asked.append((message.member, message.body))
        self.callers[message.member] = message.sender
        self._heard.set()
        handler: Callable[..., tuple[str, list[Any]]] | None = getattr(self, f"_{message.member}", None)
        try:
            if message.member in self.denied:
                raise _Refusal(DENIED, "Access denied by the script")
            if handler is None:
                raise _Refusal("org.freedesktop.DBus.Error.UnknownMethod", message.member)
            signature, body = handler(*message.body)
        except _Refusal as refusal:
            return Message.new_error(message, refusal.name, str(refusal))
        return Message.new_method_return(message, signature, body)

    # -- the methods

    def _Subscribe(self) -> tuple[str, list[Any]]:
        return "", []

    def _ListUnitFilesByPatterns(self, _states: list[str], patterns: list[str]) -> tuple[str, list[Any]]:
        found = [f"{name}.service" for name in self.units]
        wanted = [re.compile(re.escape(pattern).replace(r"\*", ".*")) for pattern in patterns]
        files = [name for name in found if any(each.fullmatch(name) for each in wanted)]
        return "a(ss)", [[[f"/etc/systemd/system/{name}", "enabled"] for name in files]]

    def _ListUnitsByNames(self, names: list[str]) -> tuple[str, list[Any]]:
        return "a(ssssssouso)", [[self._unit(name.removesuffix(".service")) for name in names]]

    def _unit(self, name: str) -> list[Any]:
        active, sub = self.units.get(name, ("inactive", "dead"))
        load = "loaded" if name in self.units else "not-found"
        return [f"{name}.service", "", load, active, sub, "", _path(name), 0, "", "/"]

    def _StartUnit(self, unit: str, _mode: str) -> tuple[str, list[Any]]:
        return self._job(unit, ("activating", "start"), ("active", "running"))

    def _StopUnit(self, unit: str, _mode: str) -> tuple[str, list[Any]]:
        return self._job(unit, ("deactivating", "stop-sigterm"), ("inactive", "dead"))

    def _RestartUnit(self, unit: str, _mode: str) -> tuple[str, list[Any]]:
        return self._job(unit, ("deactivating", "stop-sigterm"), ("inactive", "dead"), ("active", "running"))

    def _job(self, unit: str, *states: tuple[str, str]) -> tuple[str, list[Any]]:
        name = unit.removesuffix(".service")
        if name not in self.units:
            raise _Refusal("org.freedesktop.systemd1.NoSuchUnit", f"Unit {unit} not found.")
        self._jobs += 1
        path = f"{ROOT}/job/{self._jobs}"
        work = self._run_job(self._jobs, path, name, states)
        task = asyncio.get_running_loop().create_task(work, name=path)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return "o", [path]

    async def _run_job(self, number: int, path: str, name: str, states: tuple[tuple[str, str], ...]) -> None:
        if self.holding:
            await asyncio.Event().wait()
        if self.job_result == "done":
            for state in states:
                self.becomes(name, *state)
        self.signal(ROOT, MANAGER, "JobRemoved", "uoss", [number, path, f"{name}.service", self.job_result])

    def _CheckAuthorization(self, *_asked: Any) -> tuple[str, list[Any]]:
        return "(bba{ss})", [[self.polkit, False, {}]]

    def _CanPowerOff(self) -> tuple[str, list[Any]]:
        return "s", [self.can["CanPowerOff"]]

    def _CanHalt(self) -> tuple[str, list[Any]]:
        return "s", [self.can["CanHalt"]]

    def _CanReboot(self) -> tuple[str, list[Any]]:
        return "s", [self.can["CanReboot"]]

    def _PowerOff(self, _interactive: bool) -> tuple[str, list[Any]]:
        return "", []

    _Halt = _Reboot = _PowerOff


def _path(unit: str) -> str:
    """As systemd escapes names."""
    escaped = "".join(letter if letter.isalnum() else f"_{ord(letter):02x}" for letter in f"{unit}.service")
    return f"{ROOT}/unit/{escaped}"
