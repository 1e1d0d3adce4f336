"""Services by the program systemctl, for hosts where systemd cannot be reached on D-Bus; it looks for changes."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

from bus.errors import HostError, Refused
from schemas.machine import UnitState
from schemas.services import ProviderName

from .allowed import Allowed
from .cgroups import service_of
from .processes import Ran, run
from .provider import Looks, Power, Rights, States, Unreachable, Verb
from .sudo import Sudo

PROGRAM = "systemctl"
LOOK_SECONDS = 10.0  # between two looks; the program tells no changes
ACT_SECONDS = 100.0  # systemd itself gives a service 90 s to stop
NOT_LOADED = 5  # systemctl's status where there is no such unit
MASKED = {"masked", "masked-runtime", "bad"}
SHOWN = "--property=Id,LoadState,ActiveState,SubState"


class Systemctl:
    """The provider `systemd_cli`."""

    name: ProviderName = "systemd_cli"
    has_power = True
    restarts_us = True

    def __init__(self, allowed: Allowed, sudo: Sudo) -> None:
        self._allowed = allowed
        self._sudo = sudo
        self._looks = Looks(self._survey)

    async def probe(self) -> None:
        """Asks for what only a systemd that runs can tell; unit files are listed without one, too."""
        if shutil.which(PROGRAM) is None:
            raise Unreachable("The program systemctl is missing")
        ran = await run(PROGRAM, "show", "--property=Version")
        if ran.status:
            raise Unreachable(f"systemctl: {ran.reason}")

    def states(self) -> AsyncGenerator[States, None]:
        """Looks again and again, and after each command."""
        return self._looks.states(LOOK_SECONDS)

    async def rights(self) -> Rights:
        """What sudo lets us do now."""
        if await self._sudo.allowed():
            return Rights()
        reason = f"sudo does not let '{PROGRAM}' be run without a password"
        return Rights(reason, reason, reason, sudo=shutil.which("sudo") is not None)

    async def unit_of(self, process: int) -> str | None:
        """As its control group tells."""
        return await asyncio.to_thread(service_of, process)

    async def act(self, verb: Verb, unit: str, *, wait: bool = True) -> None:
        """Runs systemctl as root."""
        options = () if wait else ("--no-block",)
        ran = await self._sudo.run(PROGRAM, *options, verb, f"{unit}.service", seconds=ACT_SECONDS)
        self._looks.soon()
        _check(ran)

    async def power(self, action: Power) -> None:
        """Runs systemctl as root."""
        _check(await self._sudo.run(PROGRAM, action))

    async def _survey(self) -> States:
        names = await self._names()
        if not names:
            return {}
        ran = await run(PROGRAM, "show", SHOWN, *(f"{name}.service" for name in names))
        if ran.status:
            raise Unreachable(f"systemctl: {ran.reason}")
        units = [dict(line.split("=", 1) for line in block.splitlines()) for block in ran.out.strip().split("\n\n")]
        return {
            Path(unit["Id"]).stem: UnitState(active_state=unit["ActiveState"], sub_state=unit["SubState"])
            for unit in units
            if unit["LoadState"] == "loaded"
        }

    async def _names(self) -> list[str]:
        ran = await run(PROGRAM, "list-unit-files", "--no-legend", "--no-pager", *self._allowed.patterns())
        if ran.status and ran.err.strip():  # without a match newer ones end with status 1, and say nothing
            raise Unreachable(f"systemctl: {ran.reason}")
        files = (line.split() for line in ran.out.splitlines())
        units = [unit.removesuffix(".service") for unit, state, *_ in files if state not in MASKED]
        return sorted(unit for unit in units if self._allowed.permits(unit) and not unit.endswith("@"))


def _check(ran: Ran) -> None:
    if ran.status == NOT_LOADED:
        raise Refused(ran.reason)
    if ran.status:
        raise HostError(ran.reason)
