"""What this machine has to try peripherals on: uevents on request, a virtual CAN bus, cameras; and what it has not."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORTS = [port / "uevent" for port in sorted(Path("/sys/class/tty").glob("*"))]
HOTPLUG = [port for port in PORTS if os.access(port, os.W_OK)]
VCAN = "vcanpbtest"
CAMERAS = sorted(Path("/dev").glob("video*"))


def change() -> None:
    """Has the kernel tell of the first terminal anew."""
    HOTPLUG[0].write_text("change")


@contextmanager
def virtual_can() -> Iterator[str | None]:
    """The name of a virtual CAN bus while the block lasts; None where the kernel makes none for us."""
    made = _ip("add", "dev", VCAN, "type", "vcan")
    try:
        yield VCAN if made and _ip("set", VCAN, "up") else None
    finally:
        if made:
            _ip("delete", VCAN)


def missing() -> list[str]:
    """What could not be tried."""
    with virtual_can() as can:
        lacks = {
            "hot-plug: /sys/class/tty/*/uevent cannot be written to": not HOTPLUG,
            "a CAN bus: no virtual one can be made (vcan), so nodes answered on a pair of sockets": can is None,
            "V4L2 devices: there is no /dev/video*, so their structures were tried as bytes": not CAMERAS,
        }
    return [what for what, lacking in lacks.items() if lacking]


def _ip(*arguments: str) -> bool:
    try:
        return subprocess.run(["ip", "link", *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
