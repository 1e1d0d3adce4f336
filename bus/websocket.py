"""Websockets as carriers of MQTT connections (section 6), whichever library speaks the websocket protocol."""

import asyncio
import contextlib
from typing import Protocol

from .access import Authenticator, Tls
from .engine import Connection
from .exchange import Exchange
from .sockets import LINGER_SECONDS

SUBPROTOCOL = "mqtt"
PACKETS_PER_MESSAGE = 4
"""A message may carry several packets; it may be this many times as large as the largest packet."""


class MessageWire(Protocol):
    """An accepted websocket; `receive` answers None when it has ended or a text message came."""

    async def receive(self) -> bytes | None: ...
    async def send(self, data: bytes) -> None: ...
    async def close(self) -> None: ...


class _Outgoing:
    """What waits to be sent: put in by the connection, taken out by the sending task."""

    def __init__(self) -> None:
        self.size = 0
        self.closed = asyncio.Event()
        self._parts: list[bytes] = []
        self._news = asyncio.Event()

    def put(self, data: bytes) -> None:
        self._parts.append(data)
        self.size += len(data)
        self._news.set()

    def close(self) -> None:
        self.closed.set()
        self._news.set()

    def queued(self) -> int:
        return self.size

    async def send_to(self, wire: MessageWire) -> None:
        """Send until closed and empty."""
        while not self.closed.is_set() or self._parts:
            await self._news.wait()
            self._news.clear()
            parts, self._parts = self._parts, []
            for data in parts:
                await wire.send(data)
                self.size -= len(data)
        await wire.close()


async def carry(
    exchange: Exchange, authenticator: Authenticator, wire: MessageWire, address: str, tls: Tls | None = None
) -> None:
    """Serve MQTT on one websocket until either side ends it."""
    outgoing, ready = _Outgoing(), asyncio.Event()
    ready.set()
    connection = Connection(
        exchange,
        authenticator,
        write=outgoing.put,
        close=outgoing.close,
        address=address,
        transport="mqtt+ws",
        tls=tls,
        queued=outgoing.queued,
        pause=lambda stop: ready.clear() if stop else ready.set(),
    )
    receiving = asyncio.create_task(_receive(wire, connection, outgoing, ready), name=f"mqtt+ws {address} receive")
    sending = asyncio.create_task(outgoing.send_to(wire), name=f"mqtt+ws {address} send")
    try:
        await outgoing.closed.wait()
        await asyncio.wait((receiving, sending), timeout=LINGER_SECONDS)
    finally:
        connection.lost()
        for task in (receiving, sending):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task


async def _receive(wire: MessageWire, connection: Connection, outgoing: _Outgoing, ready: asyncio.Event) -> None:
    try:
        while (data := await wire.receive()) is not None:
            connection.feed(data)
            await ready.wait()
    finally:
        connection.lost()
        outgoing.close()
