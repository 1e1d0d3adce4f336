"""Sending retained messages to new subscriptions a little at a time, so that a large store holds up nobody."""

import asyncio
import logging
from collections import deque
from collections.abc import Generator
from time import perf_counter
from typing import Final

SLICE_SECONDS = 0.001
DONE: Final = object()
logger = logging.getLogger(__name__)

Steps = Generator[None, None, None]
"""Sends one message, or skips one, from one step to the next."""


class Replays:
    """Runs replays in slices of a millisecond; small ones are over when `add` returns."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Steps] = deque()

    def add(self, steps: Steps) -> None:
        """Take up a replay; it begins at once unless others wait."""
        self._waiting.append(steps)
        if len(self._waiting) == 1:
            self._run()

    def _run(self) -> None:
        end = perf_counter() + SLICE_SECONDS
        waiting = self._waiting
        while waiting and perf_counter() < end:
            if _is_over(waiting[0]):
                waiting.popleft()
        if waiting:
            waiting.rotate(-1)
            self._loop.call_soon(self._run)


def _is_over(steps: Steps) -> bool:
    """Take one step; a replay that fails is given up, so that it does not keep back the others."""
    try:
        return next(steps, DONE) is DONE
    except Exception:
        logger.exception("replay failed")
        return True
