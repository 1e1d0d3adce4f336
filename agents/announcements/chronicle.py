"""The facts about announcements, and what they amount to: feeds that were added, what they say, what was read."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Self

from bus.aggregate import Fact
from bus.fold import Fold
from bus.log import StoredEvent
from schemas.announcements import Entry, News

STREAM = "announcements"
FEED_ADDED, FEED_REMOVED = "announcement.feed_added.1", "announcement.feed_removed.1"
PUBLISHED, WITHDRAWN = "announcement.published.1", "announcement.withdrawn.1"
DISMISSED, WOKEN = "announcement.dismissed.1", "announcement.woken.1"

UNREAD: Mapping[str, Any] = {"dismissed": False, "date_dismissed": None, "wake_at": None}

Known = Mapping[str, Any]


class Story(Fold):
    """Feeds that clients have added, and announcements by id: what they say, and whether they are dismissed."""

    name = "announcements"
    version = 1
    streams = frozenset((STREAM,))
    published = False  # the agent shows them as clients know them

    def __init__(self) -> None:
        self.feeds: list[str] = []
        self.entries: dict[str, Known] = {}

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact."""
        data: Known = event.data
        if event.type == FEED_ADDED:
            self.feeds.append(data["feed"])
        elif event.type == FEED_REMOVED:
            self.feeds = [feed for feed in self.feeds if feed != data["feed"]]
        elif event.type == PUBLISHED:
            self.entries[data["entry_id"]] = {**UNREAD, **self.entries.get(data["entry_id"], {}), **data}
        elif event.type == WITHDRAWN:
            self.entries.pop(data["entry_id"], None)
        elif event.type == DISMISSED:
            self._change(data["entry_id"], dismissed=True, date_dismissed=data["date"], wake_at=data["wake_at"])
        elif event.type == WOKEN:
            self._change(data["entry_id"], dismissed=False, wake_at=None)

    def _change(self, entry_id: str, **changes: Any) -> None:
        if entry_id in self.entries:
            self.entries[entry_id] = {**self.entries[entry_id], **changes}

    def state(self) -> Any:
        """Feeds, and announcements by id."""
        return {"feeds": self.feeds, "entries": self.entries}

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With these feeds and announcements."""
        made = cls()
        made.feeds, made.entries = list(state["feeds"]), dict(state["entries"])
        return made

    def shown(self, now: float) -> list[Entry]:
        """All announcements at a wall time (Unix seconds), newest first."""
        entries = [_shown(known, now) for known in self.entries.values()]
        return sorted(entries, key=lambda entry: entry.date, reverse=True)

    def wakes(self) -> dict[str, float]:
        """When announcements return (Unix seconds), by id."""
        return {entry_id: known["wake_at"] for entry_id, known in self.entries.items() if known["wake_at"] is not None}

    def of_others(self, feeds: Collection[str]) -> list[str]:
        """Ids of announcements that come from none of these feeds."""
        return [entry_id for entry_id, known in self.entries.items() if known["feed"] not in feeds]

    def news(self, feed: str, announced: Iterable[News]) -> list[Fact]:
        """What has come, changed or gone, given all that a feed says; an id belongs to the feed that had it first."""
        mine = {each.entry_id: each for each in announced if self._owner(each.entry_id) in (None, feed)}
        gone = [entry_id for entry_id, known in self.entries.items() if known["feed"] == feed and entry_id not in mine]
        facts: list[Fact] = [(PUBLISHED, each.model_dump(mode="json")) for each in mine.values() if self._is_news(each)]
        return facts + [(WITHDRAWN, {"entry_id": entry_id}) for entry_id in gone]

    def _owner(self, entry_id: str) -> str | None:
        return self.entries[entry_id]["feed"] if entry_id in self.entries else None

    def _is_news(self, news: News) -> bool:
        known = self.entries.get(news.entry_id)
        return known is None or any(known[key] != value for key, value in news.model_dump(mode="json").items())


def _shown(known: Known, now: float) -> Entry:
    wake_at = known["wake_at"]
    wake = None if wake_at is None else max(wake_at - now, 0.0)
    return Entry(dismiss_wake=wake, **{key: value for key, value in known.items() if key != "wake_at"})
