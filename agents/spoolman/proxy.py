"""Requests that clients send through us: which are passed on, and how their answers look."""

import re
from urllib.parse import quote, unquote

from bus.agent import Raw
from bus.envelope import dumps
from bus.errors import BusError, InvalidParams, NotFound, Unauthenticated, Unavailable
from bus.fetch import Unreachable
from schemas.spoolman import Failure, ProxyParams

from .service import Reply, Service

BELOW = "/v1/"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
IN_PATH = "/%:@!$&'()*+,;=~"  # stay as they are
IN_QUERY = IN_PATH + "?"
UNAVAILABLE = 503


class Upstream(BusError):
    """Spoolman's own error, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.code, self.status = status, status


async def proxied(service: Service, params: ProxyParams) -> Raw:
    """Spoolman's answer, as it is or with what it came with; raises InvalidParams, and what the service says."""
    if params.body is not None and params.request_method == "GET":
        raise InvalidParams("A GET request has no body")
    where = address(params.path, params.query)
    try:
        reply = await service.ask(params.request_method, where, params.body)
    except Unreachable as error:
        return _unreachable(f"Spoolman cannot be reached: {error}", params.use_v2_response)
    if params.use_v2_response:
        return _whole(reply)
    if reply.failed:
        raise _error(reply)
    return Raw(reply.json)


def address(path: str, query: str | None) -> str:
    """Path and query as HTTP has them; raises InvalidParams for a path that leads out of Spoolman's interface."""
    if not path.startswith(BELOW):
        raise InvalidParams(f"A path begins with '{BELOW}'")
    plain = _decoded(path)
    if CONTROL.search(plain) or CONTROL.search(query or ""):
        raise InvalidParams("Path and query hold no control characters")
    if "?" in path or "#" in path:
        raise InvalidParams("A path holds neither '?' nor '#': what follows belongs into 'query'")
    if {".", ".."} & {*re.split(r"[/\\]", plain)}:
        raise InvalidParams("A path holds no '.' or '..'")
    return quote(path, IN_PATH) + ("?" + quote(query, IN_QUERY) if query else "")


def _decoded(path: str) -> str:
    """Without any percent-encoding, however often that was done: some proxies take it away more than once."""
    while (plain := unquote(path)) != path:
        path = plain
    return path


def _whole(reply: Reply) -> Raw:
    headers = dumps(dict(reply.headers))
    if not reply.failed:
        return Raw(b'{"response":%b,"response_headers":%b,"error":null}' % (reply.json, headers))
    error = dumps(Failure(status_code=reply.status, message=reply.complaint()))
    return Raw(b'{"response":null,"response_headers":%b,"error":%b}' % (headers, error))


def _unreachable(reason: str, version_2: bool) -> Raw:
    if not version_2:
        raise Unavailable(reason)
    error = dumps(Failure(status_code=UNAVAILABLE, message=reason))
    return Raw(b'{"response":null,"response_headers":{},"error":%b}' % error)


def _error(reply: Reply) -> BusError:
    """404 and 401 have codes of their own on JSON-RPC; a redirection is none of Spoolman's answers."""
    own = {404: NotFound, 401: Unauthenticated}.get(reply.status)
    if own is not None:
        return own(reply.complaint())
    return Upstream(reply.status, reply.complaint()) if reply.status >= 400 else Unavailable(reply.complaint())
