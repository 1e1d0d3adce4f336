"""Reading over HTTP: what is answered, what is too large, too late or not HTTP at all."""

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from http.client import HTTPResponse

import pytest

from bus.fetch import MAX_THREADS, Ask, Unreachable, body, fetch
from tests.http_script import Scripted, scripted

SMALL = partial(body, limit=100)


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    with scripted() as found:
        yield found


def get(url: str, timeout: float = 5.0) -> bytes:
    return asyncio.run(fetch(url, SMALL, timeout, proxies=False))


def test_an_answer_is_taken(server: Scripted) -> None:
    server.say("/a", b"hello")
    assert get(server.url + "/a") == b"hello"
    assert "Authorization" not in server.heard[-1].headers


def test_name_and_password_of_an_address_become_a_header(server: Scripted) -> None:
    server.say("/a", b"hello")
    assert get(server.url.replace("//", "//ann:p%40ss@") + "/a") == b"hello"
    assert server.heard[-1].headers["Authorization"] == "Basic YW5uOnBAc3M="


def test_a_redirection_is_followed_without_the_password(server: Scripted) -> None:
    server.say("/moved", b"", 302, Location=server.url + "/a")
    server.say("/a", b"there")
    assert get(server.url.replace("//", "//ann:secret@") + "/moved") == b"there"
    assert "Authorization" not in server.heard[-1].headers


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_error_is_no_answer_and_says_nothing_of_the_address(server: Scripted, status: int) -> None:
    server.say("/wrong", b"no", status)
    with pytest.raises(Unreachable) as failed:
        get(server.url.replace("//", "//ann:secret@") + "/wrong")
    assert str(status) in str(failed.value) and "secret" not in str(failed.value)


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_a_plain_request_takes_any_answer_and_follows_nothing(server: Scripted, status: int) -> None:
    server.say("/plain", b"said", status, Location=server.url + "/a")

    def take(answer: HTTPResponse) -> tuple[int, bytes]:
        return answer.status, body(answer, 100)

    asked = len(server.heard)
    url = server.url + "/plain"
    assert asyncio.run(fetch(url, take, 5.0, proxies=False, ask=Ask(plain=True))) == (status, b"said")
    assert len(server.heard) == asked + 1


def test_what_is_too_large_is_refused(server: Scripted) -> None:
    server.say("/large", bytes(101))
    with pytest.raises(Unreachable, match="larger than 100 bytes"):
        get(server.url + "/large")


def test_what_is_cut_off_is_no_answer(server: Scripted) -> None:
    server.say("/cut", b"half", 200, **{"Content-Length": "8"})
    with pytest.raises(Unreachable, match="4 more expected"):
        get(server.url + "/cut")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "http://[::1", "x", "http:///"])
def test_nothing_but_http_is_followed(url: str) -> None:
    with pytest.raises(Unreachable):
        get(url)


def test_a_redirection_leads_to_no_other_scheme(server: Scripted) -> None:
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/x"):
        server.say("/away", b"", 302, Location=target)
        with pytest.raises(Unreachable):
            get(server.url + "/away")


def test_nobody_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable):
        get(f"http://127.0.0.1:{port}/")


def test_silence_ends_in_time_and_many_silent_servers_hold_up_nobody_else() -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            waiting = [asyncio.ensure_future(fetch(url, SMALL, 0.3, proxies=False)) for _ in range(MAX_THREADS)]
            await asyncio.sleep(0)
            with pytest.raises(Unreachable, match="too many"):
                await fetch(url, SMALL, 5.0, proxies=False)
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(each, Unreachable) for each in ended)

    asyncio.run(body())
