"""The facts about files, and the metadata that they amount to."""

from collections.abc import Mapping
from typing import Any, Self

from bus.fold import Fold
from bus.log import StoredEvent
from schemas.files import GCODES

STREAM = "files"
CHANGED, SCANNED = "file.changed.1", "file.scanned.1"
HISTORY, PRINTED = "history", "job.described.1"

Known = dict[str, Any]


class Metadata(Fold):
    """What is known of each gcode file, by its path in the gcodes root: it goes where the file goes, and with it.

    `prints` are the last print of each: the members `print_start_time` and `job_id` of its metadata.
    """

    name = "gcode_metadata"
    version = 2
    streams = frozenset((STREAM, HISTORY))
    published = False  # it is as large as the library

    def __init__(self) -> None:
        self.files: dict[str, Known] = {}
        self.prints: dict[str, Known] = {}

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact of the log."""
        self.take(event.type, event.data)

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        """Takes a fact, whether it is in the log already or on its way there."""
        if kind == SCANNED:
            self.files[data["path"]] = data["metadata"]
        elif kind == CHANGED:
            self._changed(data)
        elif kind == PRINTED and data["filename"] in self.files:
            self.prints[data["filename"]] = {"print_start_time": data["start_time"], "job_id": f"{data['job']:06X}"}

    def state(self) -> Any:
        """Metadata and last prints by path."""
        return {"files": self.files, "prints": self.prints}

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With that state."""
        made = cls()
        made.files, made.prints = dict(state["files"]), dict(state["prints"])
        return made

    def _changed(self, data: Mapping[str, Any]) -> None:
        action, path = data["action"], data["path"]
        inside = data["root"] == GCODES
        for known in (self.files, self.prints):
            moved: dict[str, Known] = {}
            if action.startswith("move") and data["source_root"] == GCODES:
                moved = _taken(known, data["source_path"])
            if inside and action != "create_dir":
                _taken(known, path)
            if inside:
                known |= {path + rest: what for rest, what in moved.items()}


def _taken(known: dict[str, Known], path: str) -> dict[str, Known]:
    """Removes a path and all below it; what was known, by the rest of the path."""
    found = [each for each in known if each == path or each.startswith(f"{path}/")]
    return {each[len(path) :]: known.pop(each) for each in found}
