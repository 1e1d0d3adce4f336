"""Connections to a broker over a socket (aiomqtt): single ones, and sessions that reconnect for ever."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes  # aiomqtt's own base: it has no names for MQTT 5 properties
from paho.mqtt.properties import Properties

from .broker_url import BrokerUrl as BrokerUrl
from .calls import Received
from .matching import Trie

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.25  # seconds
MAX_BACKOFF = 2.0
KEEP_ALIVE = 15  # seconds until the broker takes a silent client for dead
PROBE_EVERY = 1.5  # seconds between two looks whether the broker still answers
PROBE_PATIENCE = 2.0  # seconds for that answer; a connection that is open on this side only is noticed by then
BUSY_PATIENCE = 20.0  # the same while much is under way, which the answer has to wait for
CONNECT_PATIENCE = 2.0  # seconds for a TCP connection to each address
ANSWER_PATIENCE = 10.0  # seconds for any other answer of the broker
INBOX = 10_000  # messages; what comes while it is full is refused, or dropped and counted
INBOX_BYTES = 32 << 20
OUTBOX = 10_000  # messages; while the link is down or slow the oldest is dropped and counted
SEND_TURN = 16  # messages sent between two turns of the loop
SEND_BUFFER = 65_536  # bytes that the kernel takes; more would only hide that the other side does not answer
PROBE_FILTER = "printbus/probe"  # nobody subscribes to it; leaving it is the cheapest question that brokers answer
SOCKET_OPTIONS = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # without it an answer takes 44 ms
    (socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER),
)
REFUSALS = (1, 2, 4, 5, 132, 133, 134, 135)  # CONNACK codes of both versions that waiting does not change
REFUSED = 128  # the lowest code of a subscription that is refused (MQTT 3.1.1 section 3.9.3)
VERSION_REFUSED = 132  # (MQTT 5 section 3.2.2.2; that of 3.1.1 is turned into it)

Handler = Callable[[Received], None]
_SILENT = logging.getLogger(
    f"{__name__}.wire"
)  # paho and aiomqtt say each thing once a message; what matters is raised
_SILENT.setLevel(logging.CRITICAL)


class Refused(Exception):
    """The broker does not want this client: its id is in use, or its credentials are wrong."""


class LinkLost(Exception):
    """A connection has ended or could not be made; `refusal` is the CONNACK code of a broker that said no, and a `mute`
    one took the connection without ever answering CONNECT, as some do with a version that they do not speak.
    """

    mute = False

    def __init__(self, reason: object, refusal: int | None = None) -> None:
        super().__init__(str(reason) or type(reason).__name__)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class RemoteMessage:
    """A message as it came over the wire; `response` and `correlation` are what MQTT 5 lets a requester say."""

    topic: str
    payload: bytes
    retain: bool
    qos: int = 0
    response: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How to connect; a retained will, TLS for mqtts, MQTT 5 where wanted, and how long to wait for the broker."""

    will: tuple[str, bytes] | None = None
    tls: ssl.SSLContext | None = None
    version5: bool = False
    patience: float = ANSWER_PATIENCE
    goodbye: bool = True  # without one, the broker sends the will at the end in any case


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """What has come and was not taken yet; bounded in messages and bytes, without a line in the log for each."""

    dropped = 0
    refuse: Callable[["RemoteMessage"], None] | None = None
    _held = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        size = _size(item)
        if self.full() or self._held + size > INBOX_BYTES:
            self.dropped += 1
            if self.refuse is not None:
                self.refuse(_received(item))
            return
        self._held += size
        super().put_nowait(item)

    def get_nowait(self) -> aiomqtt.Message:
        item = super().get_nowait()
        self._held -= _size(item)
        return item


def _size(message: aiomqtt.Message) -> int:
    return len(message.payload) if isinstance(message.payload, bytes) else 0


class Link:
    """One connection to a broker; everything raises LinkLost once it is gone."""

    def __init__(self, client: aiomqtt.Client, terms: Terms) -> None:
        self._client = client
        self.version5 = terms.version5

    async def subscribe(self, topic_filter: str, qos: int = 0) -> bool:
        """Asks for messages; whether the broker grants it. Raises LinkLost when it does not answer."""
        with _translated():
            granted = await self._client.subscribe(topic_filter, qos)
        return all(getattr(code, "value", code) < REFUSED for code in granted)

    async def unsubscribe(self, topic_filter: str, patience: float = ANSWER_PATIENCE) -> None:
        """Ends a subscription."""
        with _translated():
            await self._client.unsubscribe(topic_filter, timeout=patience)

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, correlation: bytes | None = None
    ) -> None:
        """Sends a message: returns when it is in the kernel, with QoS 1 when the broker has it."""
        properties = _correlated(correlation) if correlation is not None and self.version5 else None
        with _translated():
            await self._client.publish(topic, payload, qos, retain, properties, timeout=BUSY_PATIENCE)

    async def receive(
        self, handler: Callable[[RemoteMessage], None], overflow: Callable[[RemoteMessage], None] | None = None
    ) -> None:
        """Hands over messages until the link is lost, and to `overflow` at once what finds the inbox full."""
        if isinstance(self._client._queue, _Inbox):
            self._client._queue.refuse = overflow
        with _translated():
            async for message in self._client.messages:
                handler(_received(message))

    async def next(self) -> RemoteMessage:
        """Waits for one message."""
        with _translated():
            async for message in self._client.messages:
                return _received(message)
        raise LinkLost("the connection has ended")

    async def watch(self, is_busy: Callable[[], bool]) -> None:
        """Asks the broker for a sign of life again and again; raises LinkLost when none comes."""
        while True:
            await asyncio.sleep(PROBE_EVERY)
            await self.unsubscribe(PROBE_FILTER, BUSY_PATIENCE if is_busy() else PROBE_PATIENCE)


@contextlib.asynccontextmanager
async def connected(broker: BrokerUrl, client_id: str, terms: Terms) -> AsyncIterator[Link]:
    """A link that ends with the block: with a goodbye, but after LinkLost without one, so that the will is sent."""
    client = _client(broker, client_id, terms)
    try:
        await _enter(client, client_id)
        try:
            yield Link(client, terms)
        except LinkLost:
            raise
        except BaseException:
            if terms.goodbye:
                await _say_goodbye(client)
            raise
        await _say_goodbye(client)
    finally:
        _clear(client)


def _client(broker: BrokerUrl, client_id: str, terms: Terms) -> aiomqtt.Client:
    client = aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.user,
        password=broker.password,
        identifier=client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if terms.version5 else aiomqtt.ProtocolVersion.V311,
        will=aiomqtt.Will(terms.will[0], terms.will[1], retain=True) if terms.will else None,
        clean_session=None if terms.version5 else True,  # nothing stale is replayed
        keepalive=KEEP_ALIVE,
        timeout=terms.patience,
        tls_context=terms.tls,
        socket_options=SOCKET_OPTIONS,
        queue_type=_Inbox,
        max_queued_incoming_messages=INBOX,
        logger=_SILENT,
    )
    client.pending_calls_threshold = SEND_TURN
    client._client.connect_timeout = CONNECT_PATIENCE
    return client


async def _enter(client: aiomqtt.Client, name: str) -> None:
    """Connects. paho does it in a thread, which cannot be stopped: a cancelled caller still waits for its end, though
    not for the broker's answer.
    """
    entering = asyncio.create_task(client.__aenter__(), name=f"{name}: connect")
    try:
        with _translated():
            await asyncio.shield(entering)
    except LinkLost as lost:
        lost.mute = lost.refusal is None and client._misc_task is not None
        raise
    except asyncio.CancelledError:
        if not client._connected.done():
            client._connected.set_exception(aiomqtt.MqttError("given up"))
            client._connected.exception()  # else the loop complains where nobody comes to look at it
        with contextlib.suppress(aiomqtt.MqttError, OSError, ValueError):
            await entering
            await _say_goodbye(client)
        raise


async def _say_goodbye(client: aiomqtt.Client) -> None:
    client.timeout = PROBE_PATIENCE
    with contextlib.suppress(aiomqtt.MqttError):
        await client.__aexit__(None, None, None)


def _clear(client: aiomqtt.Client) -> None:
    """Closes what a failed connection leaves behind: aiomqtt keeps its socket, reader and timer."""
    client._client._sock_close()
    if isinstance(client._queue, _Inbox) and client._queue.dropped:
        log.warning("%s: %d messages came faster than they could be taken", client.identifier, client._queue.dropped)
    if client._disconnected.done() and not client._disconnected.cancelled():
        client._disconnected.exception()  # else the loop complains that nobody looked at it


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except aiomqtt.MqttError as error:
        raise LinkLost(error.__cause__ or error, _refusal(error)) from error
    except (OSError, ValueError) as error:  # of the resolver, of TLS, or a topic that is none
        raise LinkLost(error) from error
    task = asyncio.current_task()
    if task is not None and task.cancelling():  # wait_for of Python 3.11 forgets it when the answer comes just then
        raise asyncio.CancelledError


def _refusal(error: aiomqtt.MqttError) -> int | None:
    if not isinstance(error, MqttConnectError):
        return None
    value = getattr(error.rc, "value", error.rc)
    return value if isinstance(value, int) else None


def _correlated(correlation: bytes) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.CorrelationData = correlation
    return properties


def _received(message: aiomqtt.Message) -> RemoteMessage:
    payload = message.payload if isinstance(message.payload, bytes) else b""
    said = message.properties
    return RemoteMessage(
        message.topic.value,
        payload,
        message.retain,
        message.qos,
        getattr(said, "ResponseTopic", None),
        getattr(said, "CorrelationData", None),
    )


async def together(name: str, **works: Coroutine[object, object, None]) -> None:
    """Runs all until one fails, ends the others, and raises what is gravest: anything else before a LinkLost.

    Unlike a task group of Python 3.11, it stays cancelled when it is cancelled while one fails.
    """
    tasks = [asyncio.create_task(work, name=f"{name}: {part}") for part, work in works.items()]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [each for each in ended if isinstance(each, Exception)]
    for error in sorted(failed, key=lambda each: isinstance(each, LinkLost)):
        raise error


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
        self._will = will
        self._connected = connected
        self._lost = lost
        self._filters: dict[str, list[Handler]] = {}
        self._trie: Trie[str] = Trie()
        self._outbox: deque[tuple[str, bytes, int, bool]] = deque()
        self._ready = asyncio.Event()
        self._link: Link | None = None

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
        if self._link is not None:
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
            except LinkLost as lost:
                if not welcome and lost.refusal in REFUSALS:
                    raise Refused(str(lost)) from lost
                log.log(logging.INFO if welcome else logging.WARNING, "broker %s: %s", self._broker.host, lost)
            finally:
                if self._link is not None:
                    self._link, welcome, backoff = None, True, FIRST_BACKOFF
                    self._lost()
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF)

    async def _live(self) -> None:
        tls = await asyncio.to_thread(ssl.create_default_context) if self._broker.tls else None
        async with connected(self._broker, self.client_id, Terms(self._will, tls, goodbye=self._will is None)) as link:
            for topic_filter in list(self._filters):
                await link.subscribe(topic_filter)
            self._outbox.clear()
            self._link = link
            self._connected()
            await self._exchange(link)

    async def _exchange(self, link: Link) -> None:
        """Both directions until one breaks; its error ends the other."""
        await together(
            self.client_id,
            send=self._send(link),
            receive=link.receive(self._receive),
            watch=link.watch(lambda: bool(self._outbox)),
        )

    async def _send(self, link: Link) -> None:
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._outbox:
                await self._send_some(link)
                await asyncio.sleep(0)

    async def _send_some(self, link: Link) -> None:
        for _ in range(min(SEND_TURN, len(self._outbox))):
            topic, payload, qos, retain = self._outbox.popleft()
            if topic == "\0subscribe":
                await link.subscribe(payload.decode())
            elif topic == "\0unsubscribe":
                await link.unsubscribe(payload.decode())
            else:
                await link.publish(topic, payload, qos=qos, retain=retain)

    def _receive(self, received: RemoteMessage) -> None:
        for topic_filter in self._trie.match(received.topic):
            for handler in list(self._filters.get(topic_filter, ())):
                self._deliver(handler, received)

    def _deliver(self, handler: Handler, received: RemoteMessage) -> None:
        try:
            handler(received)
        except Exception:
            log.exception("a message on %s could not be handled", received.topic)
