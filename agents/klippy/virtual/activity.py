"""Idle, Ready or Printing: what the machine's motion and waits say about it, and the time-out when nothing happens."""

from collections.abc import Callable

from .clock import Clock
from .command import Command
from .gcode import Gcode
from .loop import Loop, Timer

READY_DELAY = 0.5
"""Real seconds of stillness after which Printing becomes Ready."""
IDLE_TIMEOUT = 3600.0


class Activity:
    """The `idle_timeout` object; `extend` is called with the simulated time until which something goes on."""

    def __init__(self, clock: Clock, loop: Loop) -> None:
        self.on_idle: Callable[[], None] = lambda: None
        self._clock = clock
        self._loop = loop
        self._timeout = IDLE_TIMEOUT
        self._begun: float | None = None
        self._end = clock.now()
        self._timer: Timer | None = None
        self._idle = False

    def register(self, gcode: Gcode) -> None:
        """Add the command."""
        gcode.register("SET_IDLE_TIMEOUT", self._cmd_timeout, "Set how long the machine may be idle (seconds)")

    def extend(self, simulated: float) -> None:
        """Something goes on until then."""
        now = self._clock.now()
        if self._begun is None or now > self._end + READY_DELAY:
            self._begun = now
        self._idle = False
        self._end = max(self._end, self._clock.real_from_simulated(simulated))
        if self._timer is None:
            self._arm()

    def halt(self) -> None:
        """Nothing goes on any more (shutdown)."""
        self._end = min(self._end, self._clock.now())

    def stop(self) -> None:
        """End of this printer's life."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._end + self._timeout, self._maybe_idle)

    def _maybe_idle(self) -> None:
        self._timer = None
        if self._clock.now() < self._end + self._timeout:
            self._arm()
            return
        self._idle = True
        self.on_idle()

    def _cmd_timeout(self, command: Command) -> None:
        self._timeout = command.number("TIMEOUT", self._timeout, minimum=0.001)
        if self._timer is not None:
            self._timer.cancel()
            self._arm()

    def status(self, now: float) -> dict[str, object]:
        """The `idle_timeout` object."""
        printing = self._begun is not None and now < self._end + READY_DELAY
        since = now - self._begun if printing and self._begun is not None else 0.0
        state = "Printing" if printing else "Idle" if self._idle else "Ready"
        return {"state": state, "printing_time": since, "idle_timeout": self._timeout}
