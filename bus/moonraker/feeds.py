"""Feeds of announcements that were added over Moonraker's API, as facts about ours."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from schemas.announcements import Feed

from .database import Database
from .fitting import reason
from .known import FEED_ADDED, Known
from .part import Part, fact

FEED: Final = TypeAdapter[str](Feed)


def feeds(database: Database, known: Known) -> Part:
    """Those that were never added here, not even for a while."""
    found: list[str] = []
    part = Part(lambda: [fact(FEED_ADDED, feed=feed) for feed in found])
    stored = database.note("announcements", "stored_feeds")
    for name in stored if isinstance(stored, list) else ():
        try:
            feed = FEED.validate_python(name)
        except ValidationError as error:
            part.lost.append(f"feed of announcements '{name}': {reason(error)}")
            continue
        if feed not in known.feeds and feed not in found:
            found.append(feed)
    part.new, part.carried = len(found), [f"feed of announcements '{feed}'" for feed in found]
    return part
