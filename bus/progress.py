"""A line in a terminal that shows how far something is."""

import shutil
import time
from typing import Final, NamedTuple, TextIO

REDRAW_SECONDS: Final = 0.1
BAR, WIDTH = "#", 40


class Unit(NamedTuple):
    """What is counted: its name, how much is one of it, and how many digits of it are shown."""

    name: str
    size: int = 1
    digits: int = 0

    def shown(self, number: float) -> str:
        """A number of it."""
        return f"{number / self.size:.{self.digits}f}"


MIB: Final = Unit("MiB", 1 << 20, 1)


class Progress:
    """A line that shows how far it is, where somebody can see it."""

    def __init__(self, name: str, out: TextIO, unit: Unit = MIB) -> None:
        self._name = name
        self._out = out
        self._unit = unit
        self._visible = out.isatty()
        self._began = time.monotonic()
        self._first: int | None = None
        self._drawn = 0.0

    def at(self, done: int, size: int) -> None:
        """So much of it is done."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = done, now
        if self._visible and (now - self._drawn >= REDRAW_SECONDS or done == size):
            self._drawn = now
            self._draw(self.line(done, size, now))

    def line(self, done: int, size: int, now: float) -> str:
        """What is shown at a time."""
        part = done / size if size else 1.0
        speed = (done - (self._first or 0)) / max(now - self._began, REDRAW_SECONDS)
        left = f"{(size - done) / speed:4.0f} s left" if speed > 0 and done < size else ""
        bar = (BAR * int(part * WIDTH)).ljust(WIDTH, ".")
        unit = self._unit
        numbers = f"{unit.shown(done)}/{unit.shown(size)} {unit.name}  {unit.shown(speed)} {unit.name}/s"
        return f"{self._name}  [{bar}] {part:4.0%}  {numbers} {left}"

    def broken(self, reason: str) -> None:
        """It is interrupted, and will be tried again."""
        if self._visible:
            self._draw(f"{self._name}  interrupted ({reason}), trying again")

    def end(self) -> None:
        """Leaves the line."""
        if self._visible and self._drawn:
            print(file=self._out)

    def _draw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._out.write("\r" + text[:width].ljust(width))
        self._out.flush()
