"""Services by systemd over D-Bus: changes come as signals, and a command ends with the job that it began."""

import asyncio
import re
from collections.abc import AsyncGenerator
from enum import Enum
from typing import Any

from bus.errors import BusError, HostError, Refused, Timeout, Unavailable
from schemas.machine import UnitState
from schemas.services import ProviderName

from .allowed import Allowed
from .cgroups import service_of
from .dbus import ABSENT, DAEMON, DENIED, CallFailed, Peer, Signal, SystemBus, text
from .provider import Power, Rights, States, Unreachable, Verb
from .sudo import is_root

MANAGER = Peer("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
LOGIN = Peer("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
POLKIT = Peer(
    "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"
)
PROPERTIES, UNIT = "org.freedesktop.DBus.Properties", "org.freedesktop.systemd1.Unit"
MANAGE_UNITS = "org.freedesktop.systemd1.manage-units"
NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"
JOB_SECONDS = 100.0  # systemd itself gives a service 90 s to stop
WAITING = 256  # changes that have not been told; with more, all units are asked for anew
ENDED_JOBS = 64  # that are remembered: a job may end before the answer that names it has been read
MASKED = {"masked", "masked-runtime", "bad"}
SUCCESS = {"done", "skipped"}
JOBS = {Verb.START: "StartUnit", Verb.STOP: "StopUnit", Verb.RESTART: "RestartUnit"}
POWERS = {Power.POWEROFF: "PowerOff", Power.HALT: "Halt", Power.REBOOT: "Reboot"}
CANNOT = {"na": "this host cannot do that", "no": "polkit does not allow it", "challenge": "polkit wants a password"}


class News(Enum):
    """What is not a change of a service."""

    GONE = "gone"
    RELOADED = "reloaded"


Change = tuple[str, UnitState]


class SystemdBus:
    """The provider `systemd_dbus`."""

    name: ProviderName = "systemd_dbus"
    has_power = True
    restarts_us = True

    def __init__(self, allowed: Allowed, off: Power, address: str | None = None) -> None:
        self._allowed = allowed
        self._off = off
        self._address = address
        self._bus: SystemBus | None = None
        self._systemd = ""  # its unique name: anybody may send us signals
        self._units: dict[str, str] = {}  # names by the path of the object
        self._known: dict[str, UnitState] = {}  # as the last signals say
        self._told: States = {}  # as those say that were told
        self._news: asyncio.Queue[Change | News] = asyncio.Queue(WAITING)
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._ended: dict[str, str] = {}  # results of jobs

    async def probe(self) -> None:
        """Asks systemd what will be asked later."""
        async with self._connection() as bus:
            await self._names(bus)

    async def states(self) -> AsyncGenerator[States, None]:
        """Follows signals until systemd or the bus goes."""
        self._news = asyncio.Queue(WAITING)
        async with self._connection() as self._bus:
            try:
                await self._follow(self._bus)
                yield await self._survey(self._bus)
                while True:
                    yield await self._next(self._bus)
            finally:
                self._bus = None
                self._abandon()

    def _connection(self) -> SystemBus:
        return SystemBus(self._hear, lambda: self._tell(News.GONE), self._address)

    async def rights(self) -> Rights:
        """As polkit and logind tell; root needs no leave from polkit."""
        bus = self._connected()
        return Rights(
            services=None if is_root() else await _may_manage(bus),
            shutdown=await _may(bus, f"Can{POWERS[self._off]}"),
            reboot=await _may(bus, f"Can{POWERS[Power.REBOOT]}"),
        )

    async def unit_of(self, process: int) -> str | None:
        """As its control group tells."""
        return await asyncio.to_thread(service_of, process)

    async def act(self, verb: Verb, unit: str, *, wait: bool = True) -> None:
        """Waits for the job to end."""
        (job,) = await self._ask(MANAGER, JOBS[verb], "ss", f"{unit}.service", "replace")
        result = await self._end_of(job) if wait else "done"
        if result not in SUCCESS:
            raise HostError(f"systemd could not {verb} {unit}: the job ended as '{result}'")

    async def power(self, action: Power) -> None:
        """Leaves it to logind."""
        await self._ask(LOGIN, POWERS[action], "b", False)

    # -- calls

    def _connected(self) -> SystemBus:
        if self._bus is None:
            raise Unavailable("The system bus cannot be reached")
        return self._bus

    async def _ask(self, peer: Peer, member: str, signature: str, *arguments: Any) -> list[Any]:
        try:
            return await self._connected().call(peer, member, signature, *arguments)
        except CallFailed as failed:
            raise _explained(peer, failed) from None
        except Unreachable as gone:
            raise Unavailable(str(gone)) from None

    async def _end_of(self, job: str) -> str:
        if job in self._ended:
            return self._ended[job]
        self._jobs[job] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(JOB_SECONDS):
                return await self._jobs[job]
        except TimeoutError:
            raise Timeout(f"systemd has not finished within {JOB_SECONDS:g} s") from None
        finally:
            del self._jobs[job]

    def _abandon(self) -> None:
        for waiting in self._jobs.values():
            if not waiting.done():
                waiting.set_exception(Unavailable("The system bus has gone, so how it ended is not known"))

    # -- what units there are, and how they are

    async def _follow(self, bus: SystemBus) -> None:
        """Has the signals of the manager delivered."""
        self._units, self._known, self._ended = {}, {}, {}
        await bus.listen(sender=DAEMON.name, member="NameOwnerChanged", arg0=MANAGER.name)
        for member in ("JobRemoved", "Reloading"):
            await bus.listen(sender=MANAGER.name, interface=MANAGER.interface, member=member)
        await self._require(bus, MANAGER, "Subscribe")
        (self._systemd,) = await self._require(bus, DAEMON, "GetNameOwner", "s", MANAGER.name)

    async def _survey(self, bus: SystemBus) -> States:
        """Asks for states only when changes of them would be heard."""
        names = await self._names(bus)
        for name in names:
            path = unit_path(f"{name}.service")
            if path not in self._units:
                self._units[path] = name
                await bus.listen(sender=MANAGER.name, path=path, interface=PROPERTIES, arg0=UNIT)
        (units,) = await self._require(bus, MANAGER, "ListUnitsByNames", "as", [f"{name}.service" for name in names])
        found = {unit[0].removesuffix(".service"): unit for unit in units if unit[2] == "loaded"}
        self._known = {
            name: UnitState(active_state=found[name][3], sub_state=found[name][4]) for name in names if name in found
        }
        self._told = dict(self._known)
        return self._told

    async def _names(self, bus: SystemBus) -> list[str]:
        """The services with unit files that may be managed."""
        patterns = self._allowed.patterns()
        (files,) = await self._require(bus, MANAGER, "ListUnitFilesByPatterns", "asas", [], patterns)
        names = {path.rpartition("/")[2].removesuffix(".service") for path, state in files if state not in MASKED}
        return sorted(name for name in names if self._allowed.permits(name) and not name.endswith("@"))

    async def _require(
        self, bus: SystemBus, peer: Peer, member: str, signature: str = "", *arguments: Any
    ) -> list[Any]:
        try:
            return await bus.call(peer, member, signature, *arguments)
        except CallFailed as failed:
            raise Unreachable(f"systemd does not answer on the system bus: {failed.text}") from None

    async def _next(self, bus: SystemBus) -> States:
        news = await self._news.get()
        if news is News.GONE:
            raise Unreachable("The system bus, or systemd on it, has gone")
        if news is News.RELOADED:
            return await self._survey(bus)
        name, state = news
        if name in self._told:  # it has not gone with a reload meanwhile
            self._told = {**self._told, name: state}
        return self._told

    def _tell(self, news: Change | News) -> None:
        if self._news.full():
            self._news = asyncio.Queue(WAITING)
            news = news if news is News.GONE else News.RELOADED
        self._news.put_nowait(news)

    # -- signals

    def _hear(self, signal: Signal) -> None:
        if signal.sender == DAEMON.name and signal.member == "NameOwnerChanged":
            if signal.body[0] == MANAGER.name and signal.body[2] != self._systemd:
                self._tell(News.GONE)
        elif signal.sender != self._systemd:
            return
        elif signal.member == "JobRemoved":
            self._hear_job(path=signal.body[1], result=signal.body[3])
        elif signal.member == "Reloading" and not signal.body[0]:
            self._tell(News.RELOADED)
        elif signal.member == "PropertiesChanged" and signal.path in self._units:
            self._hear_unit(self._units[signal.path], signal.body[1])

    def _hear_job(self, path: str, result: str) -> None:
        while len(self._ended) >= ENDED_JOBS:
            del self._ended[next(iter(self._ended))]
        self._ended[path] = result
        waiting = self._jobs.get(path)
        if waiting is not None and not waiting.done():
            waiting.set_result(result)

    def _hear_unit(self, name: str, changed: dict[str, Any]) -> None:
        before = self._known.get(name)
        if before is None:
            return  # the survey is under way
        state = UnitState(
            active_state=changed.get("ActiveState", before.active_state),
            sub_state=changed.get("SubState", before.sub_state),
        )
        if state != before:
            self._known[name] = state
            self._tell((name, state))


def unit_path(unit: str) -> str:
    """The path of a unit's object: everything but letters and digits is escaped, as is a digit in front."""
    return "/org/freedesktop/systemd1/unit/" + re.sub(
        r"^[0-9]|[^A-Za-z0-9]", lambda found: "".join(f"_{byte:02x}" for byte in found[0].encode()), unit
    )


async def _may(bus: SystemBus, question: str) -> str | None:
    """Why logind would not do it."""
    try:
        (answer,) = await bus.call(LOGIN, question)
    except CallFailed as failed:
        return f"logind does not answer: {failed.text}"
    return None if answer == "yes" else f"logind says '{answer}': {CANNOT.get(answer, 'not possible now')}"


async def _may_manage(bus: SystemBus) -> str | None:
    """Why polkit would not let us manage services."""
    who = ["system-bus-name", {"name": text(bus.unique_name)}]
    try:
        ((authorized, *_),) = await bus.call(
            POLKIT, "CheckAuthorization", "(sa{sv})sa{ss}us", who, MANAGE_UNITS, {}, 0, ""
        )
    except CallFailed as failed:
        return f"polkit, which would have to allow it, does not answer: {failed.text}"
    return None if authorized else f"polkit does not allow '{MANAGE_UNITS}'"


def _explained(peer: Peer, failed: CallFailed) -> BusError:
    who = peer.name.rpartition(".")[2]
    if failed.name == NO_SUCH_UNIT:
        return Refused(failed.text)
    if failed.name in DENIED:
        return HostError(f"No permission: {failed.text}")
    if failed.name in ABSENT:
        return HostError(f"{who} is not on the system bus: {failed.text}")
    return HostError(f"{who} refused: {failed.text}")
