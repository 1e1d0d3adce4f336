"""The installation that a real Moonraker 0.11 has made (`benchmarks/installation.py`), and what it said of it."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

INSTALLATION = Path(__file__).parent / "data" / "moonraker"
DATABASE = Path("database", "moonraker-sql.db")


def said() -> dict[str, Any]:
    """What Moonraker's API answered."""
    found: dict[str, Any] = json.loads((INSTALLATION / "said.json").read_text())
    return found


def installed(folder: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(INSTALLATION, folder, ignore=shutil.ignore_patterns("said.json")))


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """A digest and the modification time of each file in a folder."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
