"""The topic of a sensor: of this broker, or of one that is joined."""

import asyncio
from collections.abc import Callable

from bus.agent import Bus, Host
from bus.errors import BusError

from .settings import SensorSettings

RETRY = 2.0  # seconds until a broker that is away is tried again
ELSEWHERE = "the topics of uplinks are read beside the broker only"


class Topic:
    """Where a sensor's messages come from."""

    def __init__(self, settings: SensorSettings, bus: Bus, host: Host | None) -> None:
        self._name = settings.state_topic
        self._uplink = settings.uplink
        self._qos = bus.mqtt.default_qos if settings.qos is None else settings.qos
        self._bus = bus
        self._host = host

    async def follow(self, take: Callable[[bytes], None], fail: Callable[[str | None], None]) -> None:
        """Hands over messages until cancelled; `fail` is told why none come, and None when they do again."""
        if self._uplink is None:
            self._follow_here(take, fail)
        elif self._host is None:
            fail(ELSEWHERE)
        else:
            await self._follow_there(self._host, self._uplink, take, fail)

    def _follow_here(self, take: Callable[[bytes], None], fail: Callable[[str | None], None]) -> None:
        try:
            self._bus.subscribe(self._name, lambda _, payload: take(payload))
        except PermissionError:
            fail(f"{self._name} is private to somebody else")

    async def _follow_there(
        self, host: Host, uplink: str, take: Callable[[bytes], None], fail: Callable[[str | None], None]
    ) -> None:
        while True:
            try:
                await host.follow(self._name, take, lambda: fail(None), uplink=uplink, qos=self._qos)
            except BusError as error:
                fail(error.message)
            await asyncio.sleep(RETRY)
