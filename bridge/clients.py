"""The bridge's virtual MQTT clients: each websocket, and each JSON-RPC request over HTTP for as long as it lasts."""

from itertools import count
from secrets import randbelow
from typing import Protocol

import orjson

from bus.calls import Received, Session
from bus.envelope import NULL, failure, id_of
from bus.errors import BusError, Forbidden, Unavailable
from bus.topics import Topics
from schemas.extensions import AGENT_EVENT
from schemas.printer import KLIPPY_DISCONNECTED

from .frames import TEXT, frame
from .rpc_socket import RpcSocket
from .subscriptions import Subscriptions

FIRST_NUMBERS = (
    1 << 31
)  # ids start at a random place below, so that one of an earlier run is not mistaken for a live one


class Asker(Protocol):
    """Whoever waits for answers as a virtual client."""

    def on_answer(self, payload: bytes) -> None:
        """An answer, as JSON-RPC text; empty where there is nothing to say."""

    def on_standing(self, permissions: frozenset[str]) -> None:
        """What it may do from now on."""


class Clients:
    """Opens and closes virtual clients, hands requests up and answers and notifications down."""

    def __init__(self, session: Session, topics: Topics, client_id: str) -> None:
        self._session = session
        self._topics = topics
        self._id = client_id
        self._numbers = count(1 + randbelow(FIRST_NUMBERS))
        self._askers: dict[int, tuple[Asker, bytes]] = {}
        self._lost = False
        self.sockets: dict[int, RpcSocket] = {}
        self.subscriptions = Subscriptions()

    def start(self) -> None:
        """Subscribes to what concerns websockets."""
        self._session.subscribe(self._topics.private_response(f"{self._id}/+"), self._on_response)
        self._session.subscribe(self._topics.standing(f"{self._id}/+"), self._on_standing)
        self._session.subscribe(self._topics.notifications, self._on_notification)
        self._session.subscribe(self._topics.klipper_delta, self._on_delta)

    def open(self, asker: Asker, who: bytes) -> int:
        """Announces a new client; its number."""
        number = next(self._numbers)
        self._askers[number] = (asker, who)
        if not self._lost:
            self._announce(number, b'{"open":true,"actor":%b}' % who)
        return number

    def close(self, number: int) -> None:
        """Announces that a client has gone."""
        if self._askers.pop(number, None) is not None and not self._lost:
            self._announce(number, b'{"open":false}')

    def request(self, number: int, payload: bytes) -> None:
        """Hands a message of a client to the bus, as it is."""
        try:
            if self._lost:
                raise Unavailable("The broker is not connected")
            self._session.publish(self._topics.private_request(f"{self._id}/{number}"), payload)
        except PermissionError:
            self._refuse(number, payload, Forbidden("Not allowed here"))
        except BusError as error:
            self._refuse(number, payload, error)

    def lost(self) -> None:
        """The link to the broker is gone: nothing is answered until it is back, and Klipper is out of sight."""
        self._lost = True
        gone = b'{"jsonrpc":"2.0","method":"%b"}' % KLIPPY_DISCONNECTED.name.encode()
        self._broadcast(gone)
        self.subscriptions.clear()
        self.fail()

    def fail(self) -> None:
        """Ends JSON-RPC requests over HTTP that wait."""
        gone = failure(Unavailable("The server is stopping or has lost its broker"), NULL)
        for number, (asker, _) in list(self._askers.items()):
            if number not in self.sockets:
                asker.on_answer(gone)

    def restored(self) -> None:
        """The link is back: says again who is there."""
        self._lost = False
        for number, (_, who) in self._askers.items():
            self._announce(number, b'{"open":true,"actor":%b}' % who)

    def _announce(self, number: int, news: bytes) -> None:
        self._session.publish(self._topics.connection(f"{self._id}/{number}"), news)

    def _refuse(self, number: int, payload: bytes, error: BusError) -> None:
        try:
            request_id = id_of(orjson.loads(payload))
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            request_id = NULL
        asker = self._askers.get(number)
        if asker is not None:
            asker[0].on_answer(failure(error, request_id))

    def _on_response(self, message: Received) -> None:
        number = int(message.topic.rpartition("/")[2])
        asker = self._askers.get(number)
        if asker is not None:
            asker[0].on_answer(message.payload)

    def _on_standing(self, message: Received) -> None:
        asker = self._askers.get(int(message.topic.split("/")[-2]))
        if asker is not None:
            asker[0].on_standing(frozenset(orjson.loads(message.payload)["permissions"]))

    def _on_notification(self, message: Received) -> None:
        own = message.topic.endswith(AGENT_EVENT.name)
        self._broadcast(message.payload, but=orjson.loads(message.payload)["params"][0]["agent"] if own else None)
        if message.topic.endswith(KLIPPY_DISCONNECTED.name):
            self.subscriptions.clear()

    def _on_delta(self, message: Received) -> None:
        self.subscriptions.on_delta(message.payload)

    def _broadcast(self, payload: bytes, *, but: str | None = None) -> None:
        """To all websockets that may read, except that of an agent whose own words these are."""
        data = frame(TEXT, payload)
        for socket in list(self.sockets.values()):
            if socket.reads and (but is None or socket.agent != but):
                socket.send_frame(data)
