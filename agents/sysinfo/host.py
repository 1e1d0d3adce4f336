"""Puts together what is known about the host: what stays as it is, and how it is connected."""

import sys
from pathlib import Path
from typing import Any

from schemas.machine import Nothing, PythonInfo

from .cpu import ARCHITECTURE, cpu_info
from .distribution import distribution
from .network import Addresses, can_interfaces, interfaces
from .sdcard import sd_info
from .virtualization import DETECTOR, virtualization

Parts = dict[str, Any]  # of machine.SystemInfo


def hardware(root: Path, processor: str = ARCHITECTURE, detector: str | None = DETECTOR) -> Parts:
    """Does not change while the program runs; blocks."""
    return {
        "python": PythonInfo(version=list(sys.version_info), version_string=sys.version.replace("\n", " ")),
        "cpu_info": cpu_info(root, processor),
        "sd_info": sd_info(root) or Nothing(),
        "distribution": distribution(root),
        "virtualization": virtualization(root, detector),
    }


def networks(root: Path, known: Addresses) -> Parts:
    """Changes at any time; blocks."""
    return {"network": interfaces(root, known), "canbus": can_interfaces(root)}
