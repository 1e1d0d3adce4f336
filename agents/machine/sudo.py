"""Running programs as root: the password, which is only ever in memory, and who waits for it."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bus.errors import BusError, HostError, Refused

from .processes import SECONDS, Ran, run

SUDO = "sudo"
HARMLESS = "true"  # the program that is run to see whether sudo lets us
ACCEPTED = "Sudo password successfully set."


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody needs the password for; `perform` does it, answers what came of it, and raises BusError."""

    message: str
    perform: Callable[[], Awaitable[str]]
    restarts: bool = False  # it restarts the program


class Sudo:
    """Becomes root as far as sudo lets us; `changed` is told when requests come and go."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._password: str | None = None
        self._requests: list[Request] = []
        self._entry = asyncio.Lock()

    @property
    def messages(self) -> list[str]:
        """What the password is wanted for."""
        return [request.message for request in self._requests]

    def ask(self, request: Request) -> None:
        """Asks for the password; the same question is asked once."""
        if request.message not in self.messages:
            self._requests.append(request)
            self._changed()

    def withdraw(self, message: str) -> None:
        """Takes a question back."""
        kept = [request for request in self._requests if request.message != message]
        if len(kept) != len(self._requests):
            self._requests = kept
            self._changed()

    async def run(self, *command: str, seconds: float = SECONDS) -> Ran:
        """Runs a program as root, or fails in the words of sudo."""
        return await _as_root(command, self._password, seconds)

    async def allowed(self) -> bool:
        """Whether programs can be run as root now."""
        return (await self.run(HARMLESS)).status == 0

    def preset(self, password: str) -> None:
        """Takes a password as it is configured, unseen."""
        self._password = password

    async def enter(self, password: str) -> tuple[list[str], bool]:
        """Checks and keeps the password, then does what waited for it: what came of it, and whether it restarts us.

        Raises Refused for a wrong password, HostError without sudo, and the error of the first that fails.
        """
        async with self._entry:
            await self._check(password)
            self._password = password
            return await self._perform()

    async def _check(self, password: str) -> None:
        if not is_root() and shutil.which(SUDO) is None:
            raise HostError("sudo is not installed")
        if "\n" in password or "\0" in password:
            raise Refused("A password is one line")
        if (await _as_root((HARMLESS,), password, SECONDS)).status:
            raise Refused("sudo does not accept the password")

    async def _perform(self) -> tuple[list[str], bool]:
        waiting, self._requests = self._requests, []
        if waiting:
            self._changed()
        said, failed = [ACCEPTED], []
        for request in waiting:
            try:
                said.append(await request.perform())
            except BusError as error:
                failed.append(error.message)
        if failed:
            raise HostError("; ".join(failed))
        return said, any(request.restarts for request in waiting)


def is_root() -> bool:
    """Whether we need no sudo."""
    return os.geteuid() == 0


async def _as_root(command: tuple[str, ...], password: str | None, seconds: float) -> Ran:
    if is_root():
        return await run(*command, seconds=seconds)
    if password is None:
        return await run(SUDO, "-n", "--", *command, seconds=seconds)
    # -k: a password that sudo remembers must not stand in for this one
    return await run(SUDO, "-S", "-k", "-p", "", "--", *command, given=password + "\n", seconds=seconds)
