"""Staying awake between requests that follow each other closely."""

import asyncio
from time import perf_counter

CLOSE_SECONDS = 250e-6
"""Requests at most this far apart follow each other closely; so long is the next one waited for without sleeping."""


class Alertness:
    """Keeps the loop looking for the next request where one soon followed the last.

    Going to sleep and being woken takes a processor longer than answering; a script that sends its next request when it
    has the answer then waits for little else. Requests further apart cost nothing.
    """

    __slots__ = ("_awake", "_last", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last = 0.0
        self._awake = False

    @property
    def awake(self) -> bool:
        """Whether the loop is being kept from sleeping."""
        return self._awake

    def request(self) -> None:
        """A request is here."""
        last, self._last = self._last, perf_counter()  # not the loop's clock: uvloop's stands still within a turn
        if not self._awake and self._last - last < CLOSE_SECONDS:
            self._awake = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        if perf_counter() - self._last < CLOSE_SECONDS:
            self._loop.call_soon(self._look)
        else:
            self._awake = False
