"""Changes that others make: inotify's events, gathered until it is quiet, as places that are worth a look."""

import asyncio
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from asyncinotify import Event, Inotify, Mask

from .disk import Disk
from .entries import Folder
from .index import Index
from .roots import TEMPORARY, Location, Root, Roots

log = logging.getLogger(__name__)

QUIET = 0.1  # seconds without an event, after which what was gathered is looked at
LATEST = 1.0  # seconds that it waits at most
SETTLE = 1.0  # seconds without an event in a new folder, after which it counts as complete
EVENTS = (
    Mask.CREATE
    | Mask.CLOSE_WRITE
    | Mask.ATTRIB
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.ONLYDIR
    | Mask.EXCL_UNLINK
)
GONE, CAME = Mask.DELETE | Mask.MOVED_FROM, Mask.CREATE | Mask.MOVED_TO


@dataclass(slots=True)
class News:
    """What is worth a look: things that were renamed, and places where something is different."""

    renamed: list[tuple[Location, Location]] = field(default_factory=list)
    places: dict[Location, None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.renamed or self.places)

    def topmost(self) -> list[Location]:
        """The places without those that are in another one of them."""
        found: list[Location] = []
        for place in sorted(self.places, key=lambda each: each.path.count("/") + bool(each.path)):
            if not any(above.holds(place) for above in found):
                found.append(place)
        return found


class Watcher:
    """Watches all folders of the observed roots; `tell` gets the news."""

    def __init__(self, roots: Roots, index: Index, disk: Disk, tell: Callable[[News], Awaitable[None]]) -> None:
        self._roots = roots
        self._index = index
        self._disk = disk
        self._tell = tell
        self._inotify = Inotify()
        self._watched: dict[int, Location] = {}
        self._news = News()
        self._from: dict[int, Location] = {}  # renamed from there, to where is not known yet
        self._unfinished: set[Location] = set()  # files that somebody is still writing
        self._settling: dict[Location, float] = {}  # new folders, and when something last happened in them
        self._heard = asyncio.Event()
        self._last = self._first = 0.0
        self._warned = False

    async def run(self) -> None:
        """Listens until cancelled."""
        with self._inotify:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen(), name="filestore: inotify")
                tasks.create_task(self._report(), name="filestore: outside changes")

    async def watch(self, root: Root) -> None:
        """Watches a root that is in the index already, and looks for what has changed in between."""
        await self._watch_tree(Location(root))
        self.look(Location(root))

    def is_unfinished(self, location: Location) -> bool:
        """Whether somebody is still writing a file."""
        return location in self._unfinished

    def look(self, *places: Location) -> None:
        """Has places looked at."""
        self._news.places.update(dict.fromkeys(places))
        self._wake()

    def _wake(self) -> None:
        self._last = asyncio.get_running_loop().time()
        if not self._heard.is_set():
            self._first = self._last
        self._heard.set()

    async def _watch_tree(self, location: Location) -> None:
        for root, path, number in await self._disk.run(self._add_watches, location):
            self._watched[number] = Location(root, path)

    def _add_watches(self, location: Location) -> list[tuple[Root, str, int]]:
        """Watches a folder and all in it. Blocks."""
        found: list[tuple[Root, str, int]] = []
        waiting = [location]
        while waiting:
            at = waiting.pop()
            try:
                handle = self._roots.open(at)
            except OSError:
                continue
            try:
                watch = self._inotify.add_watch(f"/proc/self/fd/{handle}", EVENTS)
                found.append((at.root, at.path, watch.wd))
                waiting += [at.child(name) for name in _folders(handle)]
            except OSError as error:
                self._complain(error)
            finally:
                os.close(handle)
        return found

    def _complain(self, error: OSError) -> None:
        if not self._warned:
            log.warning("folders cannot be observed (%s); see fs.inotify.max_user_watches", error.strerror)
        self._warned = True

    async def _listen(self) -> None:
        async for event in self._inotify:
            if Mask.Q_OVERFLOW in event.mask:
                log.warning("too much has changed at once: all files are looked at")
                self.look(*(Location(root) for root in self._roots))
            elif event.watch is not None and event.name is not None:
                await self._hear(event, self._watched.get(event.watch.wd))
            elif event.watch is not None and Mask.IGNORED in event.mask:
                self._watched.pop(event.watch.wd, None)

    async def _hear(self, event: Event, folder: Location | None) -> None:
        name = str(event.name)
        if folder is None or name.startswith(TEMPORARY):
            return
        at, mask = folder.child(name), event.mask
        is_folder = Mask.ISDIR in mask
        if mask & (GONE | Mask.CLOSE_WRITE | Mask.MOVED_TO):
            self._unfinished.discard(at)
        if mask & Mask.MOVED_FROM:
            self._from[event.cookie] = at
            self._unfinished = {each for each in self._unfinished if not at.holds(each)}
        if is_folder and mask & CAME:
            await self._watch_tree(at)
        if mask & Mask.MOVED_TO and event.cookie in self._from:
            self._news.renamed.append((self._from.pop(event.cookie), at))
        elif is_folder and mask & CAME:
            self._arrived(at)
        elif Mask.CREATE in mask and await self._disk.run(self._is_new_file, at):
            self._unfinished.add(at)
            return self._wake()
        elif not mask & Mask.MOVED_FROM:
            self._differs(at)
        return self._wake()

    def _is_new_file(self, at: Location) -> bool:
        """Whether a new name is that of a file that is going to be written and closed: no link of any kind. Blocks."""
        try:
            parent = self._roots.open(at.parent)
        except OSError:
            return False
        try:
            found = os.lstat(at.name, dir_fd=parent)
            return stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        except OSError:
            return False
        finally:
            os.close(parent)

    def _arrived(self, folder: Location) -> None:
        if not isinstance(self._index.find(folder), Folder) and not self._in_settling(folder):
            self._settling[folder] = asyncio.get_running_loop().time()

    def _differs(self, at: Location) -> None:
        if self._in_settling(at):
            return
        if at not in self._unfinished:
            self._news.places[at] = None

    def _in_settling(self, at: Location) -> bool:
        """Whether something is in a folder that is not complete; if so, it goes on to be not."""
        for folder in self._settling:
            if folder.holds(at):
                self._settling[folder] = asyncio.get_running_loop().time()
                return True
        return False

    async def _report(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._heard.wait()
            await self._until_quiet()
            self._heard.clear()
            for lost in self._from.values():
                self._news.places[lost] = None
            self._from.clear()
            self._settled(loop.time())
            news, self._news = self._news, News()
            if news:
                await self._tell(news)
            if self._settling:
                loop.call_later(SETTLE / 2, self._wake)

    async def _until_quiet(self) -> None:
        now = asyncio.get_running_loop().time
        due = now() + QUIET
        while now() < due:
            await asyncio.sleep(due - now())
            due = min(self._last + QUIET, self._first + LATEST)

    def _settled(self, now: float) -> None:
        """Folders in which nothing happens any more become news."""
        for folder, last in list(self._settling.items()):
            busy = any(folder.holds(each) for each in self._unfinished)
            if not busy and now - last >= SETTLE:
                del self._settling[folder]
                self._news.places[folder] = None


def _folders(handle: int) -> Iterable[str]:
    with os.scandir(handle) as found:
        return [each.name for each in found if each.is_dir(follow_symlinks=False) and each.name != ".git"]
