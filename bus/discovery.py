"""Finding out what kind of broker is at the other end of an uplink."""

import asyncio

from .client import Link, RemoteMessage
from .dialects import DIALECTS, PLAIN, Dialect, named_by

PATIENCE = 1.0  # seconds for the broker to send back what it was sent
CUTS = 2  # so often a broker has to end the connection over the probe, which may also be chance
VERSION = "$SYS/broker/version"
AWKWARD = "a.b"  # a topic level over which NATS ends the connection, and of which RabbitMQ makes two


class Discovery:
    """Sends a topic that not every broker can carry, sees what becomes of it, and reads the broker's name."""

    def __init__(self, instance: str) -> None:
        self._base = f"{instance}/uplink/probe"
        self._version = ""
        self._echo: asyncio.Future[str] | None = None
        self._cuts = 0

    async def ask(self, link: Link) -> Dialect:
        """The dialect of the broker at the other end."""
        self._echo = asyncio.get_running_loop().create_future()
        await link.subscribe(VERSION)
        await link.subscribe(f"{self._base}/#")
        self._cuts += 1
        try:
            async with asyncio.timeout(PATIENCE):
                await link.publish(f"{self._base}/{AWKWARD}", b"probe")
                found = self._judge(await self._echo)
        except TimeoutError:  # it may not be allowed to
            found = PLAIN
        self._cuts = 0
        return found

    def cut(self) -> Dialect | None:
        """What it says about the broker that the link was lost, if that happened over the probe again and again."""
        return DIALECTS["nats"] if self._cuts >= CUTS else None

    def received(self, message: RemoteMessage) -> None:
        """Takes any message of the broker."""
        if message.topic == VERSION:
            self._version = message.payload.decode(errors="replace")
        elif self._echo is not None and not self._echo.done() and message.topic.startswith(f"{self._base}/"):
            self._echo.set_result(message.topic)

    def _judge(self, echo: str) -> Dialect:
        if echo != f"{self._base}/{AWKWARD}":
            return DIALECTS["rabbitmq"]
        return DIALECTS[named_by(self._version) or "other"]
