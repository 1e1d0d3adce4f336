"""The bridge's wire: an in-process exchange, and a scripted router that answers on it as the real one does."""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from bridge import Bridge, BridgeSettings
from bridge.mqtt_socket import MqttFactory
from bus.authorization import Authorization
from bus.envelope import NULL, dumps, failure, id_of, loads, request_of, result
from bus.errors import BusError, InvalidRequest, MethodNotFound, Unauthenticated
from bus.topics import Topics
from schemas import Permission
from schemas.access import VERIFY

INFO = {"klippy_connected": True, "klippy_state": "ready", "components": ["klippy"], "websocket_count": 0}
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
Handler = Callable[[Any], None]


@dataclass(frozen=True)
class Message:
    """What a session hands over."""

    topic: str
    payload: bytes
    retain: bool = False


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic is under a filter; enough of MQTT for the filters that are used here."""
    wanted, given = pattern.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted, given = wanted[:-1], given[: len(wanted) - 1]
    return len(wanted) == len(given) and all(a in ("+", b) for a, b in zip(wanted, given, strict=True))


class Exchange:
    """Delivers in order, on a later turn of the loop or, as to an urgent session, at once; `published` keeps all."""

    def __init__(self, at_once: bool) -> None:
        self._at_once = at_once
        self._handlers: list[tuple[str, Handler]] = []
        self.published: deque[Message] = deque(maxlen=1000)
        self.forbidden: set[str] = set()

    def subscribe(self, topic_filter: str, handler: Handler, /) -> None:
        self._handlers.append((topic_filter, handler))

    def unsubscribe(self, topic_filter: str, /) -> None:
        self._handlers = [known for known in self._handlers if known[0] != topic_filter]

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        if topic in self.forbidden:
            raise PermissionError(topic)
        message = Message(topic, payload)
        self.published.append(message)
        self.tell(message)

    def tell(self, message: Message) -> None:
        """Delivers what somebody else has published."""
        if self._at_once:
            self._deliver(message)
        else:
            asyncio.get_running_loop().call_soon(self._deliver, message)

    def close(self) -> None:
        self._handlers.clear()

    def _deliver(self, message: Message) -> None:
        for topic_filter, handler in list(self._handlers):
            if matches(topic_filter, message.topic):
                handler(message)

    def sent(self, part: str) -> list[Message]:
        """What was published on topics with this part."""
        return [message for message in self.published if part in message.topic]


def nobody(_params: dict[str, Any]) -> None:
    """Knows no credentials."""
    raise Unauthenticated("Unauthorized")


class ScriptedRouter:
    """Answers requests from `answers`: method -> function of the params; keeps them while `held`."""

    def __init__(self, wire: Exchange, topics: Topics) -> None:
        self._wire = wire
        self._topics = topics
        self._waiting: list[Message] = []
        self.held = False
        self.calls: list[dict[str, Any]] = []
        self.transports: dict[str, str] = {}
        self.strangers: set[str] = set()  # clients of whom nothing is known
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {
            "server.info": lambda _: INFO,
            VERIFY.name: nobody,
        }
        wire.subscribe(topics.rpc_requests, self._on_rpc)
        wire.subscribe(topics.private_requests, self._on_private)
        wire.subscribe(topics.connections, self._on_connection)

    def release(self) -> None:
        """Answers what was held."""
        self.held = False
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            (self._on_rpc if "/rpc/" in message.topic else self._on_private)(message)

    def _on_connection(self, message: Message) -> None:
        client, news = message.topic.split("/", 2)[2], loads(message.payload)
        if news["open"]:
            self.transports[client] = news["actor"]["transport"]
            if news["actor"]["kind"] == "nobody":
                self.strangers.add(client)
            if news["actor"]["transport"] != "http":
                self.judge(client, [*Permission] if news["actor"]["kind"] != "nobody" else [Permission.OPEN])
        else:
            del self.transports[client]

    def judge(self, client: str, permissions: list[Permission]) -> None:
        """Says what a websocket may do."""
        said = {"user": None, "kind": "trusted", "permissions": permissions}
        self._wire.tell(Message(self._topics.standing(client), dumps(said)))

    def _on_rpc(self, message: Message) -> None:
        if self.held:
            return self._waiting.append(message)
        _, _, client, path = message.topic.split("/", 3)
        request = loads(message.payload)
        name = path.replace("/", ".")
        if name != VERIFY.name:
            self.calls.append({"method": name, **request})
        return self._wire.publish(self._topics.reply(client), self._answer(name, request["params"], id_of(request)))

    def _on_private(self, message: Message) -> None:
        if self.held:
            return self._waiting.append(message)
        client = message.topic.removeprefix(self._topics.request + "/")
        if client in self.strangers:
            refused = failure(Unauthenticated("Unauthorized"), id_of(loads(message.payload)))
            return self._wire.publish(self._topics.private_response(client), refused)
        answer = self._text(message.payload, self.transports[client])
        if answer is not None or self.transports[client] == "http":
            self._wire.publish(self._topics.private_response(client), answer or b"")
        return None

    def _text(self, payload: bytes, transport: str) -> bytes | None:
        try:
            parsed = loads(payload)
            if parsed == []:
                raise InvalidRequest("Invalid Request")
        except BusError as error:
            return failure(error, NULL)
        if not isinstance(parsed, list):
            return self._request(parsed, transport)
        found = [answer for request in parsed if (answer := self._request(request, transport)) is not None]
        return b"[" + b",".join(found) + b"]" if found else None

    def _request(self, request: Any, transport: str) -> bytes | None:
        try:
            name, params = request_of(request)
        except BusError as error:
            return failure(error, id_of(request))
        if transport == "http" and name == "printer.objects.subscribe":
            name = "no such method over HTTP"
        answer = self._answer(name, params, id_of(request))
        silent = request.get("id") is None and "result" in loads(answer)
        return None if silent else answer

    def _answer(self, name: str, params: dict[str, Any], request_id: bytes) -> bytes:
        script = self.answers.get(name)
        try:
            if script is None:
                raise MethodNotFound("Method not found")
            return result(dumps(script(params)), request_id)
        except BusError as error:
            return failure(error, request_id)


async def until(reached: Callable[[], bool]) -> None:
    """Waits for something to become true, 20 seconds at most."""
    async with asyncio.timeout(20):
        while not reached():  # noqa: ASYNC110 - what is waited for is outside of our code
            await asyncio.sleep(0.005)


def http_client(url: str) -> httpx.AsyncClient:
    """An HTTP client; reading the system's certificates for each would take most of the time of the tests."""
    return httpx.AsyncClient(base_url=url, trust_env=False, verify=_NO_CERTIFICATES, timeout=20)


@asynccontextmanager
async def stream(port: int, sent: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A raw connection on which something was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        yield reader
    finally:
        writer.close()
        await asyncio.wait_for(asyncio.gather(writer.wait_closed(), return_exceptions=True), 20)


@dataclass
class Running:
    """A bridge on a free port, with what is behind it."""

    bridge: Bridge
    wire: Exchange
    router: ScriptedRouter
    topics: Topics

    @property
    def url(self) -> str:
        return self.bridge.url

    @property
    def ws_url(self) -> str:
        return self.bridge.url.replace("http", "ws", 1)

    @property
    def port(self) -> int:
        return self.bridge.ports["http"]

    def delta(self, revision: int, status: dict[str, Any]) -> None:
        """What the agent of Klipper publishes when fields have changed."""
        body = {"revision": revision, "eventtime": revision / 4, "status": status}
        self.wire.publish(self.topics.klipper_delta, orjson.dumps(body))

    def notify(self, name: str, params: list[Any] | None = None) -> None:
        """A broadcast notification."""
        body: dict[str, Any] = {"jsonrpc": "2.0", "method": name}
        self.wire.publish(self.topics.notify(name), orjson.dumps(body if params is None else body | {"params": params}))


@asynccontextmanager
async def running(
    mqtt: MqttFactory | None = None, /, *, at_once: bool = False, data: Path | None = None, **settings: Any
) -> AsyncIterator[Running]:
    """A bridge that runs."""
    wire, topics = Exchange(at_once), Topics("test")
    router = ScriptedRouter(wire, topics)
    authorization = Authorization(trusted_clients=settings.pop("trusted_clients", ()))
    bridge = Bridge(wire, topics, "bridge", BridgeSettings(port=0, **settings), authorization, mqtt=mqtt, data=data)
    await bridge.start()
    try:
        yield Running(bridge, wire, router, topics)
    finally:
        await bridge.stop()
