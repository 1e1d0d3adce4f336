"""What manages the services of a host: the interface that all providers have, and what they say."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from schemas.machine import UnitState
from schemas.services import ProviderName

States = Mapping[str, UnitState]


class Verb(StrEnum):
    """What can be done to a service."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"


class Power(StrEnum):
    """What can be done to the host."""

    POWEROFF = "poweroff"
    HALT = "halt"
    REBOOT = "reboot"


class Unreachable(Exception):
    """The provider does not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What the provider lets us do; a text says why it does not, None that it does. `sudo`: a password would help."""

    services: str | None = None
    shutdown: str | None = None
    reboot: str | None = None
    sudo: bool = False


class Looks:
    """Looks at services again and again, for a provider that is told of no changes."""

    def __init__(self, survey: Callable[[], Awaitable[States]]) -> None:
        self._survey = survey
        self._wanted = asyncio.Event()

    def soon(self) -> None:
        """The next look is due at once: something was done."""
        self._wanted.set()

    async def states(self, seconds: float) -> AsyncGenerator[States, None]:
        """What each look finds, with at most so many seconds between two."""
        while True:
            self._wanted.clear()
            yield await self._survey()
            try:
                async with asyncio.timeout(seconds):
                    await self._wanted.wait()
            except TimeoutError:
                continue


class Provider(Protocol):
    """One way to manage services; names are those of units, without `.service`."""

    name: ProviderName
    has_power: bool  # over the host
    restarts_us: bool  # it can restart the service that we are

    async def probe(self) -> None:
        """Finds out whether it answers; raises Unreachable."""

    def states(self) -> AsyncGenerator[States, None]:
        """How all services are that we may manage, at once and after each change; raises Unreachable at its end."""

    async def rights(self) -> Rights:
        """Asks what we may do, without doing it."""

    async def unit_of(self, process: int) -> str | None:
        """The service that a process belongs to."""

    async def act(self, verb: Verb, unit: str, *, wait: bool = True) -> None:
        """Does it, and waits until it is done; raises Refused where there is no such unit, HostError, Unavailable."""

    async def power(self, action: Power) -> None:
        """Ends or restarts the host; returns once that has begun; raises HostError and Unavailable."""
