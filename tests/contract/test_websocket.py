"""The JSON-RPC websocket: what goes through, what ends it, and who may open one."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import uvloop
from websockets.asyncio.client import connect

from schemas import Permission
from tests.conftest import Run
from tests.unit.bridge.wire import INFO, Running, http_client, running, until
from tests.unit.bridge.ws_client import WsClient, masked, websocket

ACTOR = {"user": None, "kind": "trusted", "transport": "websocket", "client": "127.0.0.1"}


def announced(behind: Running) -> list[tuple[int, Any]]:
    """Connection number and content of what was said about connections."""
    return [(int(m.topic.rpartition("/")[2]), orjson.loads(m.payload)) for m in behind.wire.sent("/connection/")]


def error(code: int, message: str, request_id: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": request_id}


def test_requests_are_answered(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            assert client.status == 101
            for request_id in (0, 1, "text", 1.5):
                answer = await client.call("server.info", request_id=request_id)
                assert answer == {"jsonrpc": "2.0", "result": INFO, "id": request_id}
            assert await client.call("nosuch.method") == error(-32601, "Method not found", 1)
            assert (await client.call("server.info", [1]))["error"]["code"] == -32602

    run(main())


def test_connections_are_announced_with_their_number(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            async with websocket(behind.port) as client:
                await client.call("server.info")
                assert behind.bridge.connections == 1
                ((number, news),) = announced(behind)
                assert 0 < number < 1 << 53 and news == {"open": True, "actor": ACTOR}
            await until(lambda: behind.bridge.connections == 0)
            assert announced(behind) == [(number, {"open": True, "actor": ACTOR}), (number, {"open": False})]
            async with websocket(behind.port) as client:
                await client.call("server.info")
                assert announced(behind)[-1][0] != number

    run(main())


def test_what_is_told_at_once_arrives_in_order_also_right_before_the_end(run: Run[None]) -> None:
    """Frames of one turn of the loop leave together, whatever their size."""

    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            await client.call("server.info")
            texts = [str(number) * (30_000 if number % 3 == 0 else 10) for number in range(20)]
            for text in texts:
                said = orjson.dumps({"jsonrpc": "2.0", "method": "notify_gcode_response", "params": [text]})
                behind.wire.publish(behind.topics.notify("notify_gcode_response"), said)
            assert [(await client.receive())["params"][0] for _ in texts] == texts
            client.raw(masked(9, b"1") + masked(9, b"2") + masked(8, b"\x03\xe8"))
            assert [await client.frame() for _ in range(3)] == [(10, b"1"), (10, b"2"), (8, b"\x03\xe8")]
            assert await client.rest() == b""

    run(main())


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"{bad", error(-32700, "Parse error")),
        (b"", error(-32700, "Parse error")),
        (b"[]", error(-32600, "Invalid Request")),
        (b"5", error(-32600, "Invalid Request")),
        (b"{}", error(-32600, "Invalid Request")),
        (b'{"method":"server.info","id":51}', error(-32600, "Invalid Request", 51)),
        (b"[5]", [error(-32600, "Invalid Request")]),
        (b"[" * 2000 + b"]" * 2000, error(-32700, "Parse error")),
    ],
)
def test_what_is_no_request_is_answered_and_the_connection_lives(run: Run[None], raw: bytes, answer: Any) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            client.raw(masked(1, raw))
            assert await client.receive() == answer
            assert (await client.call("server.info"))["result"] == INFO

    run(main())


def test_batches_notifications_and_binary_frames(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            info = {"jsonrpc": "2.0", "method": "server.info"}
            client.send(info)
            client.send([info])
            client.send([info | {"id": 1}, info, info | {"id": 2}])
            assert [answer["id"] for answer in await client.receive()] == [1, 2]
            client.raw(masked(2, orjson.dumps(info | {"id": 3})))
            assert (await client.receive())["id"] == 3
            client.raw(masked(2, b"\xff\xfe{"))
            assert (await client.receive())["error"]["code"] == -32700

    run(main())


def test_many_requests_in_flight_are_all_answered(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            text = '{"jsonrpc":"2.0","method":"server.info","id":%d}'
            client.raw(b"".join(masked(1, (text % number).encode()) for number in range(10_000)))
            assert [(await client.receive())["id"] for _ in range(10_000)] == list(range(10_000))

    run(main())


def test_notifications_go_to_all_and_behind_answers_that_came_first(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as one, websocket(behind.port) as two:
            soon = asyncio.get_running_loop().call_soon
            for client in (one, two):
                await client.call("server.info")
            behind.router.answers["printer.gcode.script"] = lambda _: (
                soon(behind.notify, "notify_gcode_response", ["// hi"]) and "ok"
            )
            answer = await one.call("printer.gcode.script")
            assert answer["id"] == 1
            for client in (one, two):
                assert await client.receive() == {
                    "jsonrpc": "2.0",
                    "method": "notify_gcode_response",
                    "params": ["// hi"],
                }
            behind.notify("notify_klippy_ready")
            assert await two.receive() == {"jsonrpc": "2.0", "method": "notify_klippy_ready"}

    run(main())


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (masked(1, b"\xff\xfe{"), 1007),
        (masked(1, b"\xc3", fin=False) + masked(0, b"("), 1007),
        (b"\x81\x02{}", 1002),
        (masked(3, b""), 1002),
        (masked(1, b"x" * (16 << 20))[:14] + b"x" * 100, 101),
        (masked(8, b"\x03\xe8bye"), 1000),
        (masked(8, b"\x03\xed"), 1002),
    ],
    ids=["not utf-8", "not utf-8 in parts", "unmasked", "opcode", "16 MiB fit", "close", "bad close code"],
)
def test_frames_that_end_the_connection(run: Run[None], sent: bytes, code: int) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client, websocket(behind.port) as other:
            client.raw(sent)
            if code == 101:
                await asyncio.sleep(0.05)
                assert behind.bridge.connections == 2
                return
            assert await client.close_code() == code
            await until(lambda: behind.bridge.connections == 1)
            assert (await other.call("server.info"))["result"] == INFO

    run(main())


def test_a_message_of_20_megabytes_is_1009_and_can_be_read_by_its_sender(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            async with connect(f"{behind.ws_url}/websocket", compression=None) as client:
                with pytest.raises(Exception, match="1009"):
                    for _ in range(20):
                        await client.send("x" * (20 << 20))
                        await client.recv()
            async with websocket(behind.port) as client, websocket(behind.port) as other:
                client.raw(masked(1, b"")[:1] + b"\xff" + (20 << 20).to_bytes(8, "big"))
                assert await client.close_code() == 1009
                assert (await other.call("server.info"))["result"] == INFO

    run(main())


def test_a_message_over_one_megabyte_reaches_the_router(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers["printer.gcode.script"] = lambda params: len(params["script"])
            async with connect(f"{behind.ws_url}/websocket", max_size=None) as client:
                params = {"script": "x" * (3 << 20)}
                await client.send(
                    orjson.dumps(
                        {"jsonrpc": "2.0", "method": "printer.gcode.script", "id": 1, "params": params}
                    ).decode()
                )
                assert orjson.loads(await client.recv())["result"] == 3 << 20
                assert client.response is not None and "Sec-WebSocket-Extensions" not in client.response.headers

    run(main())


def test_pings_are_answered(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as client:
            client.raw(masked(9, b"still there?"))
            assert await client.frame() == (10, b"still there?")

    run(main())


def test_who_answers_no_ping_is_cut(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.app.PING_EVERY", 0.15)

    async def answering(client: WsClient) -> None:
        while True:
            opcode, payload = await client.frame()
            assert (opcode, payload) == (9, b"")
            client.raw(masked(10, payload))

    async def main() -> None:
        async with running() as behind, websocket(behind.port) as silent, websocket(behind.port) as alive:
            pongs = asyncio.create_task(answering(alive))
            assert (await silent.frame())[0] == 9
            assert await silent.rest() == b""
            assert behind.bridge.connections == 1
            pongs.cancel()

    run(main())


def test_a_slow_reader_is_cut_and_others_do_not_notice(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.socket.MAX_QUEUED", 1 << 20)

    async def main() -> None:
        async with running() as behind, websocket(behind.port) as slow, websocket(behind.port) as quick:
            await slow.call("server.info")
            text = "x" * 100_000
            slow._reader._transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(300):
                behind.notify("notify_gcode_response", [text])
                assert (await quick.receive())["params"] == [text]
            await until(lambda: behind.bridge.connections == 1)
            assert behind.bridge.counters["slow_readers"] == 1

    run(main())


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/websocket?token=bad", {}, 101),
        ("/websocket", {"Origin": "http://localhost:8080"}, 101),
        ("/websocket", {"Origin": "http://voron", "Host": "voron:7125"}, 101),
        ("/websocket", {"Origin": "http://evil.example"}, 403),
        ("/websocket", {"Origin": "null"}, 403),
        ("/websocket", {"Origin": "http://evil.example", "Host": "evil.example"}, 403),
        ("/websocket", {"X-Forwarded-For": "127.0.0.1"}, 101),  # as nobody
        ("/websocket", {"X-Api-Key": "bad"}, 401),
        ("/websocket", {"Authorization": "Bearer a.b.c"}, 401),
        ("/websocket", {"Sec-WebSocket-Version": "8"}, 400),
        ("/websocket", {"Sec-WebSocket-Key": "short"}, 400),
        ("/nosuch", {}, 404),
        ("/mqtt", {"Sec-WebSocket-Protocol": "mqtt"}, 404),
    ],
)
def test_handshakes(run: Run[None], path: str, headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port, path, **headers) as client:
            assert client.status == status
            if status != 101:
                assert orjson.loads(await client.rest())["error"]["code"] == status
                assert behind.bridge.counters["refused"] == 1 and not announced(behind)

    run(main())


def test_configured_pages_may_connect(run: Run[None]) -> None:
    async def main() -> None:
        async with running(cors_domains=["*://my.mainsail.xyz"]) as behind:
            async with websocket(behind.port, Origin="https://my.mainsail.xyz") as client:
                assert client.status == 101
            async with websocket(behind.port, Origin="https://my.mainsail.xyz.evil.example") as client:
                assert client.status == 403

    run(main())


@pytest.mark.parametrize("limits", [{"max_websockets": 3}, {"max_websockets_per_address": 3}])
def test_too_many_websockets_are_refused_until_one_ends(run: Run[None], limits: dict[str, Any]) -> None:
    async def main() -> None:
        async with running(**limits) as behind, websocket(behind.port), websocket(behind.port):
            async with websocket(behind.port), websocket(behind.port) as fourth, http_client(behind.url) as http:
                assert fourth.status == 503
                assert (await http.get("/server/info")).status_code == 200
            await until(lambda: behind.bridge.connections == 2)
            async with websocket(behind.port) as again:
                assert again.status == 101

    run(main())


PROXIED: dict[str, Any] = {"proxies": ["127.0.0.1"]}
STRANGER = {"X-Forwarded-For": "8.8.8.8"}


def test_who_does_not_log_in_is_cut_in_time_and_keeps_nobody_out(run: Run[None]) -> None:
    """The oldest goes first; others of the same address, and who is let in by address, stay."""

    async def main() -> None:
        async with (
            running(**PROXIED, max_strangers_per_address=2) as behind,
            websocket(behind.port, **STRANGER) as first,
            websocket(behind.port, **STRANGER) as second,
            websocket(behind.port) as trusted,
            websocket(behind.port, **STRANGER) as third,
        ):
            await first.dropped()
            for each in (second, third, trusted):
                await each.call("server.info")
            assert behind.bridge.counters["strangers_cut"] == 1

    run(main())


def test_a_websocket_without_a_login_ends_after_a_while(run: Run[None]) -> None:
    async def main() -> None:
        async with running(**PROXIED, login_seconds=0.2) as behind, websocket(behind.port) as trusted:
            async with websocket(behind.port, **STRANGER) as stranger:
                await stranger.dropped()
            async with websocket(behind.port, **STRANGER) as late:
                client = [*behind.router.transports][-1]
                behind.router.judge(client, [Permission.READ])  # as after a login
                async with websocket(behind.port, **STRANGER) as later:
                    await later.dropped()
                await late.call("server.info")
                behind.router.judge(client, [Permission.OPEN])  # as after a logout
                await late.dropped()
            await trusted.call("server.info")

    run(main())


def test_a_lost_broker_drops_websockets_and_new_ones_wait_for_it(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            async with websocket(behind.port) as first:
                await first.call("server.info")
                behind.bridge.lost()
                assert await first.receive() == {"jsonrpc": "2.0", "method": "notify_klippy_disconnected"}
                await first.dropped()
            async with websocket(behind.port) as client:
                refused = await client.call("server.info", request_id=7)
                assert refused == error(503, "The broker is not connected", 7)
                client.send("{bad")
                assert (await client.receive())["id"] is None
                behind.wire.published.clear()
                behind.bridge.restored()
                assert {"open": True, "actor": ACTOR} in [news for _, news in announced(behind)]
                assert (await client.call("server.info"))["result"] == INFO

    run(main())


def test_stopping_drops_websockets_so_that_front_ends_connect_again(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, websocket(behind.port) as polite, websocket(behind.port) as deaf:
            stopping = asyncio.create_task(behind.bridge.stop())
            await polite.dropped()
            await asyncio.wait_for(stopping, 5)
            assert deaf.status == 101
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", behind.port)

    run(main())


def test_a_real_client_library_gets_along(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, connect(f"{behind.ws_url}/websocket") as client:
            await client.send('{"jsonrpc":"2.0","method":"server.info","id":1}')
            assert orjson.loads(await client.recv())["result"] == INFO
            await (await client.ping())
            await client.close()
            assert client.close_code == 1000
            await until(lambda: behind.bridge.connections == 0)

    run(main())


async def everything_once(at_once: bool) -> None:
    """Request, notification, 20 MB, refusal and stop, on whatever loop runs this."""
    async with running(at_once=at_once) as behind, http_client(behind.url) as http:
        assert (await http.get("/server/info")).json() == {"result": INFO}
        info = {"jsonrpc": "2.0", "method": "server.info", "id": 1}
        assert (await http.post("/server/jsonrpc", json=info)).json()["result"] == INFO
        assert (await http.post("/server/jsonrpc", content=b"x" * (20 << 20))).status_code == 400
        async with websocket(behind.port, Origin="null") as refused:
            assert refused.status == 403
        async with websocket(behind.port) as client, websocket(behind.port) as big:
            assert (await client.call("server.info"))["result"] == INFO
            big.raw(masked(1, b"")[:1] + b"\xff" + (20 << 20).to_bytes(8, "big") + b"x" * (20 << 20))
            assert await big.close_code() == 1009
            behind.notify("notify_klippy_ready")
            assert (await client.receive())["method"] == "notify_klippy_ready"
            await asyncio.wait_for(behind.bridge.stop(), 5)
            await client.dropped()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("at_once", [False, True], ids=["queued", "at once"])
def test_on_either_loop_and_delivery(loop: Callable[[], asyncio.AbstractEventLoop], at_once: bool) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(everything_once(at_once))
