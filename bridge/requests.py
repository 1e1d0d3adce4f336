"""One HTTP request on its way through the bridge."""

import asyncio

from starlette.types import Receive, Scope

from bus.envelope import MAX_REQUEST
from bus.errors import InvalidParams, TooLarge

from .arguments import Arguments
from .auth import Seen

BODY_SECONDS = 30.0  # for a whole body to arrive


class Request:
    """Verb, watched headers and caller of a request that was let in."""

    __slots__ = ("_receive", "_scope", "address", "seen", "verb")

    def __init__(self, scope: Scope, receive: Receive, seen: Seen, address: str) -> None:
        self._scope = scope
        self._receive = receive
        self.verb: str = scope["method"]
        self.seen = seen
        self.address = address

    @property
    def path(self) -> str:
        """As asked for, decoded."""
        path: str = self._scope["path"]
        return path

    @property
    def bare(self) -> bool:
        """Whether neither query nor body came along."""
        seen = self.seen
        return not self._scope["query_string"] and b"content-length" not in seen and b"transfer-encoding" not in seen

    async def arguments(self) -> Arguments:
        """Query and body; raises TooLarge and InvalidParams."""
        body = await self.body()
        return Arguments(self._scope["query_string"], self.seen.get(b"content-type", b""), body)

    async def body(self) -> bytes:
        """The whole body; raises TooLarge as soon as it is known to be."""
        claimed = self.seen.get(b"content-length")
        if claimed is None and b"transfer-encoding" not in self.seen:
            return b""
        if claimed is not None and int(claimed) > MAX_REQUEST:
            raise too_large()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read()
        except TimeoutError:
            raise InvalidParams(f"The body has not arrived within {BODY_SECONDS:g} s") from None

    async def _read(self) -> bytes:
        body, more = b"", True
        while more:
            message = await self._receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_REQUEST:
                raise too_large()
        return body


def too_large() -> TooLarge:
    """The error for a body over the limit."""
    return TooLarge(f"A request body holds at most {MAX_REQUEST} bytes; upload large content as a file")
