"""The logs that are fetched by name alone, wherever Klipper writes its own."""

import os
from pathlib import Path
from typing import Any

from bus.errors import NotFound

from .beneath import FOLDER
from .roots import Location, Root, Roots
from .transfer import Download

KLIPPER = "klippy.log"
ROOT = "logs"


class Logs:
    """Opens logs; these methods block, except `learn`."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._klipper: Path | None = None

    def learn(self, info: dict[str, Any]) -> None:
        """Takes what Klipper says of itself."""
        path = info.get("log_file")
        self._klipper = Path(path) if isinstance(path, str) and path.startswith("/") else None

    def open(self, name: str) -> Download:
        """A log by its name; raises NotFound and Forbidden."""
        if name == KLIPPER and self._klipper is not None:
            try:
                return self._open_klipper(self._klipper)
            except (NotFound, OSError):
                pass  # Klipper may run in a container, or have had its log moved
        return Download(self._roots, self._roots.within(ROOT, name))

    def _open_klipper(self, path: Path) -> Download:
        folder = os.open(path.parent, FOLDER & ~os.O_NOFOLLOW)
        try:
            root = Root(KLIPPER, os.path.realpath(path.parent), False, folder)
            return Download(self._roots, Location(root, path.name))
        finally:
            os.close(folder)
