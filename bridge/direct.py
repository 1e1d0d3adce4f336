"""Answers on uvicorn's connections: in one piece, and without a task where a request is nothing but a call."""

import asyncio
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any

from .answers import CLOSE, WHOLE, Header, lines_of

CLOSE_LINE = lines_of([CLOSE])


def answering(kind: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """One of uvicorn's protocols, which lets the application answer by itself what it can (see `Application.direct`).

    A task, and the coroutines from it to a future and back, cost as much as a fifth of such a request; head and body in
    two pieces, and a look at each header, cost a sixth of any.
    """
    if not hasattr(kind, "_start_asgi_task"):  # the one in Python, for where httptools is missing
        return kind
    base = kind
    waiting: set[Any] = set()  # requests that are nothing but a call, of all connections

    class Answering(base):  # type: ignore[misc, valid-type]
        """As its base."""

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            waiting.add(cycle)
            if app.direct(cycle.scope, partial(self._take, cycle)):
                return
            waiting.remove(cycle)
            cycle.scope["extensions"] = {WHOLE: partial(_when_read, cycle)}
            super()._start_asgi_task(cycle, app)

        def _take(self, cycle: Any, *answer: Any) -> None:
            """Writes an answer, along with others: the first one wakes up a client that waits, which takes long."""
            if len(waiting) > 1:
                self.loop.call_soon(self._answer, cycle, *answer)
            else:
                self._answer(cycle, *answer)

        def _answer(self, cycle: Any, status: int, lines: bytes, body: bytes) -> None:
            waiting.remove(cycle)
            if cycle.flow.write_paused:  # its client does not read: something has to wait for that
                super()._start_asgi_task(cycle, lambda *_: _when_read(cycle, status, lines, body))
            else:
                _write(cycle, status, lines, body)

    return Answering


async def _when_read(cycle: Any, status: int, lines: bytes, body: bytes) -> None:
    if cycle.flow.write_paused:
        await cycle.flow.drain()
    _write(cycle, status, lines, body)


def _write(cycle: Any, status: int, lines: bytes, body: bytes) -> None:
    """A whole answer, as the cycle's `send` would write it in two parts, with a look at each header."""
    if cycle.disconnected:
        return
    cycle.response_started = cycle.response_complete = True
    close = b"" if cycle.keep_alive else CLOSE_LINE
    head = (_status_line(status), _default_lines(cycle.default_headers), lines, close)
    cycle.transport.write(b"%b%b%b%b\r\n%b" % (*head, b"" if cycle.scope["method"] == "HEAD" else body))
    cycle.message_event.set()
    if close:
        cycle.transport.close()
    cycle.on_response()


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
