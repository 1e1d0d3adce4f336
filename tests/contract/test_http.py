"""HTTP as existing clients know it: shapes, codes, headers and arguments (behaviours.md sections 2, 3, 4 and 6)."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
import uvloop

from bus.errors import BusError, Conflict, FailedDependency, Forbidden, NotFound, Refused, Timeout, Unavailable
from schemas import METHODS
from tests.conftest import Run
from tests.unit.bridge.wire import INFO, Running, http_client, running, stream, until

JSON = "application/json; charset=UTF-8"


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Running]]:
    """An HTTP client of a bridge, and what is behind it."""
    async with running(**settings) as behind, http_client(behind.url) as http:
        yield http, behind


def always(value: Any) -> Callable[[dict[str, Any]], Any]:
    """A method that answers one thing."""
    return lambda _: value


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def test_a_result_is_wrapped(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, _):
            answer = await http.get("/server/info")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == JSON
            assert answer.headers["content-length"] == str(len(answer.content))
            assert answer.json() == {"result": INFO}
            assert "date" in answer.headers and "access-control-allow-origin" not in answer.headers

    run(main())


def test_any_kind_of_result(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            for value in ("ok", [1, 2], {"a": '"id":1}'}, 5, None, ""):
                behind.router.answers["printer.info"] = always(value)
                assert (await http.get("/printer/info")).json() == {"result": value}

    run(main())


def test_every_row_has_its_routes_and_is_called_by_its_name(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            for row in METHODS.values():
                name = row.name.replace("{klippy_endpoint}", "any.thing_else")
                behind.router.answers[name] = always(name)
                for route in row.http:
                    verb, path = route.replace("{klippy_endpoint}", "any/thing_else").split(" ")
                    answer = await http.request(verb, path)
                    if row.flags.connection:
                        assert answer.json() == error(400, "connection_id must name an open websocket")
                    else:
                        assert answer.json() == {"result": name}

    run(main())


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (Refused("Must home axis first"), 400),
        (NotFound("File does not exist"), 404),
        (Forbidden("no"), 403),
        (Conflict("moved on"), 409),
        (FailedDependency("agent failed", data={"code": 5}), 424),
        (Unavailable("Klippy is not connected"), 503),
        (Timeout("late"), 504),
        (BusError("broken"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BusError) else str(value),
)
def test_errors_carry_the_http_status_twice(run: Run[None], raised: BusError, status: int) -> None:
    def fail(_: dict[str, Any]) -> Any:
        raise raised

    async def main() -> None:
        async with client() as (http, behind):
            behind.router.answers["printer.info"] = fail
            answer = await http.get("/printer/info")
            expected = error(status, raised.message)
            if raised.data is not None:
                expected["error"]["data"] = raised.data
            assert (answer.status_code, answer.json()) == (status, expected)
            assert answer.headers["content-type"] == JSON

    run(main())


@pytest.mark.parametrize(
    ("verb", "path", "status", "message"),
    [
        ("GET", "/server/nosuch", 404, "Not Found"),
        ("PUT", "/server/info", 405, "Method Not Allowed"),
        ("DELETE", "/server/info", 405, "Method Not Allowed"),
        ("GET", "/printer/restart", 405, "Method Not Allowed"),
        ("OPTIONS", "/server/info", 405, "Method Not Allowed"),
        ("GET", "/server/jsonrpc", 405, "Method Not Allowed"),
        ("GET", "/websocket", 404, "Not Found"),
    ],
)
def test_urls_and_verbs_that_do_not_exist(run: Run[None], verb: str, path: str, status: int, message: str) -> None:
    async def main() -> None:
        async with client() as (http, _):
            answer = await http.request(verb, path)
            assert (answer.status_code, answer.json()) == (status, error(status, message))
            assert answer.headers["content-type"] == JSON

    run(main())


def test_arguments_of_query_and_body_are_merged(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.answers["printer.gcode.script"] = lambda params: params
            path = "/printer/gcode/script"

            async def sent(query: str = "", **options: Any) -> Any:
                return (await http.post(path + query, **options)).json()["result"]

            assert await sent("?script=G28&n:int=5&_=123&token=x") == {"script": "G28", "n": 5}
            assert await sent("?script=G28&b=1", json={"script": "M112"}) == {"script": "M112", "b": "1"}
            assert await sent(data={"script": "G1 X5"}) == {"script": "G1 X5"}
            assert await sent(files={"script": (None, "G1 X6")}) == {"script": "G1 X6"}
            headers = {"content-type": "application/json"}
            assert await sent("?a=1", content=b"{bad", headers=headers) == {"a": "1"}
            answer = await http.post(path, content=b"[1]", headers=headers)
            assert answer.json() == error(400, "The JSON body must be an object of named arguments")
            answer = await http.post(path, content=b'{"a":' + b"[" * 400 + b"]" * 400 + b"}", headers=headers)
            assert answer.status_code == 400
            answer = await http.post(path + "?a=%ff")
            assert answer.json() == error(400, "Arguments must be UTF-8")

    run(main())


def test_who_asks_is_told_to_the_router(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            await http.get("/server/info")
            (call,) = behind.router.calls
            assert call["actor"] == {"user": None, "kind": "trusted", "transport": "http", "client": "127.0.0.1"}
            assert (call["connection"], call["params"]) == (0, {})

    run(main())


def test_object_requests(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.answers["printer.objects.query"] = lambda params: params
            path = "/printer/objects/query"
            answer = await http.get(path + "?toolhead=position,status&webhooks&_=1&connection_id=3")
            assert answer.json()["result"] == {"objects": {"toolhead": ["position", "status"], "webhooks": None}}
            assert (await http.get(path)).json()["result"] == {"objects": {}}
            body = {"objects": {"toolhead": ["position"], "webhooks": None}}
            assert (await http.post(path + "?fan", json=body)).json()["result"] == body

    run(main())


def test_a_body_over_one_mebibyte_is_413(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.answers["printer.gcode.script"] = lambda params: len(params["script"])
            path = "/printer/gcode/script"
            room = 300  # for what the bus adds: its requests have the same limit
            fits = orjson.dumps({"script": "x" * ((1 << 20) - 13 - room)})
            assert len(fits) == (1 << 20) - room
            json = {"content-type": "application/json"}
            assert (await http.post(path, content=fits, headers=json)).json()["result"] == (1 << 20) - 13 - room

            async def chunks() -> AsyncIterator[bytes]:
                for _ in range(20):
                    yield b"x" * (1 << 20)

            for big in (fits + b" " * (room + 1), b"x" * (20 << 20), chunks()):
                for url in (path, "/server/jsonrpc"):
                    answer = await http.post(url, content=big, headers=json)
                    assert answer.status_code == answer.json()["error"]["code"] == 413
                    if isinstance(big, AsyncIterator):
                        break
            assert (await http.get("/server/info")).status_code == 200

    run(main())


def test_a_claimed_length_is_refused_before_the_body_comes(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            head = b"POST /printer/gcode/script HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
            async with stream(behind.port, head) as reader:
                answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert answer.startswith(b"HTTP/1.1 413") and b"connection: close" in answer

    run(main())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_harms_nobody(run: Run[None], request_bytes: bytes) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            async with stream(behind.port, request_bytes) as reader:
                assert await asyncio.wait_for(reader.read(12), 20) == b"HTTP/1.1 400"
            assert (await http.get("/server/info")).status_code == 200

    run(main())


def rpc(method: str, request_id: Any = ..., **more: Any) -> dict[str, Any]:
    found = {"jsonrpc": "2.0", "method": method, **more}
    return found if request_id is ... else found | {"id": request_id}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rpc("server.info", 0), {"jsonrpc": "2.0", "result": INFO, "id": 0}),
        (rpc("server.info", "text"), {"jsonrpc": "2.0", "result": INFO, "id": "text"}),
        (rpc("nosuch", 1), {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": 1}),
        ([rpc("server.info", 1), rpc("server.info")], [{"jsonrpc": "2.0", "result": INFO, "id": 1}]),
        ([], {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": None}),
        (b"{bad", {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}),
        (b"\xff", {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}),
        (b"", {"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": None}),
    ],
)
def test_json_rpc_over_http(run: Run[None], body: Any, expected: Any) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            headers = {"content-type": "application/json"}
            answer = await http.post("/server/jsonrpc", content=content, headers=headers)
            assert (answer.status_code, answer.json()) == (200, expected)
            assert answer.headers["content-type"] == JSON
            await until(lambda: behind.router.transports == {})

    run(main())


def test_json_rpc_notifications_get_an_empty_answer(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, _):
            for body in (rpc("server.info"), [rpc("server.info")]):
                answer = await http.post("/server/jsonrpc", json=body)
                assert (answer.status_code, answer.content) == (200, b"")

    run(main())


def test_methods_of_a_connection_are_not_found_in_json_rpc_over_http(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            body = rpc("printer.objects.subscribe", 1, params={"objects": {}})
            answer = await http.post("/server/jsonrpc", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (200, -32601)
            opened = [orjson.loads(message.payload) for message in behind.wire.sent("/connection/")]
            actor = {"user": None, "kind": "trusted", "transport": "http", "client": "127.0.0.1"}
            assert opened == [{"open": True, "actor": actor}, {"open": False}]

    run(main())


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_json_rpc_needs_its_content_type(run: Run[None], kind: str) -> None:
    async def main() -> None:
        async with client() as (http, _):
            content = orjson.dumps(rpc("server.info", 1))
            answer = await http.post("/server/jsonrpc", content=content, headers={"content-type": kind})
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)

    run(main())


def test_answers_find_their_requests_whatever_their_order(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.answers["printer.gcode.script"] = lambda params: params["script"]
            behind.router.held = True

            async def ask(number: int) -> Any:
                return (await http.post(f"/printer/gcode/script?script={number}")).json()["result"]

            asked = [asyncio.create_task(ask(number)) for number in range(20)]
            await until(lambda: len(behind.wire.sent("/rpc/")) == 20)
            behind.router._waiting.reverse()
            behind.router.release()
            assert await asyncio.gather(*asked) == [str(number) for number in range(20)]

    run(main())


def test_too_many_requests_are_refused_and_the_others_answered(run: Run[None]) -> None:
    async def main() -> None:
        async with client(max_requests=5) as (http, behind):
            behind.router.held = True
            asked = [asyncio.create_task(http.get("/server/info")) for _ in range(8)]
            posted = [asyncio.create_task(http.post("/server/jsonrpc", json=rpc("server.info", 1))) for _ in range(6)]
            await until(lambda: sum(task.done() for task in (*asked, *posted)) == 4)
            behind.router.release()
            assert sorted(answer.status_code for answer in await asyncio.gather(*asked)) == [200] * 5 + [503] * 3
            assert sorted(answer.status_code for answer in await asyncio.gather(*posted)) == [200] * 5 + [503]

    run(main())


def test_when_the_broker_is_lost_what_waits_is_503(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.held = True
            asked = asyncio.create_task(http.get("/server/info"))
            posted = asyncio.create_task(http.post("/server/jsonrpc", json=rpc("server.info", 1)))
            await until(lambda: len(behind.wire.sent("/rpc/")) + len(behind.wire.sent("/api/request/")) == 2)
            behind.bridge.lost()
            assert (await asked).status_code == 503
            assert (await posted).json()["error"]["code"] == 503

    run(main())


def test_what_may_not_be_published_is_403(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.wire.forbidden.add(behind.topics.rpc("bridge", "server.info"))
            assert (await http.get("/server/info")).json() == error(403, "Not allowed here")

    run(main())


def test_stopping_is_quick_and_answers_what_waits(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.held = True
            asked = asyncio.create_task(http.get("/server/info"))
            await until(lambda: bool(behind.wire.sent("/rpc/")))
            await asyncio.wait_for(behind.bridge.stop(), 5)
            assert (await asked).status_code == 503

    run(main())


def test_pipelined_requests_are_answered_in_order(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            one = b"GET /server/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
            two = b"GET /server/nosuch HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            async with stream(behind.port, one + one + two) as reader:
                answers = await asyncio.wait_for(reader.read(), 20)
            assert [part.split()[0] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]

    run(main())


def test_an_upgrade_to_something_else_is_passed_over(run: Run[None]) -> None:
    """curl offers HTTP/2 like this."""

    async def main() -> None:
        async with running() as behind:
            offer = b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
            async with stream(
                behind.port, b"GET /server/info HTTP/1.1\r\nHost: localhost\r\n" + offer + b"\r\n"
            ) as reader:
                assert await asyncio.wait_for(reader.readuntil(b"\r\n"), 20) == b"HTTP/1.1 200 OK\r\n"

    run(main())


def test_a_failure_of_ours_is_logged_once_and_answered_without_its_text(
    run: Run[None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    async def main() -> None:
        async with client() as (http, behind):
            monkeypatch.setattr(behind.wire, "publish", fail)
            answer = await http.get("/server/info")
            assert (answer.status_code, answer.json()) == (500, error(500, "Internal error"))
            monkeypatch.undo()
            assert (await http.get("/server/info")).status_code == 200

    run(main())
    assert [record.exc_text is not None and "secret" in record.exc_text for record in caplog.records] == [True]


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_client_that_vanishes_harms_and_says_nothing(
    loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.held = True
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", behind.port)
                linger = struct.pack("ii", 1, 0)  # a reset instead of an orderly end
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.write(b"GET /server/info HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2)
                await writer.drain()
                await until(lambda: bool(behind.wire.sent("/rpc/")))
                writer.transport.abort()
            behind.router.release()
            assert (await http.get("/server/info")).status_code == 200

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert not caplog.records
