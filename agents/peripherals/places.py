"""Where a device sits: the links that udev makes for it, its place on USB, and its driver."""

from collections.abc import Iterator
from pathlib import Path

from bus.kernel_files import text

# Between a port and its hardware since Linux 6.5, with drivers that say nothing.
SERIAL_BASE = "serial-base"


def link_to(root: Path, folder: str, name: str) -> str | None:
    """The first link in a folder of /dev that leads to a device, as a path below /."""
    links = sorted(each for each in (root / folder).glob("*") if each.is_symlink())
    return next((f"/{folder}/{link.name}" for link in links if link.readlink().name == name), None)


def usb_location(device: Path) -> str | None:
    """Bus and number of the USB device that a device of sysfs belongs to."""
    for folder in _upwards(device):
        if (folder / "busnum").exists():
            return f"{text(folder / 'busnum')}:{text(folder / 'devnum')}"
    return None


def driver(device: Path) -> str:
    """The name of the driver that a device has, itself or above it; empty without one."""
    for folder in _upwards(device):
        bound = folder / "driver"
        if bound.exists() and bound.resolve().parent.parent.name != SERIAL_BASE:
            return bound.resolve().name
    return ""


def _upwards(device: Path) -> Iterator[Path]:
    """The device and those above it, up to the root of devices."""
    place = device.resolve()
    while place.name != "devices" and place != place.parent:
        yield place
        place = place.parent
