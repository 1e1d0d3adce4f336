"""Tunnels: for each client that asks for one, a connection of its own to Klipper, its messages on topics."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import orjson

from bus.agent import Bus, Connection
from bus.envelope import dumps
from bus.errors import InvalidParams, Unavailable
from bus.framing import TERMINATOR, Frames, FrameTooLong
from schemas import klippy

from .link import CONNECT_TIMEOUT, NOT_CONNECTED

MAX_TUNNELS = 32
MAX_MESSAGE = 1_000_000  # bytes; what the broker's sockets take, with their topic
MAX_UNSENT = 4 << 20  # bytes that Klipper has not taken; one message more ends the tunnel
LEASE = 60.0  # seconds without a sign of its client after which a tunnel ends

Say = Callable[[bytes], None]


class Tunnel(asyncio.Protocol):
    """One connection to Klipper; `passed` gets Klipper's messages, `told` the tunnel's state, `gone` is called once."""

    def __init__(self, passed: Say, told: Say, gone: Callable[["Tunnel"], None]) -> None:
        self._passed = passed
        self._told = told
        self._gone = gone
        self._frames = Frames(MAX_MESSAGE)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LEASE, self._check)
        self._heard = self._loop.time()
        self.closed = False

    def send(self, message: bytes) -> None:
        """One message of the client's for Klipper."""
        self._heard = self._loop.time()
        transport = self._transport
        if transport is None or not message:
            return
        if len(message) > MAX_MESSAGE or transport.get_write_buffer_size() + len(message) > MAX_UNSENT:
            return self.close("Klipper does not take that much")
        transport.write(message + TERMINATOR)

    def control(self, said: klippy.TunnelControl) -> None:
        """What the client says about the tunnel."""
        self._heard = self._loop.time()
        if not said.open:
            self.close("The client has closed it")
        elif said.paused is not None and self._transport is not None:
            move = self._transport.pause_reading if said.paused else self._transport.resume_reading
            move()

    def close(self, reason: str) -> None:
        """Ends it, and says so."""
        if self.closed:
            return
        self.closed = True
        self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._gone(self)
        self._tell(klippy.TunnelState(open=False, reason=reason))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)
        if self.closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        try:
            frames = self._frames.feed(data)
        except FrameTooLong:
            return self.close(f"Klipper sent a message of more than {MAX_MESSAGE} bytes")
        for frame in frames:
            self._passed(frame)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        self.close("Klipper has gone")

    def pause_writing(self) -> None:
        """Called by the loop: Klipper does not read."""
        self._tell(klippy.TunnelState(open=True, paused=True))

    def resume_writing(self) -> None:
        """Called by the loop."""
        if not self.closed:
            self._tell(klippy.TunnelState(open=True, paused=False))

    def _tell(self, state: klippy.TunnelState) -> None:
        self._told(dumps(state))

    def _check(self) -> None:
        left = self._heard + LEASE - self._loop.time()
        if left <= 0:
            return self.close(f"Nothing was heard of the client for {LEASE:g} s")
        self._timer = self._loop.call_later(left, self._check)


class Tunnels:
    """All tunnels, by client."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._path = Path()
        self._open: dict[str, Tunnel] = {}

    def start(self, path: Path) -> None:
        """Takes messages for Klipper at a path from now on."""
        self._path = path
        self._bus.subscribe(self._bus.topics.tunnel_send("#"), self._on_send)
        self._bus.subscribe(self._bus.topics.tunnel_control("#"), self._on_control)

    async def open(self, connection: Connection | None) -> klippy.Tunnel:
        """A tunnel of a client; raises Unavailable without Klipper."""
        if connection is None:
            raise InvalidParams("A tunnel belongs to one client: ask for it on a private topic or a websocket")
        client, topics = connection.client, self._bus.topics
        self._end(client, "The client has opened another one")
        if len(self._open) >= MAX_TUNNELS:
            raise Unavailable(f"{MAX_TUNNELS} tunnels are open")
        await self._connect(client)
        return klippy.Tunnel(
            send=topics.tunnel_send(client),
            receive=topics.tunnel_receive(client),
            control=topics.tunnel_control(client),
            state=topics.tunnel_state(client),
        )

    async def _connect(self, client: str) -> None:
        bus = self._bus

        def gone(ended: Tunnel) -> None:
            if self._open.get(client) is ended:
                del self._open[client]

        tunnel = self._open[client] = Tunnel(
            partial(bus.publish, bus.topics.tunnel_receive(client)),
            partial(bus.publish, bus.topics.tunnel_state(client)),
            gone,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_unix_connection(lambda: tunnel, str(self._path))
        except OSError:
            tunnel.close(NOT_CONNECTED)
            raise Unavailable(NOT_CONNECTED) from None

    def close(self, reason: str) -> None:
        """Ends all."""
        for client in list(self._open):
            self._end(client, reason)

    def _end(self, client: str, reason: str) -> None:
        tunnel = self._open.get(client)
        if tunnel is not None:
            tunnel.close(reason)

    def _on_send(self, topic: str, payload: bytes) -> None:
        tunnel = self._open.get(topic.split("/", 4)[4])
        if tunnel is not None:
            tunnel.send(payload)

    def _on_control(self, topic: str, payload: bytes) -> None:
        tunnel = self._open.get(topic.split("/", 4)[4])
        if tunnel is None:
            return
        try:
            said = klippy.TunnelControl.model_validate(orjson.loads(payload or b"{}"))
        except ValueError:
            return tunnel.close("The client has said something that is not a control message")
        return tunnel.control(said)
