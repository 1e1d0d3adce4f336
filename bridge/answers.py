"""HTTP answers: the result envelope, the error shape, and how they are sent."""

import asyncio
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from bus.errors import BusError, to_http

DRAIN_SECONDS = 5.0  # for a client that goes on sending a body that was refused
DRAIN_BYTES = 64 << 20

Header = tuple[bytes, bytes]

WHOLE = "printbus.whole"
"""The extension of ASGI that takes a whole answer: status, lines of headers (see `lines_of`), body."""

JSON = (b"content-type", b"application/json; charset=UTF-8")
CLOSE = (b"connection", b"close")
HTML = (b"content-type", b"text/html; charset=UTF-8")


def wrapped(result: bytes) -> bytes:
    """The body that carries a result, which is JSON already."""
    return b'{"result":%b}' % result


def failure(error: BusError) -> tuple[int, bytes]:
    """Status and body of an error; in the HTTP form the code is the status."""
    status = to_http(error.code)
    shown: dict[str, Any] = {"code": status, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return status, orjson.dumps({"error": shown})


def headers_of(body: bytes, *extra: Header, kind: Header = JSON) -> list[Header]:
    """The headers of a whole answer."""
    return [kind, (b"content-length", b"%d" % len(body)), *extra]


def lines_of(headers: Iterable[Header]) -> bytes:
    """Headers as they are on the wire."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


async def respond(
    send: Send, status: int, body: bytes, *extra: Header, kind: Header = JSON, scope: Scope | None = None
) -> None:
    """Sends a whole answer; at once where the server has offered that in the request's `scope`."""
    headers = headers_of(body, *extra, kind=kind)
    write = (scope or {}).get("extensions", {}).get(WHOLE)
    if write is not None:
        await write(status, lines_of(headers), body)
    else:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def preflight(send: Send, *headers: Header) -> None:
    """Tells a browser that a page may send the request it asks about."""
    await send({"type": "http.response.start", "status": 204, "headers": list(headers)})
    await send({"type": "http.response.body", "body": b""})


async def respond_early(send: Send, receive: Receive, status: int, body: bytes, *extra: Header) -> None:
    """Answers before the request's body has been read, and throws a part of that away.

    Closing with unread bytes would reset the connection, and the client would not see the answer.
    """
    headers = headers_of(body, CLOSE, *extra)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await _drain(receive)
    except TimeoutError:
        pass
    await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    drained, more = 0, True
    while more and drained < DRAIN_BYTES:
        message = await receive()
        drained += len(message.get("body", b""))
        more = message.get("more_body", False)
