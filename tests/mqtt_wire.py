"""An MQTT 3.1.1 client on a raw socket that sends and sees single packets, right or wrong."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

PATIENCE = 15.0
"""Seconds to wait for a packet that must come."""
SILENCE = 0.05
"""Seconds without a packet that count as silence, after a round trip has shown that nothing is under way."""


def text(value: str | bytes) -> bytes:
    """A length-prefixed string."""
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, body: bytes = b"") -> bytes:
    """A control packet with its fixed header."""
    length, head = len(body), bytearray((first,))
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + body


@dataclass(frozen=True)
class Will:
    """The will of a CONNECT packet."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


def connect(
    client_id: str,
    *,
    clean: bool = True,
    keep_alive: int = 0,
    user: str | None = None,
    password: bytes | None = None,
    will: Will | None = None,
) -> bytes:
    """A CONNECT packet."""
    flags = 2 * clean | 0x80 * (user is not None) | 0x40 * (password is not None)
    tail = text(client_id)
    if will is not None:
        flags |= 4 | will.qos << 3 | 0x20 * will.retain
        tail += text(will.topic) + text(will.payload)
    if user is not None:
        tail += text(user)
    if password is not None:
        tail += text(password)
    return packet(0x10, text("MQTT") + bytes((4, flags)) + keep_alive.to_bytes(2, "big") + tail)


def publish(
    topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, dup: bool = False, packet_id: int = 1
) -> bytes:
    """A PUBLISH packet."""
    middle = packet_id.to_bytes(2, "big") if qos else b""
    return packet(0x30 | dup << 3 | qos << 1 | retain, text(topic) + middle + payload)


def subscribe(*filters: tuple[str, int], packet_id: int = 1) -> bytes:
    """A SUBSCRIBE packet."""
    return packet(0x82, packet_id.to_bytes(2, "big") + b"".join(text(name) + bytes((qos,)) for name, qos in filters))


@dataclass(frozen=True)
class Published:
    """A PUBLISH as received."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0

    @classmethod
    def read(cls, first: int, body: bytes) -> Self:
        """Parse the body of a PUBLISH packet."""
        at = 2 + int.from_bytes(body[:2], "big")
        topic, qos = body[2:at].decode(), first >> 1 & 3
        packet_id = int.from_bytes(body[at : at + 2], "big") if qos else 0
        return cls(topic, body[at + 2 * bool(qos) :], qos, bool(first & 1), bool(first & 8), packet_id)


class Refused(Exception):
    """CONNACK with a return code other than 0."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class WireClient:
    """One connection; nothing is answered or acknowledged unless the test does it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.present = False

    @classmethod
    async def open(cls, address: tuple[str, int]) -> Self:
        """A connected socket, before CONNECT."""
        return cls(*await asyncio.open_connection(*address))

    async def login(
        self,
        client_id: str,
        *,
        clean: bool = True,
        keep_alive: int = 0,
        user: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
    ) -> Self:
        """Send CONNECT and take CONNACK; raises Refused."""
        self.send(connect(client_id, clean=clean, keep_alive=keep_alive, user=user, password=password, will=will))
        first, body = await self.receive()
        assert (first, len(body)) == (0x20, 2)
        if body[1]:
            raise Refused(body[1])
        self.present = bool(body[0])
        return self

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def receive(self, seconds: float = PATIENCE) -> tuple[int, bytes]:
        """The next packet: first byte and body; raises EOFError when the broker closed, TimeoutError."""
        async with asyncio.timeout(seconds):
            first = (await self._reader.readexactly(1))[0]
            length, shift = 0, 0
            while True:
                byte = (await self._reader.readexactly(1))[0]
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return first, await self._reader.readexactly(length)

    async def published(self, seconds: float = PATIENCE) -> Published:
        """The next packet, which must be a PUBLISH."""
        first, body = await self.receive(seconds)
        assert first >> 4 == 3, f"expected PUBLISH, not 0x{first:02x}"
        return Published.read(first, body)

    async def subscribe(self, *filters: tuple[str, int]) -> list[int]:
        """Subscribe and take the return codes."""
        self.send(subscribe(*filters))
        first, body = await self.receive()
        assert first == 0x90
        return list(body[2:])

    async def unsubscribe(self, *filters: str) -> None:
        """Unsubscribe and take the answer."""
        self.send(packet(0xA2, b"\x00\x07" + b"".join(map(text, filters))))
        assert await self.receive() == (0xB0, b"\x00\x07")

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, dup: bool = False, packet_id: int = 1
    ) -> None:
        """Publish and complete the exchange of its QoS."""
        self.send(publish(topic, payload, qos=qos, retain=retain, dup=dup, packet_id=packet_id))
        raw_id = packet_id.to_bytes(2, "big")
        if qos == 1:
            assert await self.receive() == (0x40, raw_id)
        if qos == 2:
            assert await self.receive() == (0x50, raw_id)
            self.send(packet(0x62, raw_id))
            assert await self.receive() == (0x70, raw_id)

    async def ping(self) -> None:
        """A round trip: everything sent before was handled."""
        self.send(packet(0xC0))
        assert await self.receive() == (0xD0, b"")

    async def silent(self) -> None:
        """Nothing but the answer to a ping arrives."""
        await self.ping()
        with contextlib.suppress(TimeoutError):
            got = await self.receive(SILENCE)
            raise AssertionError(f"unexpected packet {got}")

    async def closed(self, seconds: float = PATIENCE) -> None:
        """The broker closes the connection; packets before that are passed over."""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                while await self._reader.read(65_536):
                    pass

    async def disconnect(self) -> None:
        """Leave properly."""
        self.send(packet(0xE0))
        await self.closed()
        await self.drop()

    async def drop(self) -> None:
        """End the socket without DISCONNECT."""
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


class Clients:
    """Opens clients on one broker, all of which are dropped at the end."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._clients: list[WireClient] = []

    async def socket(self) -> WireClient:
        """A connection before CONNECT."""
        client = await WireClient.open(self.address)
        self._clients.append(client)
        return client

    async def __call__(
        self,
        client_id: str,
        *,
        clean: bool = True,
        keep_alive: int = 0,
        user: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
    ) -> WireClient:
        """A logged-in client."""
        client = await self.socket()
        return await client.login(
            client_id, clean=clean, keep_alive=keep_alive, user=user, password=password, will=will
        )

    async def close(self) -> None:
        """Drop all."""
        for client in self._clients:
            await client.drop()


@contextlib.asynccontextmanager
async def clients_of(address: tuple[str, int]) -> AsyncIterator[Clients]:
    """A context that opens clients and drops them at its end."""
    clients = Clients(address)
    try:
        yield clients
    finally:
        await clients.close()
