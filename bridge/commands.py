"""Method calls for HTTP requests: sent through the session, awaited, bounded."""

import asyncio

import orjson

from bus.calls import Caller, CallFailed
from bus.errors import Forbidden, Unavailable


class Commands:
    """Calls one method and waits for its answer; at most `limit` calls wait at once."""

    def __init__(self, caller: Caller, limit: int) -> None:
        self._caller = caller
        self._limit = limit
        self._waiting = 0
        self._loop = asyncio.get_running_loop()

    async def run(self, method: str, params: bytes, actor: bytes, connection: int = 0) -> bytes:
        """The result as JSON; raises CallFailed with what the method answered, or Unavailable."""
        if self._waiting >= self._limit:
            raise Unavailable("Too many requests are waiting")
        ended: asyncio.Future[tuple[bool, bytes]] = self._loop.create_future()

        def answered(success: bool, body: bytes) -> None:
            if not ended.done():
                ended.set_result((success, body))

        try:
            number = self._caller.start(method, params, actor, answered, connection=connection)
        except PermissionError:
            raise Forbidden("Not allowed here") from None
        self._waiting += 1
        try:
            success, body = await ended
        except asyncio.CancelledError:
            self._caller.forget(number)
            raise
        finally:
            self._waiting -= 1
        if success:
            return body
        raise CallFailed(orjson.loads(body))
