"""Hears from udev when something is plugged in or out."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

UDEV_RUNS, USB = Path("/run/udev/control"), Path("/sys/bus/usb")
SUBSYSTEMS = ("usb", "tty", "video4linux")


@asynccontextmanager
async def heard(changed: Callable[[str], None]) -> AsyncIterator[None]:
    """Calls with the subsystem for each change while the block lasts; without udev's library, never."""
    monitor = await asyncio.to_thread(_monitor)
    if monitor is None:
        yield
        return

    def ready() -> None:
        while (device := monitor.poll(0)) is not None:
            changed(device.subsystem)

    loop = asyncio.get_running_loop()
    loop.add_reader(monitor.fileno(), ready)
    try:
        yield
    finally:
        loop.remove_reader(monitor.fileno())


def _monitor() -> Any:
    """Listens already; None where that cannot be, or nothing can be plugged in."""
    if not (UDEV_RUNS.exists() or USB.exists()):
        return None
    try:
        import pyudev  # not at the start: it takes 9 ms, and looks for its library by starting programs

        # udev tells when its links are there; in a container without it, the kernel does.
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), "udev" if UDEV_RUNS.exists() else "kernel")
        for subsystem in SUBSYSTEMS:
            monitor.filter_by(subsystem)
        monitor.start()
    except (ImportError, OSError) as error:
        log.info("what is plugged in or out is not noticed by itself: %s", error)
        return None
    return monitor
