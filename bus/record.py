"""Writes facts to the event log in their order, without holding up whoever observes them."""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from uuid import uuid4

from .agent import Actor, Bus
from .errors import BusError
from .log import JSON, NewEvent

log = logging.getLogger(__name__)

MAX_WAITING = 1024  # facts; when the log cannot take them, or not so fast, the newest are dropped and reported
TOGETHER = 12  # facts; the largest, metadata of files, have 256 KiB, and an append 4 MiB
RETRY = 1.0  # seconds
LAST_SECONDS = 2.0  # for what waits when its agent stops


class Record:
    """An ordered outbox of facts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._waiting: deque[tuple[str, NewEvent]] = deque()
        self._going: list[NewEvent] = []  # what is being appended, by its id: a second try must be of the same
        self._stream, self._append_id = "", uuid4()
        self._news = asyncio.Event()
        self._full = False

    def note(self, stream: str, kind: str, data: dict[str, JSON], actor: Actor | None = None) -> None:
        """Takes a fact for the log."""
        if len(self._waiting) >= MAX_WAITING:
            if not self._full:
                log.error("%d facts wait for the event log: newer ones are lost until it has taken some", MAX_WAITING)
            self._full = True
            return
        event = NewEvent(kind, data, None if actor is None else actor.as_dict())
        self._waiting.append((stream, event))
        self._news.set()

    async def run(self) -> None:
        """Appends what waits, until it is cancelled; then what still waits, as far as that is a matter of moments."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._append_all()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self._append_all()

    async def _append_all(self) -> None:
        while self._going or self._waiting:
            if not self._going:
                self._take()
            await self._append()
            self._going.clear()
            self._full = False

    def _take(self) -> None:
        """Those in front of one stream are appended together: more than one at a time can come for long."""
        stream, _ = self._waiting[0]
        self._stream, self._append_id = stream, uuid4()
        while self._waiting and self._waiting[0][0] == stream and len(self._going) < TOGETHER:
            self._going.append(self._waiting.popleft()[1])

    async def _append(self) -> None:
        failed = False
        while True:
            try:
                await self._bus.append(self._stream, self._going, append_id=self._append_id)
                return
            except BusError as error:
                if not failed or not error.retryable:
                    log.error("%s was not written to the event log: %s", _named(self._going), error)
                if not error.retryable:
                    return
                failed = True
                await asyncio.sleep(RETRY)


def _named(events: list[NewEvent]) -> str:
    """What they are, in a message."""
    return events[0].type if len(events) == 1 else f"{events[0].type} and {len(events) - 1} more"
