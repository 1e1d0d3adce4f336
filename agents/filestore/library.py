"""The library: roots, index and notifications kept in step, whoever changes a file."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from bus.errors import Forbidden, InvalidParams, NotFound, Unavailable
from schemas.files import GCODES
from schemas.gcode_metadata import GcodeMetadata

from . import changes, entries
from .changes import Seen, observe
from .disk import Disk
from .entries import Entry, File, Folder, Stamp
from .index import Difference, Index, differences
from .notices import Notices, Slot, is_watched
from .pictures import Along, Pictures, Reading
from .roots import Location, Roots
from .transfer import Upload

log = logging.getLogger(__name__)

T = TypeVar("T")


class Done(NamedTuple):
    """A change that was made: what it was, its place among the notifications, and metadata that is new with it."""

    action: str
    location: Location
    entry: Entry | None
    slot: Slot
    source: Location | None = None
    metadata: GcodeMetadata | None = None


Loaded = Callable[[], Awaitable[Location | None]]
Settle = Callable[[Done], None]


class Library:
    """All files; one change at a time, each seen in the index before the next begins.

    `loaded` says which file must stay as it is, `settle` gets each change that nobody has asked for here, and releases
    its place; `pictures` go along with their files.
    """

    def __init__(
        self, roots: Roots, disk: Disk, notices: Notices, loaded: Loaded, settle: Settle, pictures: Pictures
    ) -> None:
        self.roots = roots
        self.index = Index()
        self._disk = disk
        self._notices = notices
        self._loaded = loaded
        self._settle = settle
        self._pictures = pictures
        self._changing = asyncio.Lock()

    async def open(self, name: str, path: Path, *, writable: bool) -> Location | None:
        """Adds a root and reads what is in it; None where there is no such folder."""
        async with self._changing:
            try:
                root = await self._disk.run(self.roots.add, name, path, writable=writable)
            except OSError as error:
                log.warning("the root '%s' is not available: %s", name, error)
                return None
            location = Location(root)
            self.index.put(Seen(location, await self._disk.run(entries.look, self.roots, location)))
            return location

    async def make_folder(self, location: Location) -> Done:
        """Makes a folder."""
        async with self._changing:
            await self._meet(location.parent)
            await self._disk.run(changes.make_folder, self.roots, location)
            return await self._done("create_dir", location)

    async def delete_folder(self, location: Location, *, force: bool) -> Done:
        """Deletes a folder; raises Forbidden where it holds the loaded file."""
        async with self._changing:
            await self._require_idle(location)
            await self._meet(location)
            try:
                await self._disk.run(changes.delete_folder, self.roots, location, force=force)
            except BaseException:
                await self._look_again(location)
                raise
            return await self._deleted("delete_dir", location)

    async def delete_file(self, location: Location) -> Done:
        """Deletes a file; raises Forbidden where it is the loaded one."""
        async with self._changing:
            await self._require_idle(location)
            await self._meet(location)
            await self._change(partial(changes.delete_file, self.roots, location), self._pictures.leaving(location))
            return await self._deleted("delete_file", location)

    async def move(self, source: Location, dest: Location) -> Done:
        """Moves or renames; raises Forbidden where that would touch the loaded file."""
        async with self._changing:
            target = await self._disk.run(changes.destination, self.roots, source, dest)
            await self._require_idle(source, target)
            await self._meet(source, target.parent)
            old = self.index.find(source)
            along = self._pictures.moving(source, target)
            was_folder, metadata = await self._change(partial(changes.move, self.roots, source, target), along)
            self._gone(await self._disk.run(observe, self.roots, source))
            done = await self._done("move_dir" if was_folder else "move_file", target, source, metadata)
            if done.entry is not None:
                self._tell(differences(target, old or done.entry, done.entry, moved=True))
            return done

    async def copy(self, source: Location, dest: Location) -> Done:
        """Copies; raises Forbidden where that would replace the loaded file."""
        async with self._changing:
            target = await self._disk.run(changes.destination, self.roots, source, dest)
            await self._require_idle(target)
            await self._meet(target.parent)
            copying = partial(changes.copy, self.roots, source, target)
            was_folder, _ = await self._change(copying, self._pictures.placing(target))
            return await self._done("create_dir" if was_folder else self._written(target), target, source)

    async def zip(self, target: Location, items: Iterable[Location], *, compress: bool) -> Done:
        """Packs files into an archive; raises Forbidden where that would replace the loaded file."""
        from . import archive  # with the library for it, which is rarely needed

        made = await self._disk.run(archive.pack, self.roots, target, list(items), compress=compress)
        try:
            async with self._changing:
                await self._require_idle(target)
                await self._meet(target.parent)
                await self._change(made.place, self._pictures.placing(target))
                return await self._done(self._written(target), target)
        finally:
            await self._disk.run(made.close)

    async def require_replaceable(self, target: Location) -> None:
        """Raises Forbidden where a file is the loaded one."""
        async with self._changing:
            await self._require_idle(target)

    async def place(self, upload: Upload, target: Location, reading: Reading | None = None) -> Done:
        """Makes what was uploaded a file, in a folder that exists; raises Forbidden where that is the loaded one."""
        async with self._changing:
            await self._require_idle(target)
            above = self._reachable(target)
            written = self._written(target)
            placing = partial(upload.place, target)
            _, metadata = await self._change(placing, self._pictures.placing(target, reading))
            if above != target:
                self.index.put(await self._disk.run(observe, self.roots, above))
                made = self.index.find(above)
                slot = self._notices.reserve("create_dir", above, made, ours=True)
                self._settle(Done("create_dir", above, made, slot))
            return await self._done(written, target, metadata=metadata)

    @asynccontextmanager
    async def unchanged(self, location: Location, stamp: Stamp) -> AsyncIterator[bool]:
        """Whether a file is the one with that stamp; nothing is changed here for the length of the block."""
        async with self._changing:
            found = await self._disk.run(entries.look_at_file, self.roots, location)
            yield found is not None and found.stamp == stamp

    async def refresh(self, location: Location) -> None:
        """Looks at a location again: what others have changed there is told in as few words as possible."""
        async with self._changing:
            await self._look_again(location)

    async def freshen(self, location: Location) -> None:
        """Looks at a file again where it is not the one that the index has."""
        found, known = await self._disk.run(entries.look_at_file, self.roots, location), self.index.find(location)
        if (found and found.stamp) != (known.stamp if isinstance(known, File) else None):
            await self.refresh(location)

    async def renamed(self, source: Location, target: Location) -> None:
        """Somebody has renamed something: one change, unless the index knows of it."""
        async with self._changing:
            unknown = self.index.find(source) is None
            if self._reachable(target) != target:
                if unknown:
                    return None  # the folder is news as a whole, when it is complete
                await self._look_again(target)
            old, before = self.index.find(source), self.index.find(target)
            gone, there = [await self._disk.run(observe, self.roots, each) for each in (source, target)]
            folder = isinstance(old, Folder)
            told = {is_watched(each, folder=folder) for each in (source, target)}
            if old is None or gone.entry is not None or type(there.entry) is not type(old) or len(told) > 1:
                if not unknown or self._reachable(source) == source:
                    await self._compare(gone, old)
                return await self._compare(there, before)
            metadata = await self._disk.run(self._pictures.moving(source, target))
            self._gone(gone)
            done = self._seen("move_dir" if folder else "move_file", there, source, ours=False)
            self._settle(done._replace(metadata=metadata))
            self._tell(differences(target, old, there.entry, moved=True))
            return None

    def file(self, location: Location) -> File:
        """A file of the index; raises NotFound."""
        found = self.index.find(location)
        if not isinstance(found, File):
            raise NotFound("File does not exist")
        return found

    async def folder(self, location: Location) -> tuple[Folder, bool]:
        """A folder, and whether it is in the index; raises InvalidParams."""
        found = self.index.find(location)
        if isinstance(found, Folder) and not found.link:
            return found, True
        looked = await self._disk.run(entries.look_at_folder, self.roots, location)
        if looked is None:
            raise InvalidParams("This folder does not exist")
        return looked, False

    async def _require_idle(self, *touched: Location) -> None:
        """Raises Forbidden where something is the loaded file, or a folder that it is in; Unavailable if none knows."""
        gcodes = [each for each in touched if each.root.name == GCODES]
        try:
            loaded = await self._loaded() if gcodes else None
        except Unavailable:
            for each in gcodes:
                if (await self._disk.run(entries.look, self.roots, each)) is not None:
                    raise
            return  # nothing has that name
        if loaded is not None and any(each.holds(loaded) for each in gcodes):
            raise Forbidden("The file is being printed")

    async def _meet(self, *touched: Location) -> None:
        """Tells of what others have just made before it is changed."""
        for each in touched:
            if self.index.find(each) is None:
                await self._look_again(each)

    def _reachable(self, location: Location) -> Location:
        """The uppermost of a location and the folders around it that the index has not, or that is a link."""
        found, above = location, location
        while above.path:
            above = above.parent
            folder = self.index.find(above)
            if not isinstance(folder, Folder) or folder.link:
                found = above
        return found

    async def _look_again(self, location: Location) -> None:
        location = self._reachable(location)
        old = self.index.find(location)
        await self._compare(await self._disk.run(observe, self.roots, location), old)

    async def _compare(self, seen: Seen, old: Entry | None) -> None:
        found = list(differences(seen.location, old, seen.entry))
        gone = [each.location for each in found if each.action == "delete_file"]
        if gone:
            await self._disk.run(self._pictures.leaving(*gone))
        self.index.put(seen)
        self._tell(found)

    def _tell(self, found: Iterable[Difference]) -> None:
        """Announces changes of others."""
        for each in found:
            slot = self._notices.reserve(each.action, each.location, each.entry)
            self._settle(Done(each.action, each.location, each.entry, slot))

    async def _change(self, work: Callable[[], T], along: Along) -> tuple[T, GcodeMetadata | None]:
        """Changes something on the disk, and what belongs to it; the second even for somebody who is cancelled."""
        return await self._disk.run(lambda: (work(), along()))

    async def _done(
        self,
        action: str,
        location: Location,
        source: Location | None = None,
        metadata: GcodeMetadata | None = None,
    ) -> Done:
        seen = await self._disk.run(observe, self.roots, location)
        return self._seen(action, seen, source)._replace(metadata=metadata)

    async def _deleted(self, action: str, location: Location) -> Done:
        self._gone(await self._disk.run(observe, self.roots, location))
        return Done(action, location, None, self._notices.reserve(action, location, None, ours=True))

    def _written(self, target: Location) -> str:
        """What it is called that a file gets its content."""
        return "modify_file" if isinstance(self.index.find(target), File) else "create_file"

    def _gone(self, seen: Seen) -> None:
        """Something has been moved away or deleted; what is there by now is news to come."""
        self.index.put(Seen(seen.location, None, seen.size, seen.modified))

    def _seen(self, action: str, seen: Seen, source: Location | None, *, ours: bool = True) -> Done:
        old = self.index.find(seen.location)
        if old is not None and seen.entry is not None and type(old) is not type(seen.entry):
            gone = "delete_dir" if isinstance(old, Folder) else "delete_file"
            self._notices.reserve(gone, seen.location, None, ours=ours).release()
        self.index.put(seen)
        entry, told = self.index.find(seen.location), source if action.startswith("move") else None
        slot = self._notices.reserve(action, seen.location, entry, told, ours=ours)
        if seen.entry is None:  # others have deleted it since
            gone = "delete_dir" if action.endswith("_dir") else "delete_file"
            after = self._notices.reserve(gone, seen.location, None, ours=ours)
            self._settle(Done(gone, seen.location, None, after))
        return Done(action, seen.location, entry, slot, source)
