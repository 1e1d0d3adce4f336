"""Announcements: what the makers of a printer's software want its owner to know, and what has been read."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from .base import CHANGES, Bool, Float, Method, Model, NoParams, Notification, Params, Permission

OWNER = "announcements"
MAX_SNOOZE = 10 * 366 * 86_400  # seconds
_FEED = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def _feed(name: str) -> str:
    """In lower case, and fit to be part of an address and the name of a file."""
    found = _FEED.fullmatch(name.lower())
    if found is None:
        raise ValueError("expected the name of a feed: letters, digits, '.', '_' and '-'")
    return found.group()


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Feed = Annotated[str, AfterValidator(_feed)]
Priority = Literal["normal", "high"]
Source = Literal["moonlight", "internal"]


class News(Model):
    """What an announcement says."""

    entry_id: str = Field(description="Contains slashes.")
    url: str = Field(description="Where there is more; empty where nowhere.")
    title: str
    description: str = Field(description="Markdown.")
    priority: Priority = Field(description="People should see a high one at once.")
    date: float = Field(description="Unix seconds, as all times here.")
    source: Source = Field(description="`moonlight` for those of feeds.")
    feed: str


class Entry(News):
    """An announcement, and whether it has been read."""

    dismissed: bool = Field(description="It has been read, or put off.")
    date_dismissed: float | None = Field(description="When it was last dismissed.")
    dismiss_wake: float | None = Field(description="Seconds until it returns; null where it does not.")


class Board(Model):
    """Announcements, newest first, and the feeds that they come from."""

    entries: list[Entry]
    feeds: list[str]


class Entries(Model):
    """All announcements, newest first."""

    entries: list[Entry]


class ListParams(Params):
    """Which announcements."""

    include_dismissed: Bool = Field(True, description="Also those that have been read.")


class UpdateParams(Params):
    """Which feeds, all without any; over HTTP also as one text with commas."""

    subscriptions: Annotated[list[Feed], BeforeValidator(_split)] | None = None


class Updated(Model):
    """All announcements, newest first, and whether reading the feeds has changed any."""

    entries: list[Entry]
    modified: bool


class DismissParams(Params):
    """What has been read, for good or for some time."""

    entry_id: str
    wake_time: Annotated[Float | None, Field(ge=0, le=MAX_SNOOZE, allow_inf_nan=False)] = Field(
        None, description="Seconds until it returns; without it, it does not."
    )


class EntryId(Model):
    """Which announcement."""

    entry_id: str


class Feeds(Model):
    """Feeds that are read."""

    feeds: list[str]


class FeedParams(Params):
    """Which feed."""

    name: Feed = Field(description="In any case.")


class FeedAction(Model):
    """What was done about a feed."""

    feed: str
    action: Literal["added", "skipped", "removed"] = Field(description="Skipped: it was there already.")


LIST = Method(
    "server.announcements.list",
    ListParams,
    Board,
    OWNER,
    Permission.READ,
    ("GET /server/announcements/list",),
    summary="Announcements and the feeds they come from.",
)
UPDATE = Method(
    "server.announcements.update",
    UpdateParams,
    Updated,
    OWNER,
    Permission.CONTROL,
    ("POST /server/announcements/update",),
    summary="Reads the feeds now instead of within half an hour.",
)
DISMISS = Method(
    "server.announcements.dismiss",
    DismissParams,
    EntryId,
    OWNER,
    Permission.CONTROL,
    ("POST /server/announcements/dismiss",),
    flags=CHANGES,
    summary="Notes that an announcement has been read.",
)
FEEDS = Method(
    "server.announcements.feeds",
    NoParams,
    Feeds,
    OWNER,
    Permission.READ,
    ("GET /server/announcements/feeds",),
    summary="Feeds that are read.",
)
POST_FEED = Method(
    "server.announcements.post_feed",
    FeedParams,
    FeedAction,
    OWNER,
    Permission.CONTROL,
    ("POST /server/announcements/feed",),
    flags=CHANGES,
    summary="Adds a feed, which is then read.",
)
DELETE_FEED = Method(
    "server.announcements.delete_feed",
    FeedParams,
    FeedAction,
    OWNER,
    Permission.CONTROL,
    ("DELETE /server/announcements/feed",),
    flags=CHANGES,
    summary="Takes an added feed away again, with its announcements.",
)

UPDATED = Notification("notify_announcement_update", "Announcements came, changed or went.", tuple[Entries])
DISMISSED = Notification("notify_announcement_dismissed", "An announcement was dismissed.", tuple[EntryId])
WOKEN = Notification("notify_announcement_wake", "An announcement that was put off is back.", tuple[EntryId])
