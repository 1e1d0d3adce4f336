"""A JSON-RPC websocket: requests up, answers and notifications down, and the subscriptions asked for on it."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from schemas import Permission
from schemas.printer import OBJECTS_SUBSCRIBE
from schemas.server import IDENTIFY

from .frames import TEXT, frame
from .subscriptions import Objects, are_objects

if TYPE_CHECKING:
    from .clients import Clients

MAX_ASKED = 100  # requests of one websocket whose answer concerns us; older ones are forgotten
_MARKS = (b"objects.subscribe", b"connection.identify")

Granted = Callable[[dict[str, Any]], None]  # what the result of a request changes here


class Wire(Protocol):
    """Where finished websocket frames go."""

    def write(self, data: bytes) -> None: ...


class RpcSocket:
    """One client on `/websocket` or the unix socket; its number is its connection id."""

    def __init__(
        self, clients: "Clients", wire: Wire, who: bytes, note: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._clients = clients
        self._wire = wire
        self._note = note  # is told whether somebody is logged in
        self._asked: deque[tuple[object, Granted]] = deque(maxlen=MAX_ASKED)
        self.reads = False  # it gets notifications
        self.agent: str | None = None  # the name of somebody else's agent, whose own events it does not get
        self.number = clients.open(self, who)
        clients.sockets[self.number] = self

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Text and binary messages are the same to us; the router finds what is wrong with them."""
        if _MARKS[0] in payload or _MARKS[1] in payload:
            self._remember(payload)
        self._clients.request(self.number, payload)

    def on_end(self) -> None:
        """Leaves nothing behind."""
        clients = self._clients
        clients.subscriptions.drop(self)
        clients.sockets.pop(self.number, None)
        clients.close(self.number)

    def on_answer(self, payload: bytes) -> None:
        """An answer, sent at once; a subscription starts right behind it."""
        if not payload:
            return
        self._wire.write(frame(TEXT, payload))
        if self._asked:
            self._install(payload)

    def on_standing(self, permissions: frozenset[str]) -> None:
        """Who may not read any more gets nothing any more."""
        self.reads = Permission.READ in permissions
        self._note(not permissions <= {Permission.OPEN})
        if not self.reads:
            self._clients.subscriptions.drop(self)

    def send_frame(self, data: bytes) -> None:
        """Sends a finished frame."""
        self._wire.write(data)

    def follow(self, objects: Objects, revision: int) -> None:
        """Replaces the subscription; nothing happens on a websocket that has ended meanwhile."""
        if self.reads and self.number in self._clients.sockets:
            self._clients.subscriptions.install(self, objects, revision)

    def _remember(self, payload: bytes) -> None:
        try:
            parsed = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        for request in parsed if isinstance(parsed, list) else [parsed]:
            if not isinstance(request, dict) or request.get("id") is None:
                continue
            params, method = request.get("params"), request.get("method")
            if method in (OBJECTS_SUBSCRIBE.name, IDENTIFY.name) and isinstance(params, dict):
                granted = self._subscribing(params) if method == OBJECTS_SUBSCRIBE.name else self._identifying(params)
                if granted is not None:
                    self._asked.append((request["id"], granted))

    def _subscribing(self, params: dict[str, Any]) -> Granted | None:
        objects = params.get("objects")
        if not are_objects(objects):
            return None

        def subscribed(result: dict[str, Any]) -> None:
            if isinstance(result.get("revision"), int):
                self.follow(objects, result["revision"])

        return subscribed

    def _identifying(self, params: dict[str, Any]) -> Granted | None:
        def identified(_result: dict[str, Any]) -> None:
            self.agent = params["client_name"]

        return identified if str(params.get("type")).lower() == "agent" else None

    def _install(self, payload: bytes) -> None:
        parsed = orjson.loads(payload)
        for answer in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(answer, dict):
                self._settle(answer)

    def _settle(self, answer: dict[str, Any]) -> None:
        """Lets the request that an answer belongs to have its effect here, if there is one and it is a success."""
        for asked in self._asked:
            if asked[0] == answer.get("id"):
                self._asked.remove(asked)
                result = answer.get("result")
                if isinstance(result, dict):
                    asked[1](result)
                return
