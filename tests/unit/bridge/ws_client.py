"""A raw websocket client: it can send what no proper client would, and shows each frame as it comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from struct import pack
from typing import Any, Self

import orjson
import pytest

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
WAIT = 20.0


def masked(opcode: int, payload: bytes, *, fin: bool = True, key: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's frame."""
    size = len(payload)
    first = (0x80 if fin else 0) | opcode
    head = bytes((first, 0x80 | size)) if size < 126 else b""
    if size >= 126:
        head = pack(">BBH", first, 0xFE, size) if size < 65536 else pack(">BBQ", first, 0xFF, size)
    pattern = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(size)


class WsClient:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""

    async def greet(self, path: str, headers: dict[str, str]) -> Self:
        """Sends the handshake; `head` then is the answer's."""
        lines = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": KEY.decode(),
            "Sec-WebSocket-Version": "13",
        } | headers
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.raw(f"GET {path} HTTP/1.1\r\n{text}\r\n".encode())
        self.head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), WAIT)
        return self

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        return await asyncio.wait_for(self._reader.read(), WAIT)

    def raw(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, value: Any) -> None:
        """Sends a JSON value, or text as it is."""
        self.raw(masked(1, value.encode() if isinstance(value, str) else orjson.dumps(value)))

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame."""
        first, size = await asyncio.wait_for(self._reader.readexactly(2), WAIT)
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        assert first & 0x80
        return first & 0xF, await self._reader.readexactly(size)

    async def receive(self) -> Any:
        """The JSON value of the next frame, which must be text."""
        opcode, payload = await self.frame()
        assert opcode == 1, (opcode, payload)
        return orjson.loads(payload)

    async def call(self, method: str, params: Any = None, request_id: Any = 1) -> Any:
        """Sends a request; the next message."""
        request = {"jsonrpc": "2.0", "method": method, "id": request_id}
        self.send(request if params is None else request | {"params": params})
        return await self.receive()

    async def close_code(self) -> int:
        """The code with which the server closes; the connection must end after that."""
        opcode, payload = await self.frame()
        while opcode != 8:
            opcode, payload = await self.frame()
        assert await self.rest() == b""
        return int.from_bytes(payload[:2], "big")

    async def dropped(self) -> None:
        """The connection ends without a close frame."""
        with pytest.raises(asyncio.IncompleteReadError):
            while (await self.frame())[0] != 8:
                pass

    async def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def websocket(port: int, path: str = "/websocket", **headers: str) -> AsyncIterator[WsClient]:
    """A connection after the handshake, accepted or not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = WsClient(reader, writer)
    try:
        yield await client.greet(path, {name.replace("_", "-"): value for name, value in headers.items()})
    finally:
        writer.close()
        await asyncio.wait_for(asyncio.gather(writer.wait_closed(), return_exceptions=True), WAIT)
