"""Whether a Raspberry Pi has to slow down: what its firmware says, and what that means."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bus.kernel_files import text
from schemas.machine import Throttled

FLAGS: Mapping[int, str] = {  # by bit
    0: "Under-Voltage Detected",
    1: "Frequency Capped",
    2: "Currently Throttled",
    3: "Temperature Limit Active",
    16: "Previously Under-Volted",
    17: "Previously Frequency Capped",
    18: "Previously Throttled",
    19: "Previously Temperature Limited",
}
UNDER_VOLTAGE = 0
FIRMWARE = "sys/bus/platform/drivers/raspberrypi-firmware/*/get_throttled"
MAILBOX = "dev/vcio"  # through which the program speaks to the firmware
PROGRAM = "vcgencmd"
ANSWER = re.compile(r"throttled=(0x[0-9a-fA-F]+)")
SECONDS = 2.0


def throttled(root: Path) -> Throttled | None:
    """None where the hardware does not tell."""
    bits = _from_firmware(root)
    if bits is None and (root / MAILBOX).exists():
        bits = _from_program()
    if bits is None:
        bits = _from_voltage_monitor(root)
    return None if bits is None else described(bits)


def described(bits: int) -> Throttled:
    """The bits, also in words."""
    return Throttled(bits=bits, flags=[flag for bit, flag in FLAGS.items() if bits >> bit & 1])


def _from_firmware(root: Path) -> int | None:
    """What the kernel of Raspberry Pi OS asks the firmware."""
    found = next(map(text, root.glob(FIRMWARE)), "")
    return int(found, 16) if found else None


def _from_program() -> int | None:
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    try:
        ran = subprocess.run(  # noqa: S603
            [program, "get_throttled"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = ANSWER.search(ran.stdout)
    return int(said[1], 16) if said else None


def _from_voltage_monitor(root: Path) -> int | None:
    """All that a kernel without the firmware's interface tells."""
    for folder in root.glob("sys/class/hwmon/hwmon*"):
        if text(folder / "name") == "rpi_volt":
            return (text(folder / "in0_lcrit_alarm") == "1") << UNDER_VOLTAGE
    return None
