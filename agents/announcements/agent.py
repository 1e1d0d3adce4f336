"""The announcements agent: reads feeds, keeps what was read and until when it was put off, and tells of both."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bus.agent import Agent, Bus, Call, Host, implements
from bus.aggregate import Aggregate, Fact
from bus.clock import SYSTEM, Clock
from bus.envelope import dumps
from bus.errors import BusError, InvalidParams
from schemas import NoParams, announcements

from .chronicle import DISMISSED, FEED_ADDED, FEED_REMOVED, WITHDRAWN, WOKEN, Story
from .settings import MAX_FEEDS, AnnouncementsSettings
from .sources import Folder, Nowhere, Source, Web

log = logging.getLogger(__name__)

FIRST = 60.0  # seconds after the start: nothing of a start waits for the network
EVERY = 1800.0  # seconds
LOOK = 60.0  # seconds after which the wall clock is looked at again, as it may jump
FOLDER = "announcements"  # in the data folder
DOCUMENT = "announcements"  # the state document


class Announcements(Agent):
    """Announcements of feeds: those of Moonraker and Klipper, of the configuration, and those that clients add."""

    name = announcements.OWNER
    components = ("announcements",)
    settings_model = AnnouncementsSettings
    folds = (Story,)
    settings: AnnouncementsSettings

    def __init__(
        self, bus: Bus, settings: AnnouncementsSettings, host: Host | None = None, clock: Clock = SYSTEM
    ) -> None:
        super().__init__(bus, settings, host)
        self._clock = clock
        self._fixed = settings.feeds()
        self._source = _source(settings, bus.data)
        self._story = Aggregate(bus, host, Story, clock)
        self._added = asyncio.Event()  # a feed was
        self._put_off = asyncio.Event()  # an announcement was

    async def run(self) -> None:
        """Reads feeds and brings back what was put off, until cancelled."""
        await self._story.restore(self._unsubscribed)
        self._show()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(), name="announcements: feeds")
            tasks.create_task(self._wake(), name="announcements: wake")

    # -- what is answered

    @implements(announcements.LIST)
    async def list_entries(self, params: announcements.ListParams, call: Call) -> announcements.Board:
        """From memory."""
        await self._story.known()
        shown = [entry for entry in self._shown() if params.include_dismissed or not entry.dismissed]
        return announcements.Board(entries=shown, feeds=self._feeds())

    @implements(announcements.UPDATE)
    async def update(self, params: announcements.UpdateParams, call: Call) -> announcements.Updated:
        """What cannot be read stays as it was; raises InvalidParams for a feed that is not subscribed to."""
        await self._story.known()
        feeds = self._feeds() if params.subscriptions is None else params.subscriptions
        for feed in feeds:
            if feed not in self._feeds():
                raise InvalidParams(f"The feed '{feed}' is not subscribed to")
        modified = await self._read(feeds)
        if modified:
            call.then.append(self._tell_update)
        return announcements.Updated(entries=self._shown(), modified=modified)

    @implements(announcements.DISMISS)
    async def dismiss(self, params: announcements.DismissParams, call: Call) -> announcements.EntryId:
        """Raises InvalidParams for an unknown one."""
        async with self._story.lock:
            if params.entry_id not in (await self._story.known()).entries:
                raise InvalidParams(f"There is no announcement {params.entry_id}")
            now = self._clock.wall()
            wake_at = None if params.wake_time is None else now + params.wake_time
            fact: Fact = DISMISSED, {"entry_id": params.entry_id, "date": now, "wake_at": wake_at}
            await self._story.append([fact], call.actor)
        self._show()
        self._put_off.set()
        answer = announcements.EntryId(entry_id=params.entry_id)
        call.then.append(lambda: self.notify(announcements.DISMISSED, [answer]))
        return answer

    @implements(announcements.FEEDS)
    async def feeds(self, params: NoParams, call: Call) -> announcements.Feeds:
        """Those of the configuration first."""
        await self._story.known()
        return announcements.Feeds(feeds=self._feeds())

    @implements(announcements.POST_FEED)
    async def add_feed(self, params: announcements.FeedParams, call: Call) -> announcements.FeedAction:
        """Answers before the feed has been read."""
        async with self._story.lock:
            await self._story.known()
            known = self._feeds()
            if params.name in known:
                return announcements.FeedAction(feed=params.name, action="skipped")
            if len(known) >= MAX_FEEDS:
                raise InvalidParams(f"There are {len(known)} feeds already")
            await self._story.append([(FEED_ADDED, {"feed": params.name})], call.actor)
        self._show()
        self._added.set()
        return announcements.FeedAction(feed=params.name, action="added")

    @implements(announcements.DELETE_FEED)
    async def remove_feed(self, params: announcements.FeedParams, call: Call) -> announcements.FeedAction:
        """Raises InvalidParams for one that no client has added."""
        async with self._story.lock:
            if params.name not in (await self._story.known()).feeds or params.name in self._fixed:
                raise InvalidParams(f"The feed '{params.name}' was not added by a client")
            left = [feed for feed in self._feeds() if feed != params.name]
            gone = self._story.fold.of_others(left)
            facts: list[Fact] = [(FEED_REMOVED, {"feed": params.name}), *_withdrawn(gone)]
            await self._story.append(facts, call.actor)
        self._show()
        if gone:
            call.then.append(self._tell_update)
        return announcements.FeedAction(feed=params.name, action="removed")

    # -- feeds

    def _feeds(self) -> list[str]:
        return list(dict.fromkeys((*self._fixed, *self._story.fold.feeds)))

    async def _poll(self) -> None:
        pause = FIRST
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._added.wait()
            self._added.clear()
            pause = EVERY
            try:
                if await self._read(self._feeds()):
                    self._tell_update()
            except BusError as error:
                log.warning("announcements were not kept: %s", error)

    async def _read(self, feeds: Sequence[str]) -> bool:
        """Whether that has changed anything; a feed that cannot be read, or has gone meanwhile, changes nothing."""
        found = await asyncio.gather(*(self._source.read(feed) for feed in feeds))
        async with self._story.lock:
            known, modified = self._feeds(), False
            for feed, news in zip(feeds, found, strict=True):
                if news is not None and feed in known:
                    facts = self._story.fold.news(feed, news)
                    await self._story.append(facts)
                    modified = modified or bool(facts)
        if modified:
            self._show()
        return modified

    def _unsubscribed(self, story: Story) -> list[Fact]:
        """Feeds that the configuration no longer names have gone, with what they said."""
        return _withdrawn(story.of_others([*self._fixed, *story.feeds]))

    # -- what was put off

    async def _wake(self) -> None:
        while True:
            self._put_off.clear()
            try:
                pause = await self._wake_due()
            except BusError as error:
                log.warning("an announcement stays put off: %s", error)
                pause = LOOK
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._put_off.wait()

    async def _wake_due(self) -> float | None:
        """Brings back what is due; seconds until it has to be looked at again, None where nothing is put off."""
        async with self._story.lock:
            now = self._clock.wall()
            due = [entry_id for entry_id, at in self._story.fold.wakes().items() if at <= now]
            await self._story.append([(WOKEN, {"entry_id": entry_id}) for entry_id in due])
        if due:
            self._show()
        for entry_id in due:
            self.notify(announcements.WOKEN, [announcements.EntryId(entry_id=entry_id)])
        later = self._story.fold.wakes().values()
        return min(LOOK, min(later) - now) if later else None

    # -- what is told

    def _shown(self) -> list[announcements.Entry]:
        return self._story.fold.shown(self._clock.wall())

    def _show(self) -> None:
        board = announcements.Board(entries=self._shown(), feeds=self._feeds())
        self.bus.publish(self.bus.topics.state(self.name, DOCUMENT), dumps(board), retain=True)

    def _tell_update(self) -> None:
        self.notify(announcements.UPDATED, [announcements.Entries(entries=self._shown())])


def _withdrawn(entries: Sequence[str]) -> list[Fact]:
    return [(WITHDRAWN, {"entry_id": entry_id}) for entry_id in entries]


def _source(settings: AnnouncementsSettings, data: Path) -> Source:
    if settings.dev_mode:
        return Folder(data / FOLDER)
    return Web(settings.moonlight_url) if settings.enable_moonlight else Nowhere()
