"""The scheduler of local deliveries: round-robin over senders, within a time budget per turn of the loop."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter

from .counters import Counters
from .message import Message

BUDGET_SECONDS = 0.002
logger = logging.getLogger(__name__)

Handler = Callable[[Message], None]


class Lane:
    """What one sender has waiting at one local session, oldest first."""

    __slots__ = ("items", "sender", "taken")

    def __init__(self, sender: str, taken: Callable[["Lane"], None]) -> None:
        self.sender = sender
        self.items: deque[tuple[Handler, Message]] = deque()
        self.taken = taken
        """Called each time an item was removed."""


class Drain:
    """Runs the handlers of all local sessions of one exchange; `after` is called at the end of each turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counters, after: Callable[[], None]) -> None:
        self._loop = loop
        self._counters = counters
        self._after = after
        self._ready: deque[Lane] = deque()
        self._running = False

    def add(self, lane: Lane) -> None:
        """Take up a lane that has got its first item."""
        self._ready.append(lane)
        if not self._running:
            self._running = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        ready, call = self._ready, self.call
        # Not the loop's clock: uvloop's stands still within a turn.
        end = perf_counter() + BUDGET_SECONDS
        while ready:
            lane = ready.popleft()
            if not lane.items:
                continue
            handler, message = lane.items.popleft()
            if lane.items:
                ready.append(lane)
            lane.taken(lane)
            call(handler, message)
            if perf_counter() > end:
                break
        self._after()
        if ready:
            self._loop.call_soon(self._run)
        else:
            self._running = False

    def call(self, handler: Handler, message: Message) -> None:
        """Run one handler; what it raises is logged and goes no further."""
        try:
            handler(message)
        except Exception:
            self._counters.handler_errors += 1
            logger.exception("handler of %s failed", message.topic)
