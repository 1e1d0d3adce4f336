"""Metadata of the gcodes root: read when a file is new or different, and taken along when it moves."""

import asyncio
import errno
import logging
import os
import posixpath
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import PurePosixPath
from uuid import uuid4

from bus.agent import Actor, Bus, Host
from bus.aggregate import restored
from bus.envelope import loads
from bus.errors import BusError, Internal, InvalidParams, NotFound, OutOfSpace, Unavailable, Unprocessable
from bus.log import JSON
from bus.record import Record
from schemas import files
from schemas.gcode_metadata import FileMetadata, GcodeMetadata

from .beneath import open_beneath
from .changes import temporary_name
from .chronicle import CHANGED, HISTORY, PRINTED, SCANNED, STREAM, Known, Metadata
from .disk import Disk
from .entries import File, Folder, Stamp, stamp_of
from .index import has_gcode_suffix
from .library import Done, Library
from .metadata import Busy, Job, NoSpace, NotGcode, ScanError, Scanner, gcode_name
from .pictures import Reading
from .roots import Location, Roots, explained
from .transfer import Upload

log = logging.getLogger(__name__)

UNPRINTED: Known = {"print_start_time": None, "job_id": None}
UFP = ".ufp"
AT_ONCE = 16  # files of others that are scanned before they are announced; more at once have to wait
PATIENCE = 5.0  # seconds for which a folder is not announced while what is in it is scanned
TRIES = 3  # for a file that others change while it is scanned
BUSY_SECONDS = 1.0  # after which files that wait are tried again


def is_gcode(location: Location) -> bool:
    """Whether something in the gcodes root can have metadata."""
    return location.root.name == files.GCODES and has_gcode_suffix(location.name) and not location.hidden


class Gcodes:
    """Scans, and the store of what they have found."""

    def __init__(
        self, bus: Bus, host: Host | None, store: Metadata, library: Library, disk: Disk, scanner: Scanner
    ) -> None:
        self._bus = bus
        self._host = host
        self._library = library
        self._disk = disk
        self._scanner = scanner
        self._store = store
        self._readings: set[Reading] = set()
        self._unscanned: dict[Location, None] = {}
        self._wanted = asyncio.Event()
        self._describing = asyncio.Lock()
        self._announced = 0  # files that are scanned before they are announced
        self._failed: dict[str, Stamp] = {}  # stamps of files that could not be read
        self.record = Record(bus)

    async def restore(self) -> None:
        """Learns what the log knows, and follows which files are printed."""
        self._bus.subscribe(self._bus.topics.event(HISTORY, PRINTED), self._on_printed)
        found = await restored(Metadata, self._bus, self._host)
        self._store.files, self._store.prints = found.files, found.prints

    async def run(self) -> None:
        """Scans in the background, one file after the other, for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._unscanned:
                location = next(iter(self._unscanned))
                del self._unscanned[location]
                try:
                    await self.current(location)
                except Unavailable:
                    await asyncio.sleep(BUSY_SECONDS)
                except BusError:
                    continue

    def shown(self, location: Location, file: File) -> Known | None:
        """The metadata of a file as it is, where it is known."""
        known = self._store.files.get(location.path)
        return known if known is not None and _is_of(known, file) else None

    def listed(self, location: Location, file: File) -> Known | None:
        """The same with its last print."""
        known = self.shown(location, file)
        return None if known is None else {**self.last_print(location), **known}

    def last_print(self, location: Location) -> Known:
        """When a file was printed last, and as which job; nulls for one that was not."""
        return self._store.prints.get(location.path, UNPRINTED)

    async def current(self, location: Location, *, again: bool = False) -> Known:
        """The metadata of a file, which is scanned where that is needed.

        Raises NotFound, InvalidParams, Internal; and Unavailable where another try may find it.
        """
        for _ in range(TRIES):
            known = await self._known(location, again=again)
            if known is not None:
                return known
        self._later(location)
        raise Unavailable("The file changes all the time")

    async def _known(self, location: Location, *, again: bool) -> Known | None:
        """The same, but None for a file that something has happened to meanwhile."""
        file = self._library.file(location)
        if not is_gcode(location):
            raise InvalidParams("This is not a gcode file") if again else NotFound("No metadata")
        known = None if again else self.shown(location, file)
        if known is not None:
            return known
        if self._failed.get(location.path) == file.stamp and not again:
            raise NotFound("The file has no metadata")
        try:
            return await self._scan(location)
        except NotGcode as error:
            self._failed[location.path] = file.stamp
            raise InvalidParams(str(error)) from None
        except ScanError as error:
            shown = _unscanned("The metadata could not be read", error)
            if isinstance(error, Busy):
                self._later(location)
            elif not shown.retryable:
                self._failed[location.path] = file.stamp
            raise shown from None

    @asynccontextmanager
    async def prepared(self, upload: Upload, named: Location, *, objects: bool) -> AsyncIterator[Reading]:
        """Reads what is being uploaded, and rewrites it where that is wanted; what was read lasts as long as the block.

        Raises Forbidden where the loaded file is there, and Unprocessable for an archive without gcode; for one that
        cannot be unpacked now OutOfSpace, Unavailable or Internal.
        """
        target = final(named)
        await self._library.require_replaceable(target)  # else it is read beside a print, and for nothing
        folder = await self._disk.run(_folder, target)
        async with self._reading(target, folder, archive=named != target) as reading:
            await self._prepare(reading, upload, named, objects=objects)
            yield reading

    async def _prepare(self, reading: Reading, upload: Upload, named: Location, *, objects: bool) -> None:
        archive = reading.location != named
        output = temporary_name() if objects or archive else None
        replaces = self._has_archived(reading.location)
        job = Job(upload.file, reading.folder, named.name, output, objects, reading.stem, replaces)
        try:
            scan = await self._scanner.scan(job)
        except NotGcode as error:
            raise Unprocessable(str(error)) from None
        except ScanError as error:
            log.warning("%s was not scanned: %s", named.path, error)
            if archive:
                raise _unscanned("The archive could not be unpacked", error) from None
            return
        reading.take(scan)
        if scan.rewritten and output is not None:
            await self._disk.run(upload.become, reading.folder, output)

    async def changed(self, done: Done, actor: Actor | None = None) -> None:
        """Notes a change, and has metadata ready for what is new or different."""
        self._note(done, actor)
        if done.action in ("create_file", "modify_file", "move_file") and is_gcode(done.location):
            await self._get_ready(done.location, outside=actor is None)
        elif done.action.endswith("_dir"):
            if done.action == "create_dir" and done.source is not None:
                self._adopt(done.source, done.location)
            await self._describe(done.location)

    def catch_up(self, folder: Location) -> None:
        """Has everything in a folder scanned some time, where that is needed."""
        for location in self._undescribed(folder):
            self._later(location)

    def _undescribed(self, folder: Location) -> list[Location]:
        if folder.root.name != files.GCODES:
            return []
        found = [(Location(folder.root, path), file) for path, file in self._library.index.files(folder)]
        return [each for each, file in found if is_gcode(each) and self.shown(each, file) is None]

    async def _describe(self, folder: Location) -> None:
        """Has what is in a folder scanned, as long as others can wait for that; the rest follows later."""
        waiting, now = self._undescribed(folder), asyncio.get_running_loop().time
        until = now() + PATIENCE
        while waiting and now() < until:
            async with self._describing:  # all that wait take one place of the scanner's
                with suppress(BusError):
                    await self.current(waiting.pop(0))
        for location in waiting:
            self._later(location)

    def _adopt(self, source: Location, folder: Location) -> None:
        """What is known of the files of a folder holds for their copies, next to which are copies of their pictures."""
        original = self._library.index.find(source)
        if not isinstance(original, Folder) or original.link:  # no pictures were put behind a link
            return
        for location in self._undescribed(folder) if source.root.name == files.GCODES else ():
            file = self._library.file(location)
            known = self._store.files.get(source.path + location.path[len(folder.path) :])
            if known is not None and _is_of(known, file):
                self._keep(location, GcodeMetadata.model_validate({**known, "uuid": str(uuid4())}))

    def _later(self, location: Location) -> None:
        self._unscanned[location] = None
        self._wanted.set()

    async def _get_ready(self, location: Location, *, outside: bool) -> None:
        if outside and self._announced >= AT_ONCE:  # uploads have to be scanned meanwhile
            return self._later(location)
        self._announced += outside
        try:
            with suppress(BusError):
                await self.current(location)
        finally:
            self._announced -= outside

    def _note(self, done: Done, actor: Actor | None) -> None:
        source = done.source if done.action.startswith("move") else None
        for reading in self._readings:
            reading.disturbed |= any(each.holds(reading.location) for each in (done.location, source or done.location))
        data: dict[str, JSON] = {"action": done.action, "root": done.location.root.name, "path": done.location.path}
        if source is not None:
            data |= {"source_root": source.root.name, "source_path": source.path}
        self._store.take(CHANGED, data)
        self._library.index.touch(files.GCODES)
        if not (done.location.hidden and (source or done.location).hidden):
            self.record.note(STREAM, CHANGED, data, actor)
        if done.metadata is not None:
            self._keep(done.location, done.metadata)

    def _keep(self, location: Location, metadata: GcodeMetadata) -> Known:
        known: Known = metadata.model_dump(mode="json", exclude_unset=True)
        data: dict[str, JSON] = {"path": location.path, "metadata": known}
        self._store.take(SCANNED, data)
        self._failed.pop(location.path, None)
        self._library.index.touch(files.GCODES)
        self.record.note(STREAM, SCANNED, data)
        return known

    async def _scan(self, location: Location) -> Known | None:
        """Reads a file and keeps what it finds; None where something has happened to the file meanwhile."""
        file, stamp, folder, linked = await self._disk.run(_opened, self._library.roots, location)
        try:
            async with self._reading(location, folder) as reading:
                job = Job(file, folder, location.name, pictures=None if linked else reading.stem)
                reading.take(await self._scanner.scan(job))
                async with self._library.unchanged(location, stamp) as unchanged:
                    if not unchanged or reading.disturbed:
                        return None
                    metadata = await self._disk.run(reading.place)
                    return None if metadata is None else self._keep(location, metadata)
        finally:
            await self._disk.run(os.close, file)

    @asynccontextmanager
    async def _reading(self, location: Location, folder: int, *, archive: bool = False) -> AsyncIterator[Reading]:
        reading = Reading(location, folder, archive=archive)
        self._readings.add(reading)
        try:
            yield reading
        finally:
            self._readings.remove(reading)
            await self._disk.run(reading.close)

    def _has_archived(self, location: Location) -> bool:
        """Whether an earlier archive of that name has brought a picture, which a scan would take for the file's own."""
        own = f"{PurePosixPath(location.name).stem}.png"
        known = self._store.files.get(location.path, {})
        return any(posixpath.basename(each["relative_path"]) == own for each in known.get("thumbnails", ()))

    def _on_printed(self, _topic: str, payload: bytes) -> None:
        self._store.take(PRINTED, loads(payload)["data"])
        self._library.index.touch(files.GCODES)


def _is_of(known: Known, file: File) -> bool:
    return (known["size"], known["modified"]) == (file.size, file.modified)


def file_metadata(location: Location, known: Known, last_print: Known) -> Known:
    """Metadata as it is answered."""
    shown = FileMetadata.of(GcodeMetadata.model_validate(known), location.path, **last_print)
    found: Known = shown.model_dump(mode="json", exclude_unset=True)
    return found


def thumbnails(location: Location, known: Known) -> list[Known]:
    """The thumbnails of a file, with paths relative to the root."""
    return [
        {
            "width": each["width"],
            "height": each["height"],
            "size": each["size"],
            "thumbnail_path": posixpath.join(location.parent.path, each["relative_path"]),
        }
        for each in known.get("thumbnails", ())
    ]


def final(target: Location) -> Location:
    """Where an upload really ends: an archive becomes the gcode that is in it, but for a hidden one."""
    if is_gcode(target) and target.name.lower().endswith(UFP):
        return target.parent.child(gcode_name(target.name))
    return target


def _unscanned(what: str, error: ScanError) -> BusError:
    """What is answered where a scan failed; one that another try may mend is retryable."""
    if isinstance(error, NoSpace):
        return OutOfSpace(f"{what}: no space left on the disk")
    if isinstance(error, Busy) or error.__cause__ is not None:  # the worker has gone
        return Unavailable(f"{what}: {error}")
    return Internal(f"{what}: {error}")


def _folder(target: Location) -> int:
    """The folder of a file."""
    with explained(InvalidParams, "The folder"):
        return open_beneath(target.root.handle, target.parent.path)


def _opened(roots: Roots, location: Location) -> tuple[int, Stamp, int, bool]:
    """A file and its stamp, its folder, and whether that is behind a link and so not to be written to."""
    file = roots.open_file(location)
    try:
        return file, stamp_of(os.fstat(file)), *_folder_of(roots, location)
    except BaseException:
        os.close(file)
        raise


def _folder_of(roots: Roots, location: Location) -> tuple[int, bool]:
    with explained(InvalidParams, "The folder"):
        try:
            return open_beneath(location.root.handle, location.parent.path), False
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return roots.open(location.parent), True
