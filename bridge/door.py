"""Where websockets come in: who may open one, on which path, and how many."""

import asyncio
from collections import Counter
from collections.abc import Callable

from bus.errors import BusError, NotFound, Unavailable

from .auth import Gate, watched
from .clients import Clients, actor
from .handshake import Handshake, acceptance, parse, refusal
from .mqtt_socket import SUBPROTOCOL, MqttFactory, MqttSocket
from .rpc_socket import RpcSocket
from .settings import BridgeSettings
from .socket import Talk, WebSocket
from .tunnels import Tunnels, TunnelSocket

CLOSE_SECONDS = 0.5  # for clients to end their websockets when the server stops
RPC_PATH, MQTT_PATH, TUNNEL_PATH = "/websocket", "/mqtt", "/klippysocket"


class Door:
    """Judges handshakes and keeps the list of open websockets."""

    def __init__(
        self, settings: BridgeSettings, gate: Gate, clients: Clients, tunnels: Tunnels, mqtt: MqttFactory | None
    ) -> None:
        self._settings = settings
        self._gate = gate
        self._clients = clients
        self._tunnels = tunnels
        self._mqtt = mqtt
        self._addresses: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._open: dict[WebSocket, str] = {}
        self.counters: Counter[str] = Counter()

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
            talk = self._path(handshake)
            self._gate.pages.check_socket(seen)
            address = self._gate.admit(wire.peer, seen)
            self._check_room(address)
        except BusError as error:
            self.counters["refused"] += 1
            wire.refuse(refusal(error))
            return None
        self._open[wire] = address
        self._addresses[address] += 1
        return talk(handshake, wire, address)

    def left(self, wire: WebSocket) -> None:
        """The connection of a websocket is gone."""
        address = self._open.pop(wire)
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

    def _path(self, handshake: Handshake) -> Callable[[Handshake, WebSocket, str], Talk]:
        prefix = self._settings.prefix
        path = handshake.path.removeprefix(prefix) if handshake.path.startswith(prefix) else ""
        if path == RPC_PATH:
            return self._enter_rpc
        if path == MQTT_PATH and self._mqtt is not None and SUBPROTOCOL in handshake.subprotocols:
            return self._enter_mqtt
        if path == TUNNEL_PATH:
            return self._enter_tunnel
        raise NotFound("Not Found")

    def _check_room(self, address: str) -> None:
        settings = self._settings
        if (
            len(self._open) >= settings.max_websockets
            or self._addresses[address] >= settings.max_websockets_per_address
        ):
            raise Unavailable("Too many websockets are open")

    def _enter_rpc(self, handshake: Handshake, wire: WebSocket, address: str) -> Talk:
        wire.write(acceptance(handshake.key))
        return RpcSocket(self._clients, wire, actor("websocket", address))

    def _enter_mqtt(self, handshake: Handshake, wire: WebSocket, address: str) -> Talk:
        assert self._mqtt is not None  # noqa: S101 - narrows the type
        wire.write(acceptance(handshake.key, SUBPROTOCOL))
        return MqttSocket(wire, self._mqtt, address)

    def _enter_tunnel(self, handshake: Handshake, wire: WebSocket, address: str) -> Talk:
        return TunnelSocket(self._tunnels, wire, handshake.key, actor("klippysocket", address))
