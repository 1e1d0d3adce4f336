"""What the event log of the target has already of what an import brings."""

from collections.abc import Collection
from typing import Any, Final

from ..accounts import STREAM as ACCESS
from ..accounts import Accounts
from ..fold import history, upcast
from ..log import EventLog, StoredEvent

SET, DELETED = "database.set.1", "database.deleted.1"
JOB, TOTALS, STARTED = "job.imported.1", "totals.added.1", "print.started.1"
SAVED, REMOVED = "webcam.saved.1", "webcam.removed.1"
SELECTED = "spool.selected.1"
FEED_ADDED = "announcement.feed_added.1"
STREAMS: Final = (ACCESS, "announcements", "database", "history", "print", "spoolman", "webcams")


class Known:
    """Values by namespace, jobs that an import has brought before, prints, webcams, feeds, users and API keys."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.jobs: set[tuple[float, str]] = set()  # when they began, and which file
        self.counted = False  # the totals of another program
        self.prints = 0
        self.webcams: dict[str, str] = {}  # names by uid
        self.chosen = False  # a spool, or none, by somebody here
        self.feeds: set[str] = set()  # that were added here, be they there still or not
        self._accounts = Accounts()

    @property
    def users(self) -> Collection[str]:
        """Their names."""
        return self._accounts.users

    @property
    def keys(self) -> dict[str, str]:
        """The names of their secrets, by name."""
        return {name: key["secret"] for name, key in self._accounts.keys.items()}

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact of the log."""
        data: Any = event.data
        if event.stream == ACCESS:
            self._accounts.apply(event)
        elif event.type == SET:
            put(self.values.setdefault(data["namespace"], {}), data["key"], data["value"])
        elif event.type == DELETED:
            _cut(self.values.get(data["namespace"], {}), data["key"])
        elif event.type == JOB:
            self.jobs.add((data["start_time"], data["filename"]))
        elif event.type == TOTALS:
            self.counted = True
        elif event.type == STARTED:
            self.prints += 1
        elif event.type == SELECTED:
            self.chosen = True
        elif event.type == FEED_ADDED:
            self.feeds.add(data["feed"])
        elif event.type == SAVED:
            self.webcams[data["webcam"]["uid"]] = data["webcam"]["name"]
        elif event.type == REMOVED:
            self.webcams.pop(data["uid"], None)


def known_of(log: EventLog) -> Known:
    """What a log has."""
    found = Known()
    for event in history(log, STREAMS):
        found.apply(upcast(event))
    return found


def put(members: dict[str, Any], path: list[str], value: Any) -> None:
    """Puts a value there; what is not an object on the way is replaced by one."""
    for name in path[:-1]:
        child = members.get(name)
        if not isinstance(child, dict):
            child = members[name] = {}
        members = child
    members[path[-1]] = value


def _cut(members: Any, path: list[str]) -> None:
    for name in path[:-1]:
        members = members.get(name) if isinstance(members, dict) else None
    if isinstance(members, dict):
        members.pop(path[-1], None)
