"""Clients of a running program, alike on the websocket and on MQTT's private topics, in plain steps."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.mqtt_wire import WireClient
from tests.program import Addresses

PATIENCE = 20.0  # seconds
KINDS = ("mqtt", "websocket")

Json = dict[str, Any]


class Talker(ABC):
    """One client; what it was told while it waited for something else is in `heard`."""

    def __init__(self) -> None:
        self._requests = 0
        self.heard: list[Json] = []

    @abstractmethod
    def send(self, text: str) -> None:
        """Sends a message."""

    @abstractmethod
    def receive(self) -> Json:
        """The next message for it."""

    def say(self, **message: Any) -> None:
        """Sends a JSON-RPC message."""
        self.send(json.dumps({"jsonrpc": "2.0", **message}))

    def ask(self, method: str, /, **params: Any) -> Json:
        """The answer to a request."""
        self._requests += 1
        number = f"request {self._requests}"
        self.say(method=method, params=params, id=number)
        return self.hear(lambda said: said.get("id") == number)

    def hear(self, wanted: Callable[[Json], bool]) -> Json:
        """The next message that is wanted, or the first of those heard since it was last asked for."""
        for said in self.heard:
            if wanted(said):
                self.heard.remove(said)
                return said
        while True:
            said = self.receive()
            if wanted(said):
                return said
            self.heard.append(said)

    def called(self, method: str) -> Json:
        """The next request or notification of that name."""
        return self.hear(lambda said: said.get("method") == method)


class WebsocketTalker(Talker):
    """On /websocket."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def send(self, text: str) -> None:
        self._connection.send(text)

    def receive(self) -> Json:
        said: Json = json.loads(self._connection.recv(PATIENCE))
        return said


class MqttTalker(Talker):
    """On the private topics of its client id; it hears notifications too."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wire: WireClient, name: str) -> None:
        super().__init__()
        self._loop, self._wire, self._name = loop, wire, name

    def send(self, text: str) -> None:
        self.publish(f"test/moonraker/api/request/{self._name}", text.encode())

    def receive(self) -> Json:
        said: Json = json.loads(self._loop.run_until_complete(self._wire.published(PATIENCE)).payload)
        return said

    def publish(self, topic: str, payload: bytes) -> None:
        """Publishes anything anywhere."""
        self._loop.run_until_complete(self._wire.publish(topic, payload))


@contextmanager
def talker(where: Addresses, kind: str, name: str) -> Iterator[Talker]:
    """A connected client of a kind."""
    if kind == "websocket":
        with connect(where.http.replace("http", "ws") + "/websocket") as connection:
            yield WebsocketTalker(connection)
    else:
        with mqtt_talker(where, name) as client:
            yield client


@contextmanager
def mqtt_talker(where: Addresses, name: str) -> Iterator[MqttTalker]:
    """A connected client on MQTT."""
    loop = asyncio.new_event_loop()

    async def login() -> WireClient:
        wire = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await wire.login(name)
        await wire.subscribe((f"test/moonraker/api/response/{name}", 0), ("test/moonraker/notify/+", 0))
        return wire

    wire = loop.run_until_complete(login())
    try:
        yield MqttTalker(loop, wire, name)
    finally:
        loop.run_until_complete(wire.disconnect())
        loop.close()
