"""Serial ports that hardware stands behind: UARTs and adapters."""

from pathlib import Path
from typing import Any

from bus.kernel_files import text

from .places import driver, link_to, usb_location

NO_UART = "0"  # a port that the kernel keeps ready, with nothing behind it


def serial_devices(root: Path) -> list[dict[str, Any]]:
    """All of them (peripherals.SerialDevice), by name."""
    ports = sorted(root.glob("sys/class/tty/*"))
    return [_port(root, port) for port in ports if (port / "device").exists() and text(port / "type") != NO_UART]


def _port(root: Path, port: Path) -> dict[str, Any]:
    location = usb_location(port / "device")
    own = "hardware_uart" if (port / "type").exists() else "unknown"
    return {
        "device_type": own if location is None else "usb",
        "device_path": f"/dev/{port.name}",
        "device_name": port.name,
        "driver_name": driver(port / "device"),
        "path_by_hardware": link_to(root, "dev/serial/by-path", port.name),
        "path_by_id": link_to(root, "dev/serial/by-id", port.name),
        "usb_location": location,
    }
