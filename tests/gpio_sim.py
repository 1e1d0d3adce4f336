"""Chips with pins that the kernel simulates (gpio-sim), where it can and we may."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path("/sys/kernel/config/gpio-sim")
DEVICES = Path("/sys/devices/platform")
PULLS = {False: "pull-down", True: "pull-up"}


def missing() -> str | None:
    """Why there can be no simulated chip, or None."""
    if not ROOT.is_dir():
        return f"the kernel's gpio-sim is not there ({ROOT})"
    return None if os.access(ROOT, os.W_OK) else f"{ROOT} may not be written"


class Chip:
    """A simulated chip; what is outside of its pins is set with `drive`."""

    def __init__(self, name: str, lines: int) -> None:
        self._folder = ROOT / name
        (self._folder / "bank").mkdir(parents=True)
        (self._folder / "bank" / "num_lines").write_text(str(lines))
        self.plug()

    @property
    def name(self) -> str:
        """What it is called below /dev."""
        return (self._folder / "bank" / "chip_name").read_text().strip()

    def plug(self) -> None:
        """It is there."""
        (self._folder / "live").write_text("1")

    def unplug(self) -> None:
        """It is not."""
        (self._folder / "live").write_text("0")

    def drive(self, line: int, high: bool) -> None:
        """Sets the level at a pin."""
        device = (self._folder / "dev_name").read_text().strip()
        (DEVICES / device / self.name / f"sim_gpio{line}" / "pull").write_text(PULLS[high])

    def remove(self) -> None:
        """Ends it."""
        with suppress(OSError):
            self.unplug()
        (self._folder / "bank").rmdir()
        self._folder.rmdir()


@contextmanager
def chip(lines: int = 8) -> Iterator[Chip]:
    """A chip for as long as the block lasts."""
    made = Chip(f"printbus-{os.getpid()}", lines)
    try:
        yield made
    finally:
        made.remove()
