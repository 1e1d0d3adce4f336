"""Requests that are nothing but a call: answered like all others, in order, and without a task for each."""

import asyncio
from typing import Any

import httpx
import orjson
import pytest
import uvloop

from bus.errors import Conflict
from schemas import Permission
from schemas.access import VERIFY
from tests.conftest import Run
from tests.contract.test_http import always, client, error
from tests.unit.bridge.wire import INFO, running, stream, until

PLAIN = b"GET /server/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
PROXIED = {"X-Forwarded-For": "192.0.2.1"}


async def tasks_while_held(http: httpx.AsyncClient, behind: Any, path: str) -> int:
    """How many tasks the server has for a request that waits for its answer."""
    before = len(asyncio.all_tasks())
    behind.router.held = True
    asked = asyncio.create_task(http.get(path))
    await until(lambda: bool(behind.wire.sent("/rpc/")))
    found = len(asyncio.all_tasks()) - before - 1
    behind.router.release()
    assert (await asked).status_code == 200
    behind.wire.published.clear()
    return found


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_they_take_no_task(runner: Any) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            await http.get("/server/info")
            behind.wire.published.clear()
            assert await tasks_while_held(http, behind, "/server/info") == 0
            assert await tasks_while_held(http, behind, "/server/info?raw=true") == 1

    runner(main())


def test_headers_are_those_of_other_answers(run: Run[None]) -> None:
    async def main() -> None:
        async with client(cors_domains=["http://*.home"]) as (http, _):
            for origin in ({}, {"Origin": "http://x.home"}, {"Origin": "http://elsewhere"}):
                plain, other = [await http.get(f"/server/info{query}", headers=origin) for query in ("", "?raw=true")]
                assert plain.content == other.content
                assert [*plain.headers.raw] == [*other.headers.raw]

    run(main())


def test_errors_are_those_of_other_answers(run: Run[None]) -> None:
    def refuse(_: Any) -> None:
        raise Conflict("Not now", data={"a": 1})

    async def main() -> None:
        async with client(max_requests=1) as (http, behind):
            behind.router.answers["server.info"] = refuse
            for path in ("/server/info", "/server/info?raw=true"):
                answer = await http.get(path)
                shown = {"code": 409, "message": "Not now", "data": {"a": 1}}
                assert (answer.status_code, answer.json()["error"]) == (409, shown)
            unknown = await http.get("/printer/info")
            assert (unknown.status_code, unknown.json()) == (404, error(404, "Method not found"))
            behind.router.held = True
            waiting = asyncio.create_task(http.get("/server/info"))
            await until(lambda: bool(behind.router._waiting))
            for path in ("/server/info", "/server/info?raw=true"):
                assert (await http.get(path)).json() == error(503, "Too many requests are waiting")
            behind.router.release()
            assert (await waiting).status_code == 409
            assert (await http.get("/server/info")).status_code == 409

    run(main())


def test_who_may_not_ask_is_refused(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            assert (await http.get("/server/info", headers=PROXIED)).status_code == 401
            assert (await http.get("/server/info", headers={"Host": "evil.example"})).status_code == 403
            assert (await http.get("/server/info", headers={"X-Api-Key": "0" * 32})).status_code == 401
            assert not behind.router.calls
            behind.router.answers[VERIFY.name] = always({"user": "anna", "kind": "user", "permissions": [*Permission]})
            known = await http.get("/server/info", headers=PROXIED | {"X-Api-Key": "0" * 32})
            assert known.json() == {"result": INFO}
            assert behind.router.calls[-1]["actor"]["user"] == "anna"

    run(main())


def test_the_prefix_of_a_printer_is_no_part_of_it(run: Run[None]) -> None:
    async def main() -> None:
        async with client(route_prefix="printer1") as (http, _):
            assert (await http.get("/server/info")).json() == {"result": INFO}
        async with running(route_prefix="printer1") as behind, stream(behind.port, PLAIN) as reader:
            assert (await reader.readline()).startswith(b"HTTP/1.1 404")

    run(main())


def test_requests_on_one_connection_are_answered_in_order(run: Run[None]) -> None:
    """Also where some of them need a task, and where the answers come late."""

    async def main() -> None:
        async with running() as behind:
            behind.router.held = True
            behind.router.answers["printer.info"] = always("second")
            other = PLAIN.replace(b"server", b"printer").replace(b"info", b"info?x=1")
            async with stream(behind.port, PLAIN + other + PLAIN + other) as reader:
                for _ in range(4):
                    await until(lambda: bool(behind.router._waiting))
                    await asyncio.sleep(0.01)
                    assert len(behind.router._waiting) == 1
                    behind.router.release()
                    behind.router.held = True
                found = b""
                while found.count(b'"result"') < 4:
                    found += await asyncio.wait_for(reader.read(10_000), 20)
                bodies = [part.split(b"\r\n\r\n")[1] for part in found.split(b"HTTP/1.1 200 OK")[1:]]
                assert [b"second" in body for body in bodies] == [False, True, False, True]

    run(main())


def test_a_client_that_reads_late_gets_everything(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.answers["server.info"] = always("x" * 3_000_000)
            async with stream(behind.port, PLAIN * 8) as reader:
                await asyncio.sleep(0.3)
                assert len(behind.router.calls) < 8
                found = 0
                while found < 8 * 3_000_000:
                    found += (await asyncio.wait_for(reader.read(1 << 20), 20)).count(b"x")
            assert len(behind.router.calls) == 8

    run(main())


def test_a_client_that_goes_leaves_nothing(run: Run[None]) -> None:
    async def main() -> None:
        async with running(max_requests=1) as behind:
            behind.router.held = True
            async with stream(behind.port, PLAIN):
                await until(lambda: bool(behind.router._waiting))
            await asyncio.sleep(0.05)
            behind.router.release()
            async with stream(behind.port, PLAIN) as reader:
                assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 200")

    run(main())


def test_what_waits_when_the_server_stops_is_answered(run: Run[None]) -> None:
    async def main() -> None:
        async with running() as behind:
            behind.router.held = True
            async with stream(behind.port, PLAIN) as one, stream(behind.port, PLAIN) as other:
                await until(lambda: len(behind.router._waiting) == 2)
                await behind.bridge.stop()
                for reader in (one, other):
                    assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 503")

    run(main())


def test_answers_of_one_turn_all_arrive(run: Run[None]) -> None:
    async def main() -> None:
        async with client() as (http, behind):
            behind.router.held = True
            asked = [asyncio.create_task(http.get("/server/info")) for _ in range(20)]
            await until(lambda: len(behind.router._waiting) == len(asked))
            asked[0].cancel()
            behind.router.release()
            await asyncio.wait(asked)
            assert [each.result().json() for each in asked[1:]] == [{"result": INFO}] * (len(asked) - 1)
            assert (await http.get("/server/info")).json() == {"result": INFO}

    run(main())


@pytest.mark.parametrize(
    "request_bytes",
    [PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")],
    ids=["HTTP/1.0", "Connection: close"],
)
def test_a_connection_that_is_not_to_be_kept_ends_behind_its_answer(run: Run[None], request_bytes: bytes) -> None:
    async def main() -> None:
        async with running() as behind, stream(behind.port, request_bytes) as reader:
            head, _, body = (await asyncio.wait_for(reader.read(-1), 20)).partition(b"\r\n\r\n")
            status, *headers = head.split(b"\r\n")
            assert status == b"HTTP/1.1 200 OK"
            assert b"connection: close" in headers and f"content-length: {len(body)}".encode() in headers
            assert orjson.loads(body) == {"result": INFO}

    run(main())
