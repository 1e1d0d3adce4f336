"""Has the kernel tell of a device of this machine anew, where it lets us."""

import os
from pathlib import Path

PORTS = [port / "uevent" for port in sorted(Path("/sys/class/tty").glob("*"))]
HOTPLUG = [port for port in PORTS if os.access(port, os.W_OK)]


def change() -> None:
    """A change of the first terminal."""
    HOTPLUG[0].write_text("change")


def missing() -> str | None:
    """Why it cannot; None where it can."""
    return None if HOTPLUG else "/sys/class/tty/*/uevent cannot be written to (it takes root)"
