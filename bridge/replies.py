"""How an endpoint that is more than a method call answers: whole, or a piece at a time."""

from starlette.types import Receive, Send

from bus.errors import BusError

from .answers import JSON, Header, failure, respond, respond_early


class Reply:
    """The answer to one request; `shared` headers go with it, whatever it is."""

    def __init__(self, send: Send, shared: tuple[Header, ...]) -> None:
        self._send = send
        self._shared = shared
        self.started = False

    async def whole(self, status: int, body: bytes, *headers: Header, kind: Header = JSON) -> None:
        """All of it."""
        self.started = True
        await respond(self._send, status, body, *headers, *self._shared, kind=kind)

    async def start(self, status: int, *headers: Header, length: int | None, body: bool = True) -> None:
        """Status and headers; `more` follows, unless there is no `body`, or nothing in it."""
        self.started = True
        sized = () if length is None else ((b"content-length", b"%d" % length),)
        everything = [*headers, *sized, *self._shared]
        await self._send({"type": "http.response.start", "status": status, "headers": everything})
        if not (body and length):
            await self.more(b"", last=True)

    async def more(self, data: bytes | memoryview, *, last: bool) -> None:
        """The next part of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})

    async def fail(self, error: BusError, receive: Receive) -> None:
        """An error instead, while the client may still be sending."""
        status, body = failure(error)
        await respond_early(self._send, receive, status, body, *self._shared)
