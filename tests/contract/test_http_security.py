"""What a web page, a stranger and a proxy cannot do over HTTP (reliability.md rows 29, 32)."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.conftest import Run
from tests.unit.bridge.wire import http_client, running, stream, until
from tests.unit.bridge.ws_client import websocket

UNAUTHORIZED = {"error": {"code": 401, "message": "Unauthorized"}}
READ, CHANGE = ("GET", "/server/info"), ("POST", "/printer/emergency_stop")
EVIL = {"Origin": "http://evil.example"}


async def ask(verb: str, path: str, headers: dict[str, str], **settings: Any) -> httpx.Response:
    """One request to a fresh bridge."""
    async with running(**settings) as behind, http_client(behind.url) as http:
        behind.router.answers["printer.emergency_stop"] = lambda _: "ok"
        answer = await http.request(verb, path, headers=headers)
        if answer.status_code != 200:
            assert not behind.router.calls, "refused, and yet it was done"
        return answer


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer aaa.bbb.ccc"},
        {"X-Api-Key": "bad"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Real-IP": "::1"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_unauthorized(run: Run[httpx.Response], headers: dict[str, str]) -> None:
    answer = run(ask(*READ, headers))
    assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED)


def test_a_oneshot_token_that_is_unknown_does_not_matter_here(run: Run[httpx.Response]) -> None:
    assert run(ask("GET", "/server/info?token=BAD", {})).status_code == 200


def test_a_configured_proxy_speaks_for_its_clients(run: Run[httpx.Response]) -> None:
    proxied = dict[str, Any](proxies=["127.0.0.1"], trusted_clients=["192.168.1.0/24"])
    assert run(ask(*READ, {"X-Forwarded-For": "192.168.1.5"}, **proxied)).status_code == 200
    assert run(ask(*READ, {"X-Forwarded-For": "6.6.6.6"}, **proxied)).json() == UNAUTHORIZED


@pytest.mark.parametrize(
    ("verb", "path", "headers", "status"),
    [
        (*READ, EVIL, 200),  # the browser keeps the answer from the page
        (*CHANGE, EVIL, 403),
        (*CHANGE, {"Origin": "null"}, 403),
        (*CHANGE, {"Origin": "http://localhost.evil.example"}, 403),
        (*CHANGE, {"Origin": "http://localhost:8080"}, 200),
        (*CHANGE, {"Origin": "http://voron", "Host": "voron:7125"}, 200),
        (*CHANGE, {}, 200),
        ("GET", "/printer/emergency_stop", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("GET", "/printer/emergency_stop", {"User-Agent": "Mozilla/5.0"}, 403),
        ("GET", "/printer/emergency_stop", {"User-Agent": "Mozilla/5.0", "Referer": "http://localhost/"}, 200),
        ("GET", "/printer/emergency_stop", {}, 200),
        ("POST", "/server/jsonrpc", EVIL, 403),
        (*READ, {"Host": "evil.example"}, 403),
        (*READ, {"Host": "evil.example:7125", "Origin": "http://evil.example:7125"}, 403),
        (*CHANGE, {"Host": "evil.example:7125", "Origin": "http://evil.example:7125"}, 403),
    ],
)
def test_pages_and_hosts(run: Run[httpx.Response], verb: str, path: str, headers: dict[str, str], status: int) -> None:
    extra = {"Content-Type": "application/json"} if path == "/server/jsonrpc" else {}
    answer = run(ask(verb, path, headers | extra))
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


def test_configured_pages_may_read_answers_and_errors(run: Run[httpx.Response]) -> None:
    ours = {"Origin": "https://my.mainsail.xyz"}
    cors = dict[str, Any](cors_domains=["*://my.mainsail.xyz"])
    for verb, path, status in ((*READ, 200), (*CHANGE, 200), ("PUT", "/server/info", 405)):
        answer = run(ask(verb, path, ours, **cors))
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, ours["Origin"])
    assert "access-control-allow-origin" not in run(ask(*READ, EVIL, **cors)).headers


def test_preflight(run: Run[httpx.Response]) -> None:
    asked = {"Access-Control-Request-Method": "POST"}
    cors = dict[str, Any](cors_domains=["*://my.mainsail.xyz"])
    answer = run(ask("OPTIONS", "/server/info", asked | {"Origin": "https://my.mainsail.xyz"}, **cors))
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "https://my.mainsail.xyz"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, PUT, DELETE, OPTIONS"
    assert "X-Api-Key" in answer.headers["access-control-allow-headers"]
    for refused in (
        run(ask("OPTIONS", "/server/info", asked | EVIL, **cors)),
        run(ask("OPTIONS", "/server/info", asked | EVIL)),
    ):
        assert refused.status_code == 405 and "access-control-allow-origin" not in refused.headers


MARK = "mark<script>"


def test_errors_do_not_repeat_what_was_sent(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind, http_client(behind.url) as http:
            json = {"content-type": "application/json"}
            for request in (
                http.build_request("GET", f"/server/{MARK}"),
                http.build_request("GET", "/server/info", headers={"Origin": "http://mark", "Host": "mark.example"}),
                http.build_request("POST", "/printer/gcode/script", content=f'["{MARK}"]', headers=json),
                http.build_request("POST", "/printer/objects/subscribe", params={"connection_id": MARK}),
                http.build_request("POST", "/server/jsonrpc", content=MARK, headers=json),
            ):
                answer = await http.send(request)
                assert "mark" not in answer.text and "Traceback" not in answer.text

    run(main())


def test_a_stalled_body_does_not_hold_a_request_for_ever(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.requests.BODY_SECONDS", 0.2)

    async def main() -> None:
        async with running() as behind:
            start = b"POST /printer/gcode/script HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"
            async with stream(behind.port, start) as reader:
                assert await asyncio.wait_for(reader.read(12), 20) == b"HTTP/1.1 400"

    run(main())


def test_one_address_cannot_take_all_connections(run: Run[None]) -> None:
    """The oldest that says nothing ends; one that waits for its answer, and websockets, do not count or stay."""

    async def main() -> None:
        async with (
            running(max_connections_per_address=2) as behind,
            http_client(behind.url) as http,
            websocket(behind.port) as socket,
        ):
            behind.router.held = True
            asked = asyncio.create_task(http.get("/server/info"))
            await until(lambda: bool(behind.wire.sent("/rpc/")))
            async with stream(behind.port, b"") as silent, stream(behind.port, b"GET /server/in") as late:
                assert await asyncio.wait_for(silent.read(), 20) == b""
                assert behind.bridge.counters["connections_cut"] == 1
                behind.router.release()
                assert (await asked).status_code == 200
                await socket.call("server.info")
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(late.read(1), 0.05)

    run(main())


def test_a_stalled_head_is_cut(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.app.PING_EVERY", 0.1)

    async def main() -> None:
        async with running() as behind, http_client(behind.url) as http:
            for start in (b"", b"GET /server/in"):
                async with stream(behind.port, start) as reader:
                    assert await asyncio.wait_for(reader.read(), 20) == b""
            reader, writer = await asyncio.open_connection("127.0.0.1", behind.port)
            writer.write(b"GET /server/nosuch HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"}}")
            writer.write(b"GET /server/in")
            assert await asyncio.wait_for(reader.read(), 20) == b""
            writer.close()
            behind.router.held = True
            asked = asyncio.create_task(http.get("/server/info"))
            await asyncio.sleep(0.4)
            behind.router.release()
            assert (await asked).status_code == 200

    run(main())
