"""Where feeds are read from: the network, or a folder for those who write them."""

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Protocol

from schemas.announcements import News

log = logging.getLogger(__name__)

TIMEOUT = 5.0  # seconds for one feed
AT_ONCE = 4  # requests


class Source(Protocol):
    """Reads feeds by name."""

    async def read(self, feed: str) -> list[News] | None:
        """The announcements in a feed; None where it cannot be read."""


class Web:
    """Feeds below an address. A host without a network is nothing to complain about."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._free = asyncio.Semaphore(AT_ONCE)

    async def read(self, feed: str) -> list[News] | None:
        """Waits some seconds at most, for each feed before it."""
        from bus.fetch import Unreachable, body, fetch  # with the HTTP client, which starting does not need

        from .feed import MAX_BYTES, announcements

        async with self._free:
            try:
                take = partial(body, limit=MAX_BYTES)
                document = await fetch(f"{self._url}/{feed}.xml", take, TIMEOUT)
                return await asyncio.to_thread(announcements, document, feed)
            except (Unreachable, ValueError) as error:
                log.debug("the feed '%s' was not read: %s", feed, error)
                return None


class Folder:
    """Feeds as files; what is wrong with one is for its author to see."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def read(self, feed: str) -> list[News] | None:
        """From FEED.xml."""
        path = self._folder / f"{feed}.xml"
        try:
            return await asyncio.to_thread(_read, path, feed)
        except (OSError, ValueError) as error:
            log.warning("%s was not read: %s", path, error)
            return None


class Nowhere:
    """Nothing is read."""

    async def read(self, feed: str) -> list[News] | None:
        """Nothing."""
        return None


def _read(path: Path, feed: str) -> list[News]:
    from .feed import MAX_BYTES, announcements

    with path.open("rb") as file:
        return announcements(file.read(MAX_BYTES + 1), feed)
