"""Klipper's own API over a websocket: frames to and from the topics of a tunnel."""

import orjson

from bus.calls import CallFailed, Received, Session
from bus.topics import Topics
from schemas.klippy import OWNER, TUNNEL_OPEN

from .clients import Clients
from .frames import BINARY, GOING_AWAY, NOT_ALLOWED, TEXT, TOO_BIG, Violation, frame, require_text
from .handshake import acceptance, refusal
from .socket import WebSocket

MAX_MESSAGE = 1_000_000  # bytes, as the agent takes them
OPEN = b'{"jsonrpc":"2.0","method":"%b","id":1}' % TUNNEL_OPEN.name.encode()
ALIVE, CLOSED, PAUSED, RESUMED = b"{}", b'{"open":false}', b'{"paused":true}', b'{"paused":false}'


class Tunnels:
    """All tunnels of this bridge; each is a virtual client."""

    def __init__(self, session: Session, topics: Topics, client_id: str, clients: Clients) -> None:
        self._session = session
        self._topics = topics
        self._id = client_id
        self.clients = clients
        self.open: dict[int, TunnelSocket] = {}

    def start(self) -> None:
        """Subscribes to what comes out of tunnels."""
        self._session.subscribe(self._topics.tunnel_receive(f"{self._id}/+"), self._on_message)
        self._session.subscribe(self._topics.tunnel_state(f"{self._id}/+"), self._on_state)
        self._session.subscribe(self._topics.agent(OWNER), self._on_agent)

    def send(self, number: int, payload: bytes) -> None:
        """A message for Klipper."""
        self._session.publish(self._topics.tunnel_send(f"{self._id}/{number}"), payload)

    def control(self, number: int, payload: bytes) -> None:
        """Something about the tunnel."""
        self._session.publish(self._topics.tunnel_control(f"{self._id}/{number}"), payload)

    def keep(self) -> None:
        """Says of all that their clients are there."""
        for number in self.open:
            self.control(number, ALIVE)

    def _on_message(self, message: Received) -> None:
        tunnel = self.open.get(int(message.topic.rpartition("/")[2]))
        if tunnel is not None:
            tunnel.receive(message.payload)

    def _on_state(self, message: Received) -> None:
        tunnel = self.open.get(int(message.topic.rpartition("/")[2]))
        if tunnel is not None:
            tunnel.told(orjson.loads(message.payload))

    def _on_agent(self, message: Received) -> None:
        if message.payload and orjson.loads(message.payload)["alive"]:
            return
        for tunnel in list(self.open.values()):
            tunnel.told({"open": False, "reason": "The klippy agent is gone"})


class TunnelSocket:
    """One client on `/klippysocket`; its handshake is answered once the tunnel is open, or is not."""

    def __init__(self, tunnels: Tunnels, wire: WebSocket, key: bytes, who: bytes) -> None:
        self._tunnels = tunnels
        self._wire = wire
        self._key = key
        wire.opening = True
        self._number = tunnels.clients.open(self, who)
        tunnels.clients.request(self._number, OPEN)

    def on_answer(self, payload: bytes) -> None:
        """The answer to the request for a tunnel."""
        if not self._wire.opening:
            return
        self._wire.opening = False
        answer = orjson.loads(payload)
        if "error" in answer:
            return self._wire.refuse(refusal(CallFailed(answer["error"])))
        self._tunnels.open[self._number] = self
        self._wire.flow = self._on_flow
        return self._wire.write(acceptance(self._key))

    def on_standing(self, permissions: frozenset[str]) -> None:
        """Who may not open a tunnel any more has none any more."""
        if not self._wire.opening and TUNNEL_OPEN.needs not in permissions:
            self._wire.close(NOT_ALLOWED, "Unauthorized")

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Text and binary messages are the same to Klipper."""
        if len(payload) > MAX_MESSAGE:
            self._wire.close(TOO_BIG, f"a message holds at most {MAX_MESSAGE} bytes")
        else:
            self._tunnels.send(self._number, payload)

    def on_end(self) -> None:
        """Closes the tunnel."""
        self._tunnels.open.pop(self._number, None)
        self._tunnels.control(self._number, CLOSED)
        self._tunnels.clients.close(self._number)

    def receive(self, payload: bytes) -> None:
        """A message of Klipper's."""
        self._wire.write(frame(_opcode(payload), payload))

    def told(self, state: dict[str, object]) -> None:
        """What the agent says about the tunnel."""
        if not state["open"]:
            self._wire.close(GOING_AWAY, str(state.get("reason", "")))
        else:
            self._wire.pause(bool(state.get("paused")))

    def _on_flow(self, stopped: bool) -> None:
        """The client does not keep up: Klipper has to wait, and cuts the tunnel after some seconds."""
        self._tunnels.control(self._number, PAUSED if stopped else RESUMED)


def _opcode(payload: bytes) -> int:
    try:
        require_text(payload)
    except Violation:
        return BINARY
    return TEXT
