"""The only reader of time."""

import time


class Clock:
    """Wall time for showing and monotonic time for measuring; tests pass a subclass that they move themselves."""

    def wall(self) -> float:
        """Seconds since 1970 (Unix time)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only go forward; comparable within one run."""
        return time.monotonic()

    def stamp(self) -> str:
        """Local wall time as part of a file name, which sorts by age."""
        return time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(self.wall()))


SYSTEM = Clock()
