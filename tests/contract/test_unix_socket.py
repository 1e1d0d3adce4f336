"""JSON-RPC on the unix socket: the same as on a websocket, in frames of its own, on a file that is only ours."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from bridge import unix_socket
from bridge.unix_socket import SOCKET
from tests.conftest import Run
from tests.unit.bridge.wire import INFO, Running, running, until

END = b"\x03"
WAIT = 20.0


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, value: Any) -> None:
        """A message."""
        self.writer.write((value if isinstance(value, bytes) else orjson.dumps(value)) + END)

    async def receive(self) -> Any:
        """The next message, parsed."""
        return orjson.loads((await asyncio.wait_for(self.reader.readuntil(END), WAIT))[:-1])

    async def call(self, method: str, params: Any = None) -> Any:
        """The next message after a request."""
        request = {"jsonrpc": "2.0", "method": method, "id": 1}
        self.send(request if params is None else request | {"params": params})
        return await self.receive()

    async def ended(self) -> bool:
        """Whether the server has ended it, and said nothing before."""
        try:
            return await asyncio.wait_for(self.reader.read(), WAIT) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a place for the socket."""
    (tmp_path / "comms").mkdir()
    return tmp_path


@asynccontextmanager
async def connected(data: Path) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_unix_connection(data / SOCKET, limit=64 << 20)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def one(data: Path) -> AsyncIterator[tuple[Running, Client]]:
    """A bridge and a client."""
    async with running(data=data) as behind, connected(data) as client:
        yield behind, client


def test_requests_are_answered_however_they_are_cut(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with one(data) as (behind, client):
            expected = {"jsonrpc": "2.0", "result": INFO, "id": 1}
            assert await client.call("server.info") == expected
            assert list(behind.router.transports.values()) == ["unix"]
            raw = orjson.dumps({"jsonrpc": "2.0", "method": "server.info", "id": 1}) + END
            for byte in raw:
                client.writer.write(bytes((byte,)))
                await client.writer.drain()
            assert await client.receive() == expected
            client.writer.write(raw + END + raw + raw)
            assert [await client.receive() for _ in range(3)] == [expected] * 3
            client.send(b"not json")
            assert (await client.receive())["error"]["code"] == -32700
            client.send(b"[%b,%b]" % (raw[:-1], raw[:-1]))
            assert await client.receive() == [expected] * 2
        await until(lambda: behind.router.transports == {})

    run(main())


def test_it_says_whose_process_a_client_is(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with one(data) as (behind, client):
            await client.call("server.info")
            (opened, *_) = behind.wire.sent("/connection/")
            actor = orjson.loads(opened.payload)["actor"]
            who = f"uid {os.getuid()}, process {os.getpid()}"
            assert actor == {"user": None, "kind": "owner", "transport": "unix", "client": who}

    run(main())
    uvloop.run(main())


def test_notifications_and_updates_come_as_on_a_websocket(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with one(data) as (behind, client):
            status = {"eventtime": 1.0, "status": {"fan": {"speed": 0.0}}, "revision": 5}
            behind.router.answers["printer.objects.subscribe"] = lambda _: status
            answer = await client.call("printer.objects.subscribe", {"objects": {"fan": None}})
            assert answer["result"] == status
            behind.delta(6, {"fan": {"speed": 1.0}, "toolhead": {"x": 1}})
            update = await client.receive()
            assert update["params"] == [{"fan": {"speed": 1.0}}, 1.5]
            for length in (1, 200, 70_000):
                behind.notify("notify_gcode_response", ["x" * length])
                assert (await client.receive())["params"] == ["x" * length]
            behind.notify("notify_klippy_disconnected")
            assert await client.receive() == {"jsonrpc": "2.0", "method": "notify_klippy_disconnected"}
            behind.delta(7, {"fan": {"speed": 0.5}})
            assert await client.call("server.info") == {"jsonrpc": "2.0", "result": INFO, "id": 1}

    run(main())


def test_only_its_owner_can_open_it_and_it_goes_with_the_server(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with running(data=data):
            found = (data / SOCKET).stat()
            assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
        assert not (data / SOCKET).exists()

    run(main())
    uvloop.run(main())


def test_it_can_be_switched_off(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with running(data=data, unix_socket=False):
            assert not (data / SOCKET).exists()

    run(main())


def test_what_a_dead_server_left_behind_is_replaced(run: Run[None], data: Path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(data / SOCKET))
        async with one(data) as (_, client):
            assert (await client.call("server.info"))["result"] == INFO

    run(main())


def test_a_socket_that_somebody_serves_is_left_alone(run: Run[None], data: Path, caplog: Any) -> None:
    async def main() -> None:
        async with one(data) as (first, client):
            async with running(data=data) as second:
                assert "another program listens there" in caplog.text
                assert second.url != first.url
            assert (await client.call("server.info"))["result"] == INFO
            async with connected(data) as another:
                assert (await another.call("server.info"))["result"] == INFO

    run(main())


@pytest.mark.parametrize("obstacle", ["file", "folder", "long", "missing"])
def test_where_it_cannot_be_a_warning_says_why_and_the_rest_serves(
    run: Run[None], data: Path, caplog: Any, obstacle: str
) -> None:
    folder = data / ("x" * 120) if obstacle == "long" else data
    if obstacle == "missing":
        (data / "comms").rmdir()
    elif obstacle == "long":
        (folder / "comms").mkdir(parents=True)
    elif obstacle == "file":
        (data / SOCKET).write_text("mine")
    else:
        (data / SOCKET).mkdir()

    async def main() -> None:
        async with running(data=folder) as behind:
            assert behind.url
        (record,) = [record for record in caplog.records if record.name == "bridge.unix_socket"]
        assert str(folder / SOCKET) in record.message
        if obstacle == "long":
            assert "too long" in record.message
        if obstacle == "file":
            assert (data / SOCKET).read_text() == "mine"

    run(main())


def test_a_lost_broker_ends_connections_and_new_ones_are_told(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with one(data) as (behind, client):
            await client.call("server.info")
            behind.bridge.lost()
            assert (await client.receive())["method"] == "notify_klippy_disconnected"
            assert await client.ended()
            async with connected(data) as late:
                assert (await late.call("server.info"))["error"]["code"] == 503

    run(main())


def test_there_is_a_bound_to_their_number(run: Run[None], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_socket, "MAX_CLIENTS", 1)

    async def main() -> None:
        async with one(data) as (behind, client):
            await client.call("server.info")
            async with connected(data) as second:
                assert await second.ended()
            assert behind.bridge.counters["refused"] == 1
            assert (await client.call("server.info"))["result"] == INFO

    run(main())


def test_a_message_without_an_end_is_not_waited_for(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with one(data) as (behind, client):
            client.writer.write(b" " * ((16 << 20) + 1))
            assert await client.ended()
            assert behind.bridge.counters["too_long"] == 1

    run(main())


def test_a_client_that_does_not_read_is_cut(run: Run[None], data: Path) -> None:
    async def main() -> None:
        async with one(data) as (behind, client):
            await client.call("server.info")
            transport = client.writer.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            for _ in range(200):
                behind.notify("notify_gcode_response", ["x" * 100_000])
                await asyncio.sleep(0)
            await until(lambda: behind.router.transports == {})
            assert behind.bridge.counters["slow_readers"] == 1

    run(main())
