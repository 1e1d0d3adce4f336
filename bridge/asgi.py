"""The HTTP application: a table of exact paths in front, and what answers the rest behind it."""

import logging
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from bus.errors import BusError, Internal, MethodNotAllowed

from .answers import HTML, JSON, failure, preflight, respond, respond_early, success
from .auth import Gate, Seen, watched
from .replies import Header, Reply
from .requests import Request
from .routes import Endpoint, Routes, Streaming, Verbs

log = logging.getLogger(__name__)

CORS_METHODS = (b"access-control-allow-methods", b"GET, POST, PUT, DELETE, OPTIONS")
CORS_HEADERS = (
    b"access-control-allow-headers",
    b"Origin, Accept, Content-Type, X-Requested-With, X-CRSF-Token, Authorization, X-Access-Token, X-Api-Key",
)
TOO_LARGE = 413
NOWHERE = "//"  # a path that no route has

JsonRpc = Callable[[Request], Awaitable[bytes]]


class Interrupted(Exception):
    """An answer that has begun cannot be completed."""


class Application:
    """An ASGI application; `jsonrpc` answers `POST /server/jsonrpc`, whose answers have no envelope.

    Everything is below `prefix`; `rest` answers what has no row in the table.
    """

    def __init__(self, routes: Routes, gate: Gate, jsonrpc: JsonRpc, rest: ASGIApp, prefix: str = "") -> None:
        self._routes = routes
        self._gate = gate
        self._jsonrpc = jsonrpc
        self._rest = rest
        self._prefix = prefix
        self._routes.add("POST", "/server/jsonrpc", jsonrpc)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._prefix:
            scope["path"] = _below(self._prefix, scope["path"])
        verbs = self._routes.find(scope["path"])
        if verbs is None:
            return await self._rest(scope, receive, send)
        seen = watched(scope["headers"])
        shared = self._sharing(seen)
        try:
            endpoint = verbs.get(scope["method"])
            if endpoint is None:
                return await self._other(scope["method"], verbs, shared, send)
            if isinstance(endpoint, Streaming):
                return await self._stream(endpoint, scope, receive, send, seen, shared)
            body = await self._answer(endpoint, scope, receive, seen)
            kind = JSON if body else HTML  # the reference server's type for an empty answer
            return await respond(send, 200, body, *shared, kind=kind)
        except Interrupted:
            raise  # the server cuts the connection: the client sees that something is missing
        except BusError as error:
            status, body = failure(error)
        except Exception:
            log.exception("%s failed", scope["path"].encode("unicode_escape").decode())
            status, body = failure(Internal("Internal error"))
        if status == TOO_LARGE:
            return await respond_early(send, receive, status, body, *shared)
        return await respond(send, status, body, *shared)

    def _request(self, scope: Scope, receive: Receive, seen: Seen) -> Request:
        client = scope["client"]
        return Request(scope, receive, seen, self._gate.admit(client[0] if client else "", seen))

    async def _stream(
        self, endpoint: Streaming, scope: Scope, receive: Receive, send: Send, seen: Seen, shared: tuple[Header, ...]
    ) -> None:
        """An endpoint that reads or writes a body of any length; what fails once the answer has begun cuts it off."""
        request, reply = self._request(scope, receive, seen), Reply(send, shared)
        try:
            if endpoint.changes:
                self._gate.check_page(seen, request.verb)
            await endpoint.answer(request, reply)
        except BusError as error:
            if reply.started:
                raise Interrupted(error.message) from error
            if not endpoint.changes:
                raise
            await request.fail(error, reply)

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive, seen: Seen) -> bytes:
        request = self._request(scope, receive, seen)
        if endpoint is self._jsonrpc:
            self._gate.check_page(seen, request.verb)
            return await endpoint(request)
        return success(await endpoint(request))

    def _sharing(self, seen: Seen) -> tuple[Header, ...]:
        origin = seen.get(b"origin")
        if origin is None or not self._gate.shares(origin):
            return ()
        return ((b"access-control-allow-origin", origin), (b"vary", b"Origin"))

    async def _other(self, verb: str, verbs: Verbs, shared: tuple[Header, ...], send: Send) -> None:
        if verb == "OPTIONS" and shared:
            return await preflight(send, *shared, CORS_METHODS, CORS_HEADERS)
        status, body = failure(MethodNotAllowed("Method Not Allowed"))
        return await respond(send, status, body, *shared, (b"allow", ", ".join(sorted(verbs)).encode()))


def _below(prefix: str, path: str) -> str:
    """The path as the routes know it; `NOWHERE` where it is not below the prefix."""
    if path == prefix:
        return "/"
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else NOWHERE
