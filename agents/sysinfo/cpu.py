"""Processor, board and memory, from what procfs says about them."""

import os
import struct
from pathlib import Path

from bus.kernel_files import text
from schemas.machine import CpuInfo

# What architectures call it: x86 and 32-bit ARM, LoongArch, RISC-V, MIPS. 64-bit ARM has nothing of the kind.
NAMES = ("model name", "Model Name", "uarch", "cpu model")
BITS = f"{struct.calcsize('P') * 8}bit"
ARCHITECTURE = os.uname().machine


def cpu_info(root: Path, processor: str = ARCHITECTURE) -> CpuInfo:
    """What cannot be read is not known."""
    cores, described = _cpuinfo(text(root / "proc/cpuinfo"))
    tree = root / "proc/device-tree"
    total, units = _memory(text(root / "proc/meminfo"))
    serials = (described.get("Serial", ""), text(tree / "serial-number"))
    return CpuInfo(
        cpu_count=cores or None,
        bits=BITS,
        processor=processor,
        cpu_desc=next((described[name] for name in NAMES if name in described), ""),
        serial_number=next(filter(None, (serial.lstrip("0") for serial in serials)), ""),
        hardware_desc=described.get("Hardware", ""),
        model=described.get("Model") or text(tree / "model"),
        total_memory=total,
        memory_units=units,
    )


def _cpuinfo(content: str) -> tuple[int, dict[str, str]]:
    """How many processors, and the first value of each key."""
    cores, found = 0, dict[str, str]()
    for line in content.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        cores += key == "processor"
        found.setdefault(key, value)
    return cores, found


def _memory(content: str) -> tuple[int | None, str]:
    """In total, and its unit."""
    for line in content.splitlines():
        match line.split():
            case ["MemTotal:", number, units] if number.isdecimal():
                return int(number), units
    return None, ""
