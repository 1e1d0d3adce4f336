"""Klipper's log file: a new one without a restart of Klipper, which would end whatever the printer does."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from bus.agent import Bus
from bus.clock import SYSTEM
from bus.errors import Conflict, NotFound
from schemas import printer

BUSY = ("printing", "paused")
SUFFIX = ".log"
KEPT = 5  # older files that were made here


async def roll_klipper_log(bus: Bus) -> None:
    """Moves what is in Klipper's log to a file beside it; raises OSError or BusError, with the reason."""
    path = Path((await bus.call(printer.INFO.name)).get("log_file") or "")
    status = (await bus.call(printer.OBJECTS_QUERY.name, {"objects": {"print_stats": ["state"]}}))["status"]
    if _state(status) in BUSY:
        raise Conflict("A print is under way")
    await asyncio.to_thread(_roll, path)


def _state(status: dict[str, Any]) -> Any:
    return status.get("print_stats", {}).get("state")


def _roll(path: Path) -> None:
    """Klipper keeps its log open for appending: copied and emptied, it goes on at the beginning."""
    if path.suffix != SUFFIX or path.is_symlink() or not path.is_file():
        raise NotFound(f"Klipper's log '{path}' is no log file of this machine")
    shutil.copy2(path, path.with_name(f"{path.name}.{SYSTEM.stamp()}"))
    with path.open("r+") as log:
        log.truncate()
    for old in sorted(path.parent.glob(f"{path.name}.????-??-??_??-??-??"))[:-KEPT]:
        old.unlink()
