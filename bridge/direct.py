"""Requests that are nothing but a call: answered on uvicorn's connections without a task for each."""

import asyncio
from collections.abc import Callable
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send

from .answers import CLOSE, Header, lines_of

CLOSE_LINE = lines_of([CLOSE])


def answering(kind: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """One of uvicorn's protocols, which lets the application answer by itself what it can (see `Application.direct`).

    A task, the coroutines from it to a future and back, and a look at each header cost a third of such a request.
    """
    if not hasattr(kind, "_start_asgi_task"):  # the one in Python, for where httptools is missing
        return kind
    base = kind

    class Answering(base):  # type: ignore[misc, valid-type]
        """As its base."""

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            if not app.direct(cycle.scope, partial(self._answer, cycle)):
                super()._start_asgi_task(cycle, app)

        def _answer(self, cycle: Any, status: int, lines: bytes, body: bytes) -> None:
            write = partial(_write, cycle, status, lines, body)
            if cycle.flow.write_paused:  # its client does not read: something has to wait for that
                super()._start_asgi_task(cycle, partial(_when_read, cycle, write))
            else:
                write()

    return Answering


def _write(cycle: Any, status: int, lines: bytes, body: bytes) -> None:
    """A whole answer, as the cycle's `send` would write it in two parts."""
    if cycle.disconnected:
        return
    cycle.response_started = cycle.response_complete = True
    close = b"" if cycle.keep_alive else CLOSE_LINE
    head = (_status_line(status), _default_lines(cycle.default_headers), lines, close)
    cycle.transport.write(b"%b%b%b%b\r\n%b" % (*head, body))
    if close:
        cycle.transport.close()
    cycle.on_response()


async def _when_read(cycle: Any, write: Callable[[], None], _scope: Scope, _receive: Receive, _send: Send) -> None:
    await cycle.flow.drain()
    write()


@lru_cache
def _status_line(status: int) -> bytes:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


class _DefaultLines:
    """Of uvicorn's own headers, which it replaces once a second."""

    def __init__(self) -> None:
        self._headers: list[Header] = []
        self._lines = b""

    def __call__(self, headers: list[Header]) -> bytes:
        if headers is not self._headers:
            self._headers, self._lines = headers, lines_of(headers)
        return self._lines


_default_lines = _DefaultLines()
