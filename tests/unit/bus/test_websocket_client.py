"""Listening to a websocket of another server: what it says, and how that ends."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from bus.fetch import Unreachable
from bus.websocket_client import MAX_MESSAGE, listening
from tests.spoolman_script import SPOOLS, Spoolman, spoolman, until


@pytest.fixture
def server() -> Iterator[Spoolman]:
    with spoolman({}) as found:
        yield found


def events(server: Spoolman) -> str:
    return server.url.replace("http", "ws") + SPOOLS


async def heard(server: Spoolman, *said: bytes) -> list[str | bytes]:
    """What arrives of it, until the connection ends."""
    found: list[str | bytes] = []
    async with listening(events(server)) as messages:
        await asyncio.to_thread(until, lambda: server.listeners == 1)
        for each in said:
            server.say(each)
        with pytest.raises(Unreachable):
            async for message in messages:
                found.append(message)
                if len(found) == len(said):
                    server.disconnect()
    return found


def test_messages_are_heard_until_the_connection_is_cut(server: Spoolman) -> None:
    assert asyncio.run(heard(server, b"one", b"two")) == ["one", "two"]


def test_a_message_that_is_too_large_ends_the_connection(server: Spoolman) -> None:
    assert asyncio.run(heard(server, b"x" * (MAX_MESSAGE + 1))) == []


def test_who_accepts_no_websocket_is_unreachable(server: Spoolman) -> None:
    async def main(url: str) -> None:
        with pytest.raises(Unreachable):
            async with listening(url):
                pass

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url in (events(server) + "/5", f"ws://127.0.0.1:{port}/", "ws://", "http://127.0.0.1/"):
        asyncio.run(main(url))
    server.down = True
    asyncio.run(main(events(server)))


def test_a_redirection_is_not_followed(server: Spoolman) -> None:
    async def main() -> None:
        with pytest.raises(Unreachable, match="307"):
            async with listening(server.url.replace("http", "ws") + "/elsewhere"):
                pass

    server.leads_to = events(server)
    asyncio.run(main())
    assert server.listeners == 0
