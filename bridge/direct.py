"""Requests that are nothing but a call: answered on uvicorn's connections without a task for each."""

import asyncio
from functools import partial
from typing import Any

from starlette.types import Receive, Scope, Send

from .answers import Header, messages


def answering(kind: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """One of uvicorn's protocols, which lets the application answer by itself what it can (see `Application.direct`).

    A task, and the coroutines from it to a future and back, cost as much as a fifth of such a request.
    """
    if not hasattr(kind, "_start_asgi_task"):  # the one in Python, for where httptools is missing
        return kind
    base = kind

    class Answering(base):  # type: ignore[misc, valid-type]
        """As its base."""

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            if not app.direct(cycle.scope, partial(self._answer, cycle)):
                super()._start_asgi_task(cycle, app)

        def _answer(self, cycle: Any, status: int, headers: list[Header], body: bytes) -> None:
            if cycle.flow.write_paused:  # its client does not read: something has to wait for that
                super()._start_asgi_task(cycle, partial(_send_all, status, headers, body))
                return
            for message in messages(status, headers, body):
                try:
                    cycle.send(message).send(None)
                except StopIteration:  # it had nothing to wait for
                    continue

    return Answering


async def _send_all(
    status: int, headers: list[Header], body: bytes, _scope: Scope, _receive: Receive, send: Send
) -> None:
    for message in messages(status, headers, body):
        await send(message)
