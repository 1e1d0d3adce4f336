"""Whether it is worth waiting for company before a commit."""

from typing import Final

MISSES: Final = 8
"""After so many useless waits in a row only one commit in 256 waits."""


class Company:
    """Tells for how many to wait: those whom a commit has answered often have something to add at once.

    Otherwise clients that began in the middle of a commit would never share one with the others, and write in turns.
    """

    __slots__ = ("_enough", "_misses", "_skipped", "expected")

    def __init__(self) -> None:
        self.expected = 0
        """How many wait when all have come."""
        self._enough = 0
        self._misses = 0
        self._skipped = 0

    def is_worth_it(self, waiting: int, answered: int) -> bool:
        """Whether those who wait should wait for those who were answered; the rarer, the more often too few came."""
        if self._skipped < 2**self._misses - 1:
            self._skipped += 1
            return False
        self._skipped = 0
        self.expected = waiting + answered
        self._enough = waiting + answered // 2
        return True

    def came(self, waiting: int) -> None:
        """So many wait now that the waiting is over."""
        self._misses = 0 if waiting >= self._enough else min(self._misses + 1, MISSES)
