"""A session over a socket (aiomqtt): the same interface as a local one, reconnecting for ever with bounded back-off."""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomqtt

from .calls import Received
from .matching import Trie

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.25  # seconds
MAX_BACKOFF = 5.0
KEEP_ALIVE = 15  # seconds
OUTBOX = 10_000  # messages; while the link is down or slow the oldest is dropped and counted
NODELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)  # without it an answer takes 44 ms

Handler = Callable[[Received], None]
REFUSED_IDENTIFIER = 2  # CONNACK code (MQTT 3.1.1 section 3.2.2.3)


class Refused(Exception):
    """The broker does not want this client: its id is in use, or its credentials are wrong."""


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where a broker is: mqtt://[user[:password]@]host[:port]."""

    host: str
    port: int
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> "BrokerUrl":
        """Raises ValueError for anything that is not such a URL."""
        parts = urlsplit(url)
        if parts.scheme != "mqtt" or not parts.hostname:
            raise ValueError(f"broker URL {url!r}: expected mqtt://HOST[:PORT]")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(parts.hostname, parts.port or 1883, user, password)


@dataclass(frozen=True, slots=True)
class RemoteMessage:
    """A message as it came over the wire."""

    topic: str
    payload: bytes
    retain: bool


class RemoteSession:
    """A client of a broker in another process; `connected` and `lost` are told about the link."""

    def __init__(
        self,
        broker: BrokerUrl,
        client_id: str,
        *,
        will: tuple[str, bytes] | None = None,
        connected: Callable[[], None] = lambda: None,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.client_id = client_id
        self.dropped = 0
        self._broker = broker
        self._will = aiomqtt.Will(will[0], will[1], retain=True) if will else None
        self._connected = connected
        self._lost = lost
        self._filters: dict[str, list[Handler]] = {}
        self._trie: Trie[str] = Trie()
        self._outbox: deque[tuple[str, bytes, int, bool]] = deque()
        self._ready = asyncio.Event()
        self._client: aiomqtt.Client | None = None

    def subscribe(self, topic_filter: str, handler: Handler, /) -> None:
        """Calls the handler with every message that matches, now and after each reconnect."""
        self._filters.setdefault(topic_filter, []).append(handler)
        self._trie.add(topic_filter, topic_filter, 0)
        self._say("subscribe", topic_filter)

    def unsubscribe(self, topic_filter: str, /) -> None:
        """Ends a subscription."""
        if self._filters.pop(topic_filter, None) is not None:
            self._trie.discard(topic_filter, topic_filter)
            self._say("unsubscribe", topic_filter)

    def _say(self, what: str, topic_filter: str) -> None:
        if self._client is not None:
            self._put((f"\0{what}", topic_filter.encode(), 0, False))

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Queues a message; over the bound the oldest is dropped."""
        self._put((topic, payload, qos, retain))

    def _put(self, entry: tuple[str, bytes, int, bool]) -> None:
        if len(self._outbox) >= OUTBOX:
            self._outbox.popleft()
            self.dropped += 1
        self._outbox.append(entry)
        self._ready.set()

    def close(self) -> None:
        """Drops what is queued; the link ends with `run`."""
        self._outbox.clear()

    async def run(self) -> None:
        """Keeps the link until cancelled; raises Refused when the broker's first answer is no."""
        backoff, welcome = FIRST_BACKOFF, False
        while True:
            try:
                await self._live()
            except aiomqtt.MqttError as error:
                if not welcome and _is_refusal(error):
                    raise Refused(str(error)) from error
                log.log(logging.INFO if welcome else logging.WARNING, "broker %s: %s", self._broker.host, error)
            finally:
                if self._client is not None:
                    self._client, welcome, backoff = None, True, FIRST_BACKOFF
                    self._lost()
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF)

    async def _live(self) -> None:
        broker = self._broker
        async with aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.user,
            password=broker.password,
            identifier=self.client_id,
            will=self._will,
            clean_session=True,  # nothing stale is replayed
            keepalive=KEEP_ALIVE,
            socket_options=NODELAY,
            max_queued_incoming_messages=OUTBOX,
        ) as client:
            for topic_filter in list(self._filters):
                await client.subscribe(topic_filter)
            self._outbox.clear()
            self._client = client
            self._connected()
            await self._exchange(client)

    async def _exchange(self, client: aiomqtt.Client) -> None:
        """Both directions until one breaks; its error ends the other."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._send(client), name=f"{self.client_id}: send")
                tasks.create_task(self._receive(client), name=f"{self.client_id}: receive")
        except* aiomqtt.MqttError as broken:
            raise aiomqtt.MqttError(str(broken.exceptions[0])) from broken

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._outbox:
                topic, payload, qos, retain = self._outbox.popleft()
                if topic == "\0subscribe":
                    await client.subscribe(payload.decode())
                elif topic == "\0unsubscribe":
                    await client.unsubscribe(payload.decode())
                else:
                    await client.publish(topic, payload, qos=qos, retain=retain)

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = message.topic.value
            received = RemoteMessage(topic, _bytes(message.payload), message.retain)
            for topic_filter in self._trie.match(topic):
                for handler in list(self._filters.get(topic_filter, ())):
                    self._deliver(handler, received)

    def _deliver(self, handler: Handler, received: RemoteMessage) -> None:
        try:
            handler(received)
        except Exception:
            log.exception("a message on %s could not be handled", received.topic)


def _bytes(payload: Any) -> bytes:
    return payload if isinstance(payload, bytes) else str(payload or "").encode()


def _is_refusal(error: aiomqtt.MqttError) -> bool:
    code = getattr(error, "rc", None)
    value = getattr(code, "value", code)
    return isinstance(error, aiomqtt.MqttCodeError) and value in (1, 2, 4, 5, 132, 133, 134, 135)
