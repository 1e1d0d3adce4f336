"""What a browser may do: origin x host x verb x who asks, over HTTP and on both websockets."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import product
from typing import Any, NamedTuple

import pytest

from tests.conftest import Run
from tests.unit.bridge.wire import Running, http_client, running

OURS, CONFIGURED, FOREIGN = "ours", "configured", "foreign"
HOSTS = {
    "127.0.0.1:7125": True,
    "voron": True,
    "voron.local:7125": True,
    "[::1]:7125": True,
    "printer.example.org": True,  # configured
    "evil.example": False,
    "evil.example:7125": False,
    "127.0.0.1.evil.example": False,
    "printer.example.org.evil.example": False,
    "localhost@evil.example": False,
}
ORIGINS = {
    None: OURS,  # no browser, or its own page
    "http://localhost:8080": OURS,
    "http://127.0.0.1": OURS,
    "http://[::1]:3000": OURS,
    "https://my.mainsail.xyz": CONFIGURED,
    "http://panel.lan": CONFIGURED,
    "null": FOREIGN,
    "http://evil.example": FOREIGN,
    "https://evil-my.mainsail.xyz": FOREIGN,
    "https://my.mainsail.xyz.evil.example": FOREIGN,
    "https://my.mainsail.xyz:8443": FOREIGN,
    "https://my.mainsail.xyz@evil.example": FOREIGN,
    "http://localhost.evil.example": FOREIGN,
    "http://127.0.0.1.evil.example": FOREIGN,
    "http://panel.lan.evil.example": FOREIGN,
    "http://192.168.1.77": FOREIGN,
}
READS = (("GET", "/server/info"), ("HEAD", "/server/files/klippy.log"))
CHANGES = (
    ("POST", "/printer/emergency_stop"),
    ("GET", "/printer/emergency_stop"),
    ("POST", "/printer/objects/query"),
    ("DELETE", "/server/files/gcodes/a.gcode"),
    ("POST", "/server/jsonrpc"),
    ("POST", "/server/files/upload"),
    ("POST", "/api/files/local"),
)
CALLERS: Mapping[str, tuple[dict[str, str], bool]] = {
    "here": ({}, True),
    "through a proxy": ({"X-Forwarded-For": "192.168.1.5"}, True),
    "a stranger through a proxy": ({"X-Forwarded-For": "8.8.8.8"}, False),
    "a stranger who adds an address": ({"X-Forwarded-For": "127.0.0.1, 8.8.8.8"}, False),
    "a stranger who says he is a proxy": ({"X-Forwarded-For": "8.8.8.8, 127.0.0.1"}, False),
    "nobody through a proxy": ({"X-Forwarded-For": "unknown"}, False),
    "a wrong token": ({"Authorization": "Bearer a.b.c"}, False),
    "a wrong key": ({"X-Api-Key": "0123456789abcdef0123456789abcdef"}, False),
}
SETTINGS: dict[str, Any] = {
    "cors_domains": ["*://my.mainsail.xyz", "http://*.lan"],
    "hosts": ["printer.example.org"],
    "proxies": ["127.0.0.1"],
    "trusted_clients": ["192.168.1.0/28"],
}


class Case(NamedTuple):
    """One browser's request."""

    host: str
    origin: str | None
    caller: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Host": self.host, **({"Origin": self.origin} if self.origin else {}), **CALLERS[self.caller][0]}

    @property
    def is_own(self) -> bool:
        """Whether it is not a page of somebody else; one under our own name is ours."""
        return ORIGINS[self.origin] != FOREIGN and HOSTS[self.host]

    @property
    def is_in(self) -> bool:
        return CALLERS[self.caller][1]

    @property
    def is_nobody(self) -> bool:
        """Whether there is nothing that could be wrong."""
        return not self.is_in and not self.caller.startswith("a wrong")


def cases() -> Iterator[Case]:
    """All hosts and origins for one caller, and for the others some of each kind."""
    yield from (Case(*each, "here") for each in product(HOSTS, ORIGINS))
    few = ("voron", "evil.example"), (None, "https://my.mainsail.xyz", "http://evil.example")
    yield from (Case(*each) for each in product(*few, CALLERS))


@asynccontextmanager
async def bridge() -> AsyncIterator[Running]:
    async with running(**SETTINGS) as behind:
        for method in ("printer.emergency_stop", "printer.objects.query", "server.files.delete_file"):
            behind.router.answers[method] = lambda _: "ok"
        yield behind


@pytest.mark.parametrize("verb, path", [*READS, *CHANGES])
def test_http(run: Run[None], verb: str, path: str) -> None:
    """A stranger's page and a name that is not ours get 403, who is not let in 401; nothing is done for them."""

    async def main() -> None:
        async with bridge() as behind, http_client(behind.url) as http:
            for case in cases():
                body: dict[str, Any] = {"headers": case.headers}
                if path == "/server/jsonrpc":
                    body["json"] = {"jsonrpc": "2.0", "method": "printer.emergency_stop", "id": 1}
                before = len(behind.router.calls)
                answer = await http.request(verb, path, **body)
                refused = not (case.is_in and HOSTS[case.host] and (case.is_own or (verb, path) in READS))
                if path == "/server/jsonrpc" and case.is_nobody and case.is_own:  # it says so of each request
                    assert answer.json()["error"]["code"] == -32602, case
                else:
                    assert (answer.status_code in (401, 403)) is refused, (case, answer.status_code)
                assert not refused or len(behind.router.calls) == before, case
                shared = answer.headers.get("access-control-allow-origin")
                allowed = case.origin is not None and (
                    ORIGINS[case.origin] == CONFIGURED or case.origin in ("http://127.0.0.1", "http://[::1]:3000")
                )
                assert shared == (case.origin if allowed else None), case
                assert "Origin" in answer.headers["vary"]
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["referrer-policy"] == "no-referrer"

    run(main())


HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n"
)


async def handshake(behind: Running, path: str, case: Case) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", behind.port)
    try:
        headers = "".join(f"{name}: {value}\r\n" for name, value in case.headers.items())
        writer.write(HANDSHAKE.format(path=path, headers=headers).encode())
        return int((await asyncio.wait_for(reader.readline(), 10)).split()[1])
    finally:
        writer.close()


def test_websockets(run: Run[None]) -> None:
    async def main() -> None:
        async with bridge() as behind:
            for case in cases():
                status = await handshake(behind, "/websocket", case)
                let_in = case.is_in or case.is_nobody  # who may log in there
                assert (status == 101) is (let_in and case.is_own), (case, status)

    run(main())


def test_preflight(run: Run[None]) -> None:
    """Only pages that may read answers are told that they may ask; nobody has to log in for that."""

    async def main() -> None:
        async with bridge() as behind, http_client(behind.url) as http:
            for origin, path in product(ORIGINS, ("/server/info", "/server/files/upload", "/access/login", "/nowhere")):
                asked = {"Access-Control-Request-Method": "POST", "X-Forwarded-For": "8.8.8.8"}
                answer = await http.options(path, headers={**asked, **({"Origin": origin} if origin else {})})
                good = ORIGINS[origin] == CONFIGURED or origin in ("http://127.0.0.1", "http://[::1]:3000")
                assert (answer.status_code == 204) is good, (origin, answer.status_code)
                assert ("access-control-allow-methods" in answer.headers) is good
                assert "access-control-allow-private-network" not in answer.headers
            asked = {"Access-Control-Request-Private-Network": "true", "Origin": "https://my.mainsail.xyz"}
            answer = await http.options("/server/info", headers=asked)
            assert answer.headers["access-control-allow-private-network"] == "true"
            assert "X-Api-Key" in answer.headers["access-control-allow-headers"]

    run(main())
