"""Listens to a websocket of another server, by the websockets library."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from .fetch import AGENT, Unreachable

OPEN_TIMEOUT = 10.0  # seconds
PING_INTERVAL = 20.0  # seconds; as long again without an answer, and the server is gone
CLOSE_TIMEOUT = 1.0  # seconds
MAX_MESSAGE = 1 << 20  # bytes


class _Connect(connect):
    """Leads to the server that was meant and to no other."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[AsyncIterator[str | bytes]]:
    """The messages of a server at a ws or wss address, until it closes; raises Unreachable."""
    try:
        websocket = await _Connect(
            url,
            compression=None,
            user_agent_header=AGENT,
            proxy=None,
            open_timeout=OPEN_TIMEOUT,
            ping_interval=PING_INTERVAL,
            ping_timeout=PING_INTERVAL,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_MESSAGE,
        )
    except (OSError, ValueError, WebSocketException) as error:
        raise Unreachable(str(error) or type(error).__name__) from None
    async with websocket:
        yield _messages(websocket)


async def _messages(websocket: ClientConnection) -> AsyncIterator[str | bytes]:
    try:
        async for message in websocket:
            yield message
    except ConnectionClosed as error:
        raise Unreachable(str(error)) from None
