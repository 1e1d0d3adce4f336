"""A JSON-RPC websocket: requests up, answers and notifications down, and the subscriptions asked for on it."""

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from schemas.printer import OBJECTS_SUBSCRIBE

from .frames import TEXT, frame
from .subscriptions import Objects, are_objects

if TYPE_CHECKING:
    from .clients import Clients

MAX_ASKED = 100  # subscriptions of one websocket that wait for their answer; older ones are forgotten
_MARK = b"objects.subscribe"


class Wire(Protocol):
    """Where finished websocket frames go."""

    def write(self, data: bytes) -> None: ...


class RpcSocket:
    """One client on `/websocket` or the unix socket; its number is its connection id."""

    def __init__(self, clients: "Clients", wire: Wire, who: bytes) -> None:
        self._clients = clients
        self._wire = wire
        self._asked: deque[tuple[object, Objects]] = deque(maxlen=MAX_ASKED)
        self.number = clients.open(self, who)
        clients.sockets[self.number] = self

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Text and binary messages are the same to us; the router finds what is wrong with them."""
        if _MARK in payload:
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

    def send_frame(self, data: bytes) -> None:
        """Sends a finished frame."""
        self._wire.write(data)

    def follow(self, objects: Objects, revision: int) -> None:
        """Replaces the subscription; nothing happens on a websocket that has ended meanwhile."""
        if self.number in self._clients.sockets:
            self._clients.subscriptions.install(self, objects, revision)

    def _remember(self, payload: bytes) -> None:
        try:
            parsed = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        for request in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(request, dict) and request.get("method") == OBJECTS_SUBSCRIBE.name:
                self._expect(request)

    def _expect(self, request: dict[str, Any]) -> None:
        params, request_id = request.get("params"), request.get("id")
        objects = params.get("objects") if isinstance(params, dict) else None
        if request_id is not None and are_objects(objects):
            self._asked.append((request_id, objects))

    def _install(self, payload: bytes) -> None:
        parsed = orjson.loads(payload)
        for answer in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(answer, dict):
                self._settle(answer)

    def _settle(self, answer: dict[str, Any]) -> None:
        """Starts the subscription that an answer belongs to, if it is one and is a success."""
        for asked in self._asked:
            if asked[0] == answer.get("id"):
                self._asked.remove(asked)
                result = answer.get("result")
                if isinstance(result, dict) and isinstance(result.get("revision"), int):
                    self.follow(asked[1], result["revision"])
                return
