"""The facts about files, and the metadata that they amount to."""

from collections.abc import Mapping
from typing import Any, Self

from bus.fold import Fold
from bus.log import StoredEvent
from schemas.files import GCODES

STREAM = "files"
CHANGED, SCANNED = "file.changed.1", "file.scanned.1"

Known = dict[str, Any]


class Metadata(Fold):
    """What is known of each gcode file, by its path in the gcodes root: it goes where the file goes, and with it."""

    name = "gcode_metadata"
    version = 1
    streams = frozenset((STREAM,))
    published = False  # it is as large as the library

    def __init__(self) -> None:
        self.files: dict[str, Known] = {}

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact of the log."""
        self.take(event.type, event.data)

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        """Takes a fact, whether it is in the log already or on its way there."""
        if kind == SCANNED:
            self.files[data["path"]] = data["metadata"]
        elif kind == CHANGED:
            self._changed(data)

    def state(self) -> Any:
        """Metadata by path."""
        return self.files

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With that metadata."""
        made = cls()
        made.files = dict(state)
        return made

    def _changed(self, data: Mapping[str, Any]) -> None:
        action, path = data["action"], data["path"]
        inside = data["root"] == GCODES
        moved: dict[str, Known] = {}
        if action.startswith("move") and data["source_root"] == GCODES:
            moved = self._taken(data["source_path"])
        if inside and action != "create_dir":
            self._taken(path)
        if inside:
            self.files |= {path + rest: known for rest, known in moved.items()}

    def _taken(self, path: str) -> dict[str, Known]:
        """Removes a path and all below it; what was known, by the rest of the path."""
        found = [known for known in self.files if known == path or known.startswith(f"{path}/")]
        return {known[len(path) :]: self.files.pop(known) for known in found}
