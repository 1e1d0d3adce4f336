"""Errands on a joined broker: messages published, awaited or followed there, each over a connection of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from .client import Link, LinkLost, Terms, connected
from .errors import InvalidParams, Unavailable
from .mirror import FOREIGN
from .peering import Parts


class Errands:
    """Goes with the rights that the uplink has there; `five` says which version of MQTT that broker speaks.

    Connections of their own keep what callers wait for apart from what the uplink has subscribed to.
    """

    def __init__(self, parts: Parts, five: Callable[[], bool]) -> None:
        self.role = parts.settings.role
        self._parts = parts
        self._five = five

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Returns when that broker has the message; raises Unavailable, and InvalidParams for what it cannot carry."""
        name = self._named(topic)
        async with self._visit() as link:
            await link.publish(name, payload, qos=qos, retain=retain)

    async def first(self, topic: str, *, qos: int) -> bytes:
        """What is retained there on a topic, or the next message; raises as `publish`."""
        name = self._named(topic)
        async with self._visit() as link:
            if not await link.subscribe(name, qos):
                raise LinkLost("it refuses the subscription")
            return (await link.next()).payload

    async def follow(self, topic: str, take: Callable[[bytes], None], begun: Callable[[], None], *, qos: int) -> None:
        """Hands over what comes there on a topic, until the connection is lost; raises as `publish`."""
        name = self._named(topic)
        async with self._visit() as link:
            if not await link.subscribe(name, qos):
                raise LinkLost("it refuses the subscription")
            begun()
            await link.receive(lambda message: take(message.payload))
            raise LinkLost("the connection has ended")

    def _named(self, topic: str) -> str:
        parts = self._parts
        if parts.dialect is None:
            raise Unavailable(f"The uplink '{parts.name}' has not been up yet")
        name = parts.dialect.encode(topic)
        if name is None:
            raise InvalidParams(f"Argument topic: the broker of the uplink '{parts.name}' cannot carry it")
        return name

    @asynccontextmanager
    async def _visit(self) -> AsyncIterator[Link]:
        name, home, settings = self._parts.name, self._parts.home, self._parts.settings
        client_id = f"{FOREIGN}{home.topics.instance}-{name}-{uuid4().hex[:12]}"
        try:
            broker = await asyncio.to_thread(settings.address)
            tls = await asyncio.to_thread(settings.tls)
            async with connected(broker, client_id, Terms(tls=tls, version5=self._five())) as link:
                yield link
        except (LinkLost, OSError, ValueError) as lost:
            raise Unavailable(f"The broker of the uplink '{name}': {lost}") from lost
