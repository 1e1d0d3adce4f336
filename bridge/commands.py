"""Method calls for HTTP requests: sent through the session, awaited, bounded."""

import asyncio

import orjson

from bus.calls import Answered, Caller, CallFailed
from bus.errors import Forbidden, Unavailable


class Commands:
    """Calls one method and waits for its answer; at most `limit` calls wait at once."""

    def __init__(self, caller: Caller, limit: int) -> None:
        self._caller = caller
        self._limit = limit
        self._waiting = 0
        self._loop = asyncio.get_running_loop()

    def start(self, method: str, params: bytes, actor: bytes, answered: Answered, connection: int = 0) -> int:
        """Calls; `answered` gets the answer as JSON. Raises Unavailable and Forbidden."""
        if self._waiting >= self._limit:
            raise Unavailable("Too many requests are waiting")

        def ended(success: bool, body: bytes) -> None:
            self._waiting -= 1
            answered(success, body)

        try:
            number = self._caller.start(method, params, actor, ended, connection=connection)
        except PermissionError:
            raise Forbidden("Not allowed here") from None
        self._waiting += 1
        return number

    async def run(self, method: str, params: bytes, actor: bytes, connection: int = 0) -> bytes:
        """The result as JSON; raises CallFailed with what the method answered, Unavailable and Forbidden."""
        ended: asyncio.Future[tuple[bool, bytes]] = self._loop.create_future()

        def answered(success: bool, body: bytes) -> None:
            if not ended.done():
                ended.set_result((success, body))

        number = self.start(method, params, actor, answered, connection)
        try:
            success, body = await ended
        except asyncio.CancelledError:
            if self._caller.forget(number):
                self._waiting -= 1
            raise
        if success:
            return body
        raise call_failed(body)


def call_failed(body: bytes) -> CallFailed:
    """The error that a method has answered with."""
    return CallFailed(orjson.loads(body))
