"""Notifications in the order of the changes they tell of, each once the caller who made the change has its answer."""

from collections import deque
from collections.abc import Callable
from typing import Any

from .entries import Entry
from .roots import Location

Said = dict[str, Any]


def item(location: Location, entry: Entry | None) -> Said:
    """A file or folder as answers and notifications show it; zeros for what is gone."""
    modified, size, permissions = (entry.modified, entry.size, entry.permissions) if entry else (0, 0, "")
    shown = {"modified": modified, "size": size, "permissions": permissions}
    return {**shown, "path": location.path, "root": location.root.name}


def moved_from(location: Location) -> Said:
    """Where something was."""
    return {"path": location.path, "root": location.root.name}


def is_watched(location: Location, *, folder: bool) -> bool:
    """Whether it is told what others do to a file or folder: not in hidden folders, nor in roots that are read only."""
    return location.root.writable and not (location if folder else location.parent).hidden


class Slot:
    """The place of one notification in the order; a change that came to nothing leaves it empty."""

    __slots__ = ("_notices", "released", "said")

    def __init__(self, notices: "Notices", said: Said | None) -> None:
        self._notices = notices
        self.said = said
        self.released = False

    def release(self) -> None:
        """Lets it go out, behind those before it."""
        self.released = True
        self._notices.flush()


class Hold:
    """Keeps the notification of a change until the answer of its call has left; which may be before it is made."""

    __slots__ = ("_left", "_slot")

    def __init__(self) -> None:
        self._slot: Slot | None = None
        self._left = False

    def take(self, slot: Slot) -> None:
        """The change has its place."""
        self._slot = slot
        if self._left:
            slot.release()

    def release(self) -> None:
        """The answer has left."""
        self._left = True
        if self._slot is not None:
            self._slot.release()


class Notices:
    """Those that have not gone out yet."""

    def __init__(self, publish: Callable[[Said], None]) -> None:
        self._publish = publish
        self._waiting: deque[Slot] = deque()

    def reserve(
        self,
        action: str,
        location: Location,
        entry: Entry | None,
        source: Location | None = None,
        *,
        ours: bool = False,
    ) -> Slot:
        """Takes the next place; what others do is said where it is watched."""
        told = ours or is_watched(location, folder=action.endswith("_dir"))
        said: Said | None = {"action": action, "item": item(location, entry)} if told else None
        if said is not None and source is not None:
            said["source_item"] = moved_from(source)
        slot = Slot(self, said)
        self._waiting.append(slot)
        return slot

    def flush(self) -> None:
        """Publishes what is released and has nothing before it."""
        waiting = self._waiting
        while waiting and waiting[0].released:
            said = waiting.popleft().said
            if said is not None:
                self._publish(said)
