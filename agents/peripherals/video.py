"""Cameras: those of V4L2, and through a program of their own those of libcamera."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.kernel_files import text

from .places import link_to, usb_location
from .v4l2 import Camera, look

PYTHON = "/usr/bin/python3"  # the system's, for which its package python3-libcamera is
PACKAGE = "usr/lib/python3/dist-packages/libcamera"
CHILD = Path(__file__).with_name("libcamera_child.py")
SECONDS = 10.0

Json = dict[str, Any]


def video_devices(root: Path, ask: Callable[[Path], Camera | None] = look) -> dict[str, list[Json]]:
    """All of both kinds (peripherals.VideoDevices)."""
    nodes = sorted(root.glob("sys/class/video4linux/video*"), key=lambda node: int(node.name[5:] or 0))
    asked = [(node, ask(root / "dev" / node.name)) for node in nodes]
    known = libcamera_devices() if (root / PACKAGE).exists() else []
    return {
        "v4l2_devices": [_shown(root, node, camera) for node, camera in asked if camera],
        "libcamera_devices": known,
    }


def libcamera_devices(*command: str) -> list[Json]:
    """What libcamera tells (peripherals.LibcameraDevice); nothing where it fails."""
    try:
        ran = subprocess.run(  # noqa: S603
            command or (PYTHON, str(CHILD)), capture_output=True, timeout=SECONDS, check=True
        )
        return list(json.loads(ran.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def _shown(root: Path, node: Path, camera: Camera) -> Json:
    return {
        "device_name": node.name,
        "device_path": f"/dev/{node.name}",
        "camera_name": camera.card,
        "driver_name": camera.driver,
        "hardware_bus": camera.bus,
        "modes": camera.modes,
        "capabilities": camera.capabilities,
        "version": camera.version,
        "path_by_hardware": link_to(root, "dev/v4l/by-path", node.name),
        "path_by_id": link_to(root, "dev/v4l/by-id", node.name),
        "alt_name": text(node / "name") or None,
        "usb_location": usb_location(node / "device"),
    }
