"""The HTTP application: a table of exact paths in front, and what answers the rest behind it."""

import logging
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bus.errors import BusError, Internal, MethodNotAllowed
from bus.web_pages import SAFE

from .answers import HTML, JSON, Header, failure, lines_of, preflight, respond, respond_early, wrapped
from .auth import Gate, Seen, has_body, watched
from .callers import Caller, Callers, owner
from .commands import Commands, call_failed
from .cors import NOT_KEPT, SAFE_ANSWER, permission, sharing
from .replies import Reply
from .requests import Request
from .routes import Routes, Streaming, Verbs

log = logging.getLogger(__name__)

TOO_LARGE = 413
NO_SUCH_VERB = 405
TYPE_AND_LENGTH = lines_of([JSON]) + b"content-length: "
SAFE_LINES = b"\r\n" + lines_of(SAFE_ANSWER)
NOT_KEPT_LINES = b"\r\n" + lines_of((NOT_KEPT, *SAFE_ANSWER))
NOWHERE = "//"  # a path that no route has

Answer = Callable[[int, bytes, bytes], None]  # status, lines of headers, body
JsonRpc = Callable[[Request], Awaitable[bytes]]


class Interrupted(Exception):
    """An answer that has begun cannot be completed."""


class Application:
    """An ASGI application; `jsonrpc` answers `POST /server/jsonrpc`, whose answers have no envelope.

    Everything is below `prefix`; `rest` answers what has no row in the table.
    """

    def __init__(
        self,
        routes: Routes,
        gate: Gate,
        callers: Callers,
        commands: Commands,
        jsonrpc: JsonRpc,
        rest: ASGIApp,
        prefix: str = "",
    ) -> None:
        self._routes = routes
        self._commands = commands
        self._gate = gate
        self._callers = callers
        self._jsonrpc = jsonrpc
        self._rest = rest
        self._prefix = prefix
        self._routes.add("POST", "/server/jsonrpc", jsonrpc)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._prefix:
            scope["path"] = _below(self._prefix, scope["path"])
        seen = watched(scope["headers"])
        shared = sharing(self._gate.pages, seen)
        permitted = permission(shared, seen) if scope["method"] == "OPTIONS" else None
        if permitted is not None:
            return preflight(send, *permitted)
        verbs = self._routes.find(scope["path"])
        if verbs is None:
            return self._rest(scope, receive, _adding(send, (*SAFE_ANSWER, *shared)))
        extra = (*SAFE_ANSWER, *shared) if shared else SAFE_ANSWER
        return self._answer(verbs, scope, receive, send, seen, extra)

    def direct(self, scope: Scope, answer: Answer) -> bool:
        """Whether a request is nothing but a call, whose outcome `answer` gets; all others are for `__call__`."""
        path = _below(self._prefix, scope["path"]) if self._prefix else scope["path"]
        plain = self._routes.plain.get(path)
        if plain is None or scope["method"] != "GET" or scope["query_string"]:
            return False
        seen = watched(scope["headers"])
        shared = lines_of(sharing(self._gate.pages, seen))

        def answered(success: bool, body: bytes) -> None:
            if success:
                body = wrapped(body)
                return answer(200, b"%b%d%b%b" % (TYPE_AND_LENGTH, len(body), NOT_KEPT_LINES, shared), body)
            status, body = failure(call_failed(body))
            return answer(status, b"%b%d%b%b" % (TYPE_AND_LENGTH, len(body), SAFE_LINES, shared), body)

        try:
            caller = None if has_body(seen) else self._at_once(scope, seen)
            if caller is None or not caller.known:
                return False
            self._commands.start(plain.method, plain.params, caller.actor, answered)
        except Exception:
            return False  # `__call__` comes to the same, and says so
        return True

    async def _answer(
        self, verbs: Verbs, scope: Scope, receive: Receive, send: Send, seen: Seen, shared: tuple[Header, ...]
    ) -> None:
        try:
            endpoint = verbs.get(scope["method"])
            if endpoint is None:
                raise MethodNotAllowed("Method Not Allowed")
            if isinstance(endpoint, Streaming):
                return await self._stream(endpoint, scope, receive, Reply(send, shared), seen)
            caller = self._at_once(scope, seen) or await self._asked(scope, seen)
            body = await endpoint(Request(scope, receive, seen, caller))
            if endpoint is not self._jsonrpc:
                body = wrapped(body)
            kind = JSON if body else HTML  # the reference server's type for an empty answer
            return await respond(send, 200, body, NOT_KEPT, *shared, kind=kind, scope=scope)
        except Interrupted:
            raise  # the server cuts the connection: the client sees that something is missing
        except BusError as error:
            status, body = failure(error)
        except Exception:
            log.exception("%s failed", scope["path"].encode("unicode_escape").decode())
            status, body = failure(Internal("Internal error"))
        if status == TOO_LARGE:
            return await respond_early(send, receive, status, body, *shared)
        if status == NO_SUCH_VERB:
            shared = (*shared, (b"allow", ", ".join(sorted(verbs)).encode()))
        return await respond(send, status, body, *shared, scope=scope)

    def _at_once(self, scope: Scope, seen: Seen) -> Caller | None:
        """Who asks for something that may be asked for; None where that is to be asked. Raises Forbidden."""
        self._gate.pages.check_host(seen)
        if scope["method"] not in SAFE:
            self._gate.pages.check_change(seen, scope["method"])
        return self._callers.at_once("http", _peer(scope), seen, scope["query_string"])

    def _asked(self, scope: Scope, seen: Seen) -> Awaitable[Caller]:
        """Whose the credentials are; raises Unauthenticated."""
        return self._callers.of(_peer(scope), seen, scope["query_string"])

    async def _stream(self, endpoint: Streaming, scope: Scope, receive: Receive, reply: Reply, seen: Seen) -> None:
        """An endpoint that reads or writes a body of any length; what fails once the answer has begun cuts it off."""
        try:
            caller = self._at_once(scope, seen)
            if endpoint.is_open(scope["path"]):
                caller = owner("http", self._gate.address_of(_peer(scope), seen))
            request = Request(scope, receive, seen, caller or await self._asked(scope, seen))
            request.require_known()
            await endpoint.answer(request, reply)
        except BusError as error:
            if reply.started:
                raise Interrupted(error.message) from error
            if not endpoint.changes:
                raise
            await reply.fail(error, receive)


def _peer(scope: Scope) -> str:
    """The address at the other end of the connection."""
    return scope["client"][0] if scope["client"] else ""


def _adding(send: Send, headers: tuple[Header, ...]) -> Send:
    """Sends these headers along, except those that the answer has."""

    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(each for each in headers if each[0] not in there)]
        await send(message)

    return adding


def _below(prefix: str, path: str) -> str:
    """The path as the routes know it; `NOWHERE` where it is not below the prefix."""
    if path == prefix:
        return "/"
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else NOWHERE
