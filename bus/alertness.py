"""Staying awake between requests that follow each other closely."""

import asyncio
from collections.abc import Callable
from time import perf_counter

CLOSE_SECONDS = 250e-6
"""Requests at most this far apart follow each other closely; so long is the next one waited for without sleeping."""


class Alertness:
    """Keeps the loop looking for the next request where one soon followed the last.

    Going to sleep and being woken takes a processor longer than answering; a script that sends its next request when it
    has the answer then waits for little else. Requests further apart cost nothing.
    """

    __slots__ = ("_awake", "_last", "_loop", "_now")

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = perf_counter) -> None:
        self._loop = loop
        self._now = now  # not the loop's clock: uvloop's stands still within a turn
        self._last = 0.0
        self._awake = False

    @property
    def awake(self) -> bool:
        """Whether the loop is being kept from sleeping."""
        return self._awake

    def request(self) -> None:
        """A request is here."""
        last, self._last = self._last, self._now()
        if not self._awake and self._last - last < CLOSE_SECONDS:
            self._awake = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        if self._now() - self._last < CLOSE_SECONDS:
            self._loop.call_soon(self._look)
        else:
            self._awake = False
