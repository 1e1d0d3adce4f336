"""The g-code queue: scripts run one after the other, the file being printed in the gaps, never blocking the loop."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from .command import CommandError
from .gcode import HaltedError, Steps
from .loop import Loop, Timer

SLICE = 0.005
"""Real seconds of g-code run before the sockets get a turn."""


class Job(NamedTuple):
    """Something to run, and whom to tell how it ended (None = well)."""

    steps: Steps
    done: Callable[[CommandError | None], None]


class Executor:
    """Runs jobs in order; `background` is asked for the next one whenever the queue is empty."""

    def __init__(self, loop: Loop, background: Callable[[], Job | None]) -> None:
        self._loop = loop
        self._background = background
        self._queue: deque[Job] = deque()
        self._current: Job | None = None
        self._timer: Timer | None = None
        self._pumping = False
        self._stopped = False

    def submit(self, steps: Steps, done: Callable[[CommandError | None], None]) -> None:
        """Queue a job; it starts when the loop gets to it. As in Klipper, the queue itself has no bound."""
        self._queue.append(Job(steps, done))
        self.wake()

    def wake(self) -> None:
        """Look for work; used when the background has some again."""
        if self._timer is None and not self._pumping and not self._stopped:
            self._timer = self._loop.call_later(0.0, self._pump)

    def halt(self) -> None:
        """End the current wait, if there is one (shutdown)."""
        if self._current is None or self._pumping or self._stopped:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(0.0, self._pump_halted)

    def stop(self) -> None:
        """Run nothing any more; what is queued is never answered (restart)."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()
        self._current = None

    def _pump_halted(self) -> None:
        self._pump(halted=True)

    def _pump(self, *, halted: bool = False) -> None:
        self._timer = None
        self._pumping = True
        delay = self._run_slice(halted)
        self._pumping = False
        if delay is not None and not self._stopped:
            self._timer = self._loop.call_later(delay / self._loop.clock.factor, self._pump)

    def _run_slice(self, halted: bool) -> float | None:
        """Run jobs until one waits, time is up (0) or nothing is left (None)."""
        deadline = self._loop.clock.now() + SLICE
        while not self._stopped and self._loop.clock.now() < deadline:
            if self._current is None:
                self._current = self._queue.popleft() if self._queue else self._background()
            if self._current is None:
                return None
            delay = self._advance(self._current, halted)
            halted = False
            if delay is not None:
                return delay
        return 0.0

    def _advance(self, job: Job, halted: bool) -> float | None:
        """Run a job up to its next wait (simulated seconds) or its end (None)."""
        try:
            return job.steps.throw(HaltedError()) if halted else next(job.steps)
        except (StopIteration, HaltedError):
            self._finish(job, None)
        except CommandError as error:
            self._finish(job, error)
        return None

    def _finish(self, job: Job, error: CommandError | None) -> None:
        self._current = None
        job.done(error)
