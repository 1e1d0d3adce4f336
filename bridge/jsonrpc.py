"""JSON-RPC over `POST /server/jsonrpc`: each request is a virtual client for as long as it lasts."""

import asyncio

from bus.errors import InvalidParams, Unavailable

from .clients import Clients
from .requests import Request


class OneAnswer:
    """Waits for the one answer to a request or batch."""

    def __init__(self) -> None:
        self.payload: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def on_answer(self, payload: bytes) -> None:
        """The answer, empty where all were notifications."""
        if not self.payload.done():
            self.payload.set_result(payload)

    def on_standing(self, permissions: frozenset[str]) -> None:
        """Each of its requests is judged by itself."""


class JsonRpc:
    """The endpoint; at most `limit` requests wait at once."""

    def __init__(self, clients: Clients, limit: int) -> None:
        self._clients = clients
        self._limit = limit
        self._waiting = 0

    async def __call__(self, request: Request) -> bytes:
        """The answer to a body as it came; raises InvalidParams for another content type.

        Malformed JSON is answered with -32700 and status 200, as the reference server does.
        """
        if request.seen.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
            raise InvalidParams("JSON-RPC needs the content type application/json")
        body = await request.body()
        if self._waiting >= self._limit:
            raise Unavailable("Too many requests are waiting")
        self._waiting += 1
        try:
            return await self._exchange(body, request.actor)
        finally:
            self._waiting -= 1

    async def _exchange(self, body: bytes, who: bytes) -> bytes:
        waiting = OneAnswer()
        number = self._clients.open(waiting, who)
        try:
            self._clients.request(number, body)
            return await waiting.payload
        finally:
            self._clients.close(number)
