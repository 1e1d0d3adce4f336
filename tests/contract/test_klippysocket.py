"""Klipper's own API over a websocket, at the bridge: the handshake that waits, frames, and what ends it."""

import asyncio
from typing import Any

import orjson
import pytest

from bridge import tunnels
from bus.errors import Forbidden, Unavailable
from tests.conftest import Run
from tests.unit.bridge.wire import Running, running, until
from tests.unit.bridge.ws_client import WsClient, masked, websocket

PATH = "/klippysocket"
OPEN = "klippy.tunnel.open"
TEXT, BINARY = 1, 2


def granted(_: Any) -> Any:
    return {"send": "s", "receive": "r", "control": "c", "state": "t"}


def refused(_: Any) -> Any:
    raise Unavailable("Klipper is not connected")


def number(behind: Running) -> int:
    """The virtual client of the only tunnel."""
    (found,) = behind.bridge._tunnels.open
    return found


def sent(behind: Running, part: str) -> list[bytes]:
    """What was published on topics with this part."""
    return [message.payload for message in behind.wire.sent(f"/tunnel/{part}/")]


def say(behind: Running, state: dict[str, Any]) -> None:
    """The agent says something about the tunnel."""
    behind.wire.publish(behind.topics.tunnel_state(f"bridge/{number(behind)}"), orjson.dumps(state))


def receive(behind: Running, payload: bytes) -> None:
    """Klipper says something."""
    behind.wire.publish(behind.topics.tunnel_receive(f"bridge/{number(behind)}"), payload)


async def opened(behind: Running, client: WsClient) -> None:
    assert client.status == 101
    await until(lambda: len(behind.bridge._tunnels.open) == 1)


def test_messages_go_both_ways_as_they_are(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                raw = b'{ "id":1 , "method":"info"}'
                client.raw(masked(TEXT, raw) + masked(BINARY, raw))
                await until(lambda: len(sent(behind, "send")) == 2)
                assert sent(behind, "send") == [raw, raw]
                receive(behind, raw)
                assert await client.frame() == (TEXT, raw)
                receive(behind, "äöü".encode())
                assert await client.frame() == (TEXT, "äöü".encode())
                receive(behind, b"\xff")
                assert await client.frame() == (BINARY, b"\xff")
            await until(lambda: sent(behind, "control") == [b'{"open":false}'])
            assert behind.bridge._tunnels.open == {}
            await until(lambda: behind.router.transports == {})

    run(main())


def test_without_klipper_the_handshake_is_503(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = refused
            async with websocket(behind.port, PATH) as client:
                assert client.status == 503
                body = orjson.loads(await client.rest())
                assert body == {"error": {"code": 503, "message": "Klipper is not connected"}}
            await until(lambda: behind.router.transports == {})

    run(main())


def test_who_may_not_open_one_is_told_so(run: Run[None]) -> None:
    def forbidden(_: Any) -> Any:
        raise Forbidden("You may only look")

    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = forbidden
            async with websocket(behind.port, PATH) as client:
                assert client.status == 403
            async with websocket(behind.port, PATH, Origin="http://evil.example") as client:
                assert client.status == 403

    run(main())


def test_the_handshake_waits_for_the_tunnel_and_nothing_may_come_before(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            behind.router.held = True
            async with websocket(behind.port, "/nothing") as other:
                assert other.status == 404
            reader, writer = await asyncio.open_connection("127.0.0.1", behind.port)
            early = WsClient(reader, writer)
            greeting = asyncio.create_task(early.greet(PATH, {}), name="greeting")
            await until(lambda: len(behind.router.transports) == 1)
            assert not greeting.done()
            behind.bridge._door.ping()
            early.raw(masked(TEXT, b"{}"))
            with pytest.raises(asyncio.IncompleteReadError):
                await greeting
            writer.close()
            await until(lambda: behind.router.transports == {})
            assert sent(behind, "send") == []

    run(main())


def test_a_server_that_stops_does_not_wait_for_a_handshake(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.held = True
            reader, writer = await asyncio.open_connection("127.0.0.1", behind.port)
            greeting = asyncio.create_task(WsClient(reader, writer).greet(PATH, {}), name="greeting")
            await until(lambda: len(behind.router.transports) == 1)
        try:
            found = await greeting
            assert found.status == 503
        except asyncio.IncompleteReadError as cut:
            assert cut.partial == b""
        writer.close()

    run(main())


def test_it_closes_with_klipper_and_with_the_agent(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                say(behind, {"open": False, "paused": False, "reason": "Klipper has gone"})
                opcode, payload = await client.frame()
                assert (opcode, payload) == (8, (1001).to_bytes(2, "big") + b"Klipper has gone")
            await until(lambda: not behind.bridge._tunnels.open)
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                behind.wire.publish(behind.topics.agent("klippy"), b'{"alive":true,"boot":"b"}')
                behind.wire.publish(behind.topics.agent("klippy"), b'{"alive":false,"boot":"b"}')
                assert await client.close_code() == 1001

    run(main())


def test_a_lost_broker_ends_it(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                behind.bridge.lost()
                await client.dropped()

    run(main())


def test_tunnels_are_kept_alive_by_their_bridge(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                behind.bridge._door.ping()
                assert await client.frame() == (9, b"")
                assert sent(behind, "control") == [b"{}"]

    run(main())


def test_a_message_over_the_bound_closes_it(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                client.raw(masked(TEXT, b" " * (tunnels.MAX_MESSAGE + 1)))
                assert await client.close_code() == 1009
            assert sent(behind, "send") == []

    run(main())


def test_nothing_is_read_from_a_client_while_klipper_does_not_keep_up(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                say(behind, {"open": True, "paused": True, "reason": ""})
                await asyncio.sleep(0.05)
                client.raw(masked(TEXT, b"{}"))
                await asyncio.sleep(0.1)
                assert sent(behind, "send") == []
                say(behind, {"open": True, "paused": False, "reason": ""})
                await until(lambda: sent(behind, "send") == [b"{}"])

    run(main())


def test_klipper_is_asked_to_wait_for_a_client_that_does_not_read(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers[OPEN] = granted
            async with websocket(behind.port, PATH) as client:
                await opened(behind, client)
                size, count = 100_000, 0
                while b'{"paused":true}' not in sent(behind, "control"):
                    receive(behind, b"x" * size)
                    count += 1
                    await asyncio.sleep(0)
                    assert count < 200
                for _ in range(count):
                    assert len((await client.frame())[1]) == size
                await until(lambda: sent(behind, "control")[-1] == b'{"paused":false}')

    run(main())
