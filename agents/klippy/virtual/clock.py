"""The two clocks: event time, which only real time moves, and simulated time, which runs `factor` times as fast."""

import time


class Clock:
    """Real seconds (CLOCK_MONOTONIC_RAW, as Klipper's eventtime) and the simulated seconds derived from them."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self._origin = self.now()

    def now(self) -> float:
        """Event time in real seconds."""
        return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)

    def simulated(self) -> float:
        """Seconds the machine has lived, counted at the speed factor."""
        return (self.now() - self._origin) * self.factor

    def real_from_simulated(self, moment: float) -> float:
        """The event time at which simulated time reaches `moment`."""
        return self._origin + moment / self.factor
