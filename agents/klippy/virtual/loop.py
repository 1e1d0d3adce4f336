"""The event loop: sockets through `selectors`, timers through a heap, nothing running while nothing is due."""

import heapq
import itertools
import selectors
import socket
from collections.abc import Callable

from .clock import Clock

FAR_FUTURE = 3600.0
"""The longest wait handed to the kernel (seconds)."""


class Timer:
    """A pending call; `cancel()` forgets it."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Forget the call; safe at any time."""
        self.callback = None


class Loop:
    """Runs socket callbacks and timers until `stop()`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._selector = selectors.DefaultSelector()
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = False

    def call_at(self, moment: float, callback: Callable[[], None]) -> Timer:
        """Call once when event time reaches `moment`."""
        timer = Timer(callback)
        heapq.heappush(self._heap, (moment, next(self._order), timer))
        return timer

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call once, `seconds` of real time from now."""
        return self.call_at(self.clock.now() + seconds, callback)

    def watch(self, source: socket.socket | int, events: int, callback: Callable[[int], None]) -> None:
        """Call back with the ready events of a socket; replaces an earlier watch on it."""
        try:
            self._selector.modify(source, events, callback)
        except KeyError:
            self._selector.register(source, events, callback)

    def unwatch(self, source: socket.socket | int) -> None:
        """Stop watching; harmless if it was not watched."""
        try:
            self._selector.unregister(source)
        except (KeyError, ValueError):
            return

    def run(self) -> None:
        """Serve until `stop()` is called from a callback."""
        self._running = True
        while self._running:
            for key, events in self._selector.select(self._patience()):
                key.data(events)
            self._fire_due()
        self._selector.close()

    def stop(self) -> None:
        """Leave `run()` after the current callback."""
        self._running = False

    def _patience(self) -> float:
        if not self._heap:
            return FAR_FUTURE
        return min(FAR_FUTURE, max(0.0, self._heap[0][0] - self.clock.now()))

    def _fire_due(self) -> None:
        now = self.clock.now()
        while self._heap and self._heap[0][0] <= now:
            callback = heapq.heappop(self._heap)[2].callback
            if callback is not None:
                callback()
