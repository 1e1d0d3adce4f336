"""One HTTP request on its way through the bridge."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive, Scope

from bus.envelope import MAX_REQUEST
from bus.errors import InvalidParams, TooLarge, Unauthenticated

from .arguments import Arguments
from .auth import Seen, has_body
from .callers import Caller

BODY_SECONDS = 30.0  # for a whole body to arrive
SILENCE = 60.0  # seconds without a byte, after which a long body is given up


class Request:
    """Verb, watched headers and caller of a request that was let in."""

    __slots__ = ("_receive", "_scope", "actor", "caller", "seen", "verb")

    def __init__(self, scope: Scope, receive: Receive, seen: Seen, caller: Caller) -> None:
        self._scope = scope
        self._receive = receive
        self.verb: str = scope["method"]
        self.seen = seen
        self.caller = caller
        self.actor = caller.actor  # who asks, as JSON

    @property
    def path(self) -> str:
        """As asked for, decoded."""
        path: str = self._scope["path"]
        return path

    @property
    def length(self) -> int | None:
        """How long the body is said to be."""
        claimed = self.seen.get(b"content-length")
        return None if claimed is None else int(claimed)

    def require_known(self) -> None:
        """Raises Unauthenticated where nobody asks."""
        if not self.caller.known:
            raise Unauthenticated("Unauthorized")

    def header(self, name: bytes) -> str:
        """One of the watched headers; empty where it is missing."""
        return self.seen.get(name, b"").decode("latin-1")

    def url(self, path: str) -> str:
        """A path of this server as the client would ask for it."""
        host = self.header(b"host")
        return f"{self._scope['scheme']}://{host}{path}" if host else path

    async def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises InvalidParams where the client stops in the middle."""
        more = True
        while more:
            try:
                async with asyncio.timeout(SILENCE):
                    message = await self._receive()
            except TimeoutError:
                raise InvalidParams("The body does not go on") from None
            if message["type"] == "http.disconnect":
                raise InvalidParams("The client has gone")
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def gone(self) -> None:
        """Waits until the client has gone; only for requests whose body does not matter."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @property
    def bare(self) -> bool:
        """Whether neither query nor body came along."""
        return not (self._scope["query_string"] or has_body(self.seen))

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
