"""Where websockets come in: who may open one, on which path, and how many."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial

from bus.errors import BusError, NotFound, Unavailable

from .auth import Gate, Seen, watched
from .callers import Caller, Callers
from .clients import Clients
from .handshake import Handshake, acceptance, parse, refusal
from .mqtt_socket import SUBPROTOCOL, MqttFactory, MqttSocket
from .rpc_socket import RpcSocket
from .settings import BridgeSettings
from .socket import Talk, WebSocket
from .strangers import Strangers
from .tunnels import Tunnels, TunnelSocket

CLOSE_SECONDS = 0.5  # for clients to end their websockets when the server stops
RPC_PATH, MQTT_PATH, TUNNEL_PATH = "/websocket", "/mqtt", "/klippysocket"


Entrance = Callable[[Handshake, WebSocket, Caller], Talk]


class Waiting:
    """Somebody whose credentials are being looked at; what is said meanwhile ends the connection."""

    def __init__(self) -> None:
        self.gone = False
        self.talk: Talk | None = None  # how it goes on

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Does not happen."""

    def on_end(self) -> None:
        """Nothing is to be answered any more."""
        self.gone = True


class Door:
    """Judges handshakes and keeps the list of open websockets."""

    def __init__(
        self,
        settings: BridgeSettings,
        gate: Gate,
        callers: Callers,
        clients: Clients,
        tunnels: Tunnels,
        mqtt: MqttFactory | None,
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._callers = callers
        self._clients = clients
        self._tunnels = tunnels
        self._mqtt = mqtt
        self._addresses: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._open: dict[WebSocket, str] = {}
        self.counters: Counter[str] = Counter()
        self._strangers = Strangers(settings.max_strangers_per_address, settings.login_seconds, self.counters)

    def __len__(self) -> int:
        """Connections that were let in and are not gone yet."""
        return len(self._open)

    def connection(self, **_: object) -> WebSocket:
        """A protocol for a connection that asks to be upgraded; uvicorn's arguments are not needed."""
        return WebSocket(self)

    def enter(self, wire: WebSocket, request: bytes) -> Talk | None:
        """Answers a handshake; None where it was refused."""
        try:
            handshake = parse(request)
            seen = watched(handshake.headers)
            transport, talk = self._path(handshake)
            self._gate.pages.check_socket(seen)
            address = self._gate.address_of(wire.peer, seen)
            self._check_room(address)
            caller = self._callers.at_once(transport, wire.peer, seen, handshake.query)
        except BusError as error:
            self.counters["refused"] += 1
            wire.refuse(refusal(error))
            return None
        self._open[wire] = address
        self._addresses[address] += 1
        if caller is not None:
            return talk(handshake, wire, caller)
        return self._ask(transport, handshake, wire, seen, talk)

    def _ask(self, transport: str, handshake: Handshake, wire: WebSocket, seen: Seen, talk: Entrance) -> Talk:
        """A handshake with credentials is answered once it is known whose they are."""
        waiting = Waiting()
        wire.opening = True

        def found(caller: Caller | BusError) -> None:
            if waiting.gone:
                return
            wire.opening = False
            if isinstance(caller, BusError):
                self.counters["refused"] += 1
                wire.refuse(refusal(caller))
            else:
                waiting.talk = talk(handshake, wire, caller)
                wire.go_on(waiting.talk)

        self._callers.ask(transport, wire.peer, seen, handshake.query, found)
        return waiting.talk or waiting

    def left(self, wire: WebSocket) -> None:
        """The connection of a websocket is gone."""
        address = self._open.pop(wire)
        self._strangers.forget(wire, address)
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]
        if not self._open:
            self._empty.set()

    async def close(self) -> None:
        """Drops all websockets; who has not gone after `CLOSE_SECONDS` is cut."""
        self.drop()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._open:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            for wire in list(self._open):
                wire.abort()

    def drop(self) -> None:
        """Ends all websockets without a close frame: Mainsail and Fluidd connect again only after an unclean end."""
        for wire in list(self._open):
            wire.drop()

    def ping(self) -> None:
        """Asks all whether they are still there."""
        for wire in list(self._open):
            wire.ping()
        self._tunnels.keep()

    def slow(self) -> None:
        """A websocket was cut because its client did not read."""
        self.counters["slow_readers"] += 1

    def _path(self, handshake: Handshake) -> tuple[str, Entrance]:
        prefix = self._settings.prefix
        path = handshake.path.removeprefix(prefix) if handshake.path.startswith(prefix) else ""
        if path == RPC_PATH:
            return "websocket", self._enter_rpc
        if path == MQTT_PATH and self._mqtt is not None and SUBPROTOCOL in handshake.subprotocols:
            return "mqtt", self._enter_mqtt
        if path == TUNNEL_PATH:
            return "klippysocket", self._enter_tunnel
        raise NotFound("Not Found")

    def _check_room(self, address: str) -> None:
        settings = self._settings
        if (
            len(self._open) >= settings.max_websockets
            or self._addresses[address] >= settings.max_websockets_per_address
        ):
            raise Unavailable("Too many websockets are open")

    def _enter_rpc(self, handshake: Handshake, wire: WebSocket, caller: Caller) -> Talk:
        wire.write(acceptance(handshake.key))
        note = partial(self._strangers.note, wire, caller.address)
        note(caller.known)
        return RpcSocket(self._clients, wire, caller.actor, note)

    def _enter_mqtt(self, handshake: Handshake, wire: WebSocket, caller: Caller) -> Talk:
        assert self._mqtt is not None  # noqa: S101 - narrows the type
        wire.write(acceptance(handshake.key, SUBPROTOCOL))
        return MqttSocket(wire, self._mqtt, caller.address)

    def _enter_tunnel(self, handshake: Handshake, wire: WebSocket, caller: Caller) -> Talk:
        return TunnelSocket(self._tunnels, wire, handshake.key, caller.actor)
