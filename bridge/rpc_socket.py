"""A JSON-RPC websocket: requests up, answers and notifications down, and the subscriptions asked for on it."""

from collections.abc import Callable
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

from bus.envelope import MAX_REQUEST
from bus.pending import MAX_OF_ONE_CLIENT
from bus.router import MAX_BATCH
from schemas import Permission
from schemas.printer import OBJECTS_SUBSCRIBE
from schemas.server import IDENTIFY

from .frames import TEXT, frame
from .subscriptions import Objects, are_objects

if TYPE_CHECKING:
    from .clients import Clients

_MARKS = (b"objects.subscribe", b"connection.identify")

Granted = Callable[[dict[str, Any]], None]  # what the result of a request changes here


class Asked(NamedTuple):
    """A request whose answer concerns us: it went on with an id of ours."""

    own: object  # the client's id
    named: bool  # it has one, be it null
    granted: Granted

    def answer(self, answer: dict[str, Any], *, alone: bool) -> dict[str, Any] | None:
        """What the client gets; None where it does not want an answer."""
        if self.own is None and ("result" in answer or not (alone or self.named)):
            return None
        return {**answer, "id": self.own}


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
        self._asked: dict[str, Asked] = {}  # by our id
        self._ids = (f"{token_hex(8)}-{number}" for number in count())
        self.reads = False  # it gets notifications
        self.agent: str | None = None  # the name of somebody else's agent, whose own events it does not get
        self.number = clients.open(self, who)
        clients.sockets[self.number] = self

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Text and binary messages are the same to us; the router finds what is wrong with them."""
        if _MARKS[0] in payload or _MARKS[1] in payload:
            payload = self._noted(payload)
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
        if self._asked:
            return self._settle(payload)
        self._wire.write(frame(TEXT, payload))

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

    def _noted(self, payload: bytes) -> bytes:
        """The message with ids of ours where the answers concern us; what the router refuses whole stays as it is."""
        try:
            parsed = orjson.loads(payload)
            orjson.dumps(parsed)  # what is nested too deeply for that cannot go on changed
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return payload
        requests = parsed if isinstance(parsed, list) else [parsed]
        if len(payload) > MAX_REQUEST or len(requests) > MAX_BATCH:
            return payload
        known = len(self._asked)
        if known + len(requests) > MAX_OF_ONE_CLIENT:  # and so does what it has no room for
            return payload
        noted = [self._note_down(each) if isinstance(each, dict) else each for each in requests]
        if len(self._asked) == known:
            return payload
        return orjson.dumps(noted if isinstance(parsed, list) else noted[0])

    def _note_down(self, request: dict[str, Any]) -> dict[str, Any]:
        params, method = request.get("params"), request.get("method")
        if method not in (OBJECTS_SUBSCRIBE.name, IDENTIFY.name) or not isinstance(params, dict):
            return request
        granted = self._subscribing(params) if method == OBJECTS_SUBSCRIBE.name else self._identifying(params)
        if granted is None:
            return request
        own = next(self._ids)
        self._asked[own] = Asked(request.get("id"), "id" in request, granted)
        return {**request, "id": own}

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
            self.agent = str(params["client_name"])

        return identified if str(params.get("type")).lower() == "agent" else None

    def _settle(self, payload: bytes) -> None:
        """Sends an answer with the ids that the client gave; what has been granted has its effect here, behind that."""
        parsed = orjson.loads(payload)
        answers = parsed if isinstance(parsed, list) else [parsed]
        asked = [self._asked.pop(each["id"], None) if isinstance(each.get("id"), str) else None for each in answers]
        if any(asked):
            alone = not isinstance(parsed, list)
            shown = [one.answer(each, alone=alone) if one else each for one, each in zip(asked, answers, strict=True)]
            wanted = [each for each in shown if each is not None]
            payload = orjson.dumps(wanted[0] if alone and wanted else wanted) if wanted else b""
        if payload:
            self._wire.write(frame(TEXT, payload))
        for one, each in zip(asked, answers, strict=True):
            if one is not None and isinstance(each.get("result"), dict):
                one.granted(each["result"])
