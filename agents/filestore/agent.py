"""The filestore agent: answers for files, announces what changes, and carries contents over topics."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any

from bus.agent import Agent, Bus, Call, Host, Raw, implements
from bus.clock import SYSTEM, Clock
from bus.envelope import dumps, loads
from bus.errors import BusError, Conflict, InvalidParams
from bus.mandate import Mandate
from schemas import NoParams, files, printer

from . import changes, mounts
from .chronicle import Metadata
from .disk import Disk
from .gcodes import Gcodes, file_metadata, final, is_gcode, thumbnails
from .library import Done, Library
from .logs import Logs
from .metadata import Limits, Scanner, can_add_objects
from .notices import Hold, Notices, item, moved_from
from .pictures import Pictures, Reading
from .places import Place, klipper_places, outside, places, reserved
from .prints import Begun, Prints
from .roots import Location, Root, Roots
from .settings import FileStoreSettings
from .transfer import Download, Upload, prepare_folder
from .transfers import Transfers, owner_of
from .watch import News, Watcher

log = logging.getLogger(__name__)

OK = "ok"
NO_OBJECTS = "filestore: 'enable_object_processing' needs the extra 'objects': pip install printbus[objects]"
UPLOAD_KEPT = 3600.0  # seconds for which an interrupted upload can be continued
FRESH = 1.0  # seconds for which a root that is not observed counts as known
MIB = 1 << 20


class FileStore(Agent):
    """The file manager."""

    name = "filestore"
    components = ("file_manager",)
    folds = (Metadata,)
    settings_model = FileStoreSettings
    settings: FileStoreSettings

    def __init__(self, bus: Bus, settings: FileStoreSettings, host: Host | None = None, clock: Clock = SYSTEM) -> None:
        super().__init__(bus, settings, host)
        self._clock = clock
        self._disk = Disk()
        links = settings.links
        self._roots = Roots(reserved(bus.data), None if links is None else [str(link) for link in links])
        self._logs = Logs(self._roots)
        self._prints = Prints(bus, self._roots, queues=settings.queue_gcode_uploads)
        store, notices = Metadata(), Notices(self._announce)
        self._library = Library(self._roots, self._disk, notices, self._prints.loaded, self._settle, Pictures(store))
        self._scanner = Scanner(Limits(timeout=settings.metadata_timeout))
        self._gcodes = Gcodes(bus, host, store, self._library, self._disk, self._scanner)
        self._ready = asyncio.Event()
        self._seen: dict[str, float] = {}  # when roots that are not observed were looked at
        self._observed: set[str] = set()
        self._klipper = asyncio.Event()
        self._life: asyncio.TaskGroup | None = None  # ends before the threads that its tasks need

    async def live(self, started: Callable[[], None]) -> None:
        """The agent's life; calls that end with it can still use the disk."""
        try:
            await super().live(started)
        finally:
            self._roots.close()
            self._disk.close()

    async def run(self) -> None:
        """Reads the roots, then observes them until cancelled."""
        if self.settings.enable_object_processing and not can_add_objects():
            self._warn(NO_OBJECTS)
        topics = self.bus.topics
        self._transfers = Transfers(self.bus, self._disk)
        self._watcher = Watcher(self._roots, self._library.index, self._disk, self._on_news)
        if self.host is not None:
            self.host.watch(self._transfers)
        try:
            await self._gcodes.restore()
            await self._open_roots()
            self.bus.subscribe(topics.state(printer.OWNER, "server"), self._on_printer)
            async with self._scanner, asyncio.TaskGroup() as tasks:
                self._life = tasks
                tasks.create_task(self._gcodes.record.run(), name="filestore: facts")
                tasks.create_task(self._gcodes.run(), name="filestore: scans")
                tasks.create_task(self._transfers.run(), name="filestore: transfers")
                tasks.create_task(self._watcher.run(), name="filestore: watcher")
                tasks.create_task(self._observe(), name="filestore: roots")
                tasks.create_task(self._tidy(), name="filestore: unfinished")
                tasks.create_task(self._follow_klipper(), name="filestore: klipper")
        finally:
            self._life = None
            if self.host is not None:
                self.host.unwatch(self._transfers)

    def _warn(self, text: str) -> None:
        log.warning("%s", text)
        if self.host is not None:
            self.host.warn(self.name, text)

    async def _open_roots(self) -> None:
        for place in places(self.settings, self.bus.data):
            await self._open(place)
        await self._disk.run(changes.remove_unfinished, self._roots, before=self._clock.wall() - UPLOAD_KEPT)
        self._show_roots()
        self._ready.set()

    async def _tidy(self) -> None:
        """Removes what nobody has come to continue."""
        while True:
            await asyncio.sleep(UPLOAD_KEPT)
            before = self._clock.wall() - UPLOAD_KEPT
            await self._disk.run(changes.remove_unfinished, self._roots, before=before, parts_only=True)

    async def _open(self, place: Place) -> Location | None:
        found = await self._library.open(place.name, place.path, writable=place.writable)
        self._seen[place.name] = self._now()
        return found

    def _show_roots(self) -> None:
        document = dumps({"roots": [root.name for root in self._roots]})
        self.bus.publish(self.bus.topics.state(self.name, "roots"), document, retain=True)

    # -- what others change

    async def _observe(self) -> None:
        with mounts.watched(self._on_mounts):
            await self._watch_roots()
            while True:
                await asyncio.sleep(self.settings.rescan_interval)
                self._watcher.look(*(place for root in self._roots for place in self._unobserved(root)))

    def _unobserved(self, root: Root) -> list[Location]:
        """What has to be looked at now and then: what links lead to, or all of a root."""
        if root.name in self._observed:
            return self._library.index.links(root)
        return [Location(root)] if root.writable else []

    async def _watch_roots(self) -> None:
        for root in list(self._roots):
            if root.writable and self.settings.observe and await self._disk.run(mounts.observable, root.path):
                self._observed.add(root.name)
                await self._watcher.watch(root)
        self._gcodes.catch_up(Location(self._roots.root(files.GCODES)))

    def _on_mounts(self) -> None:
        """A disk in one of the roots has come or gone."""
        if self._life is not None:
            self._life.create_task(self._watch_roots(), name="filestore: mounts")

    async def _on_news(self, news: News) -> None:
        for pair in news.renamed:
            await self._library.renamed(*pair)
        for place in news.topmost():
            await self._library.refresh(place)

    def _settle(self, done: Done) -> None:
        """Announces what somebody else has changed, once its metadata is ready."""

        async def settle() -> None:
            try:
                await self._gcodes.changed(done)
            finally:
                done.slot.release()

        if self._life is None:
            return done.slot.release()
        self._life.create_task(settle(), name="filestore: outside change")

    def _on_printer(self, _topic: str, payload: bytes) -> None:
        if payload and loads(payload)["klippy_connected"]:
            self._klipper.set()

    async def _follow_klipper(self) -> None:
        """Klipper says where its documents and example configurations are."""
        while True:
            await self._klipper.wait()
            self._klipper.clear()
            try:
                info = await self.bus.call(printer.INFO.name)
            except BusError as error:
                log.debug("Klipper has not said where it is: %s", error)
                continue
            self._logs.learn(info)
            if self.host is not None and self.settings.check_klipper_config_path:
                warning = await self._disk.run(outside, info, self._roots.root("config").path)
                self.host.warn("Klipper's configuration", warning)
            for place in klipper_places(info):
                await self._add_root(place)

    async def _add_root(self, place: Place) -> None:
        if any(root.name == place.name and root.path == str(place.path) for root in self._roots):
            return
        location = await self._open(place)
        if location is not None:
            self._show_roots()
            self._announce({"action": "root_update", "item": item(location, self._library.index.find(location))})

    def _announce(self, said: dict[str, Any]) -> None:
        self.notify(files.FILELIST_CHANGED, [said])

    # -- what is asked

    @implements(files.ROOTS)
    async def roots(self, params: NoParams, call: Call) -> list[files.Root]:
        """In the order in which they were added."""
        await self._ready.wait()
        return [
            files.Root(name=root.name, path=root.path, permissions="rw" if root.writable else "r")
            for root in self._roots
        ]

    @implements(files.LIST)
    async def list_files(self, params: files.RootParams, call: Call) -> Raw:
        """From the index."""
        await self._ready.wait()
        root = self._roots.root(params.root)
        await self._freshen(Location(root))
        return Raw(self._library.index.listing(root))

    @implements(files.GET_DIRECTORY)
    async def get_directory(self, params: files.DirectoryParams, call: Call) -> Raw:
        """From the index; only the room on the disk is looked up."""
        location = await self._located(params.path)
        await self._freshen(Location(location.root))
        folder, indexed = await self._library.folder(location)
        extras = self._gcodes.listed if params.extended and location.root.name == files.GCODES else None
        shown = self._library.index.directory(location, folder, extras, keep=indexed)
        disk = await self._disk.run(changes.disk_usage, self._roots, location)
        info = {"name": location.root.name, "permissions": "rw" if location.root.writable else "r"}
        return Raw(b'{%b,"disk_usage":%b,"root_info":%b}' % (shown, dumps(disk), dumps(info)))

    @implements(files.METADATA)
    async def metadata(self, params: files.FilenameParams, call: Call) -> Raw:
        """Of a file as it is now: one that has changed is read first."""
        location = await self._gcode(params.filename)
        return _raw(file_metadata(location, await self._gcodes.current(location), self._gcodes.last_print(location)))

    @implements(files.METASCAN)
    async def metascan(self, params: files.FilenameParams, call: Call) -> Raw:
        """Whatever is known already."""
        location = await self._gcode(params.filename)
        return _raw(
            file_metadata(location, await self._gcodes.current(location, again=True), self._gcodes.last_print(location))
        )

    @implements(files.THUMBNAILS)
    async def thumbnails(self, params: files.FilenameParams, call: Call) -> Raw:
        """None where there is no metadata."""
        location = await self._gcode(params.filename)
        try:
            return Raw(dumps(thumbnails(location, await self._gcodes.current(location))))
        except BusError:
            return Raw(b"[]")

    async def _gcode(self, filename: str) -> Location:
        """A file of the gcodes root, which the index has as it is."""
        await self._ready.wait()
        location = self._roots.within(files.GCODES, filename)
        if not self._watcher.is_unfinished(location):
            await self._library.freshen(location)
        return location

    async def _located(self, path: str) -> Location:
        await self._ready.wait()
        return self._roots.locate(path)

    async def _freshen(self, root: Location) -> None:
        """What is not observed in a root is looked at, unless that was a moment ago."""
        name = root.root.name
        if self._now() - self._seen.get(name, 0.0) < FRESH:
            return
        self._seen[name] = self._now()
        for place in self._library.index.links(root.root) if name in self._observed else [root]:
            await self._library.refresh(place)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # -- what is changed

    @implements(files.POST_DIRECTORY)
    async def post_directory(self, params: files.PathParams, call: Call) -> Raw:
        """One level."""
        location = self._roots.writable(await self._located(params.path))
        return _raw(await self._answer(call, self._library.make_folder(location)))

    @implements(files.DELETE_DIRECTORY)
    async def delete_directory(self, params: files.DeleteParams, call: Call) -> Raw:
        """With all that is in it, where that is asked for."""
        location = self._roots.writable(await self._located(params.path))
        return _raw(await self._answer(call, self._library.delete_folder(location, force=params.force)))

    @implements(files.DELETE_FILE)
    async def delete_file(self, params: files.PathParams, call: Call) -> Raw:
        """Not while it is printed."""
        location = self._roots.writable(await self._located(params.path))
        return _raw(await self._answer(call, self._library.delete_file(location)))

    @implements(files.MOVE)
    async def move(self, params: files.MoveParams, call: Call) -> Raw:
        """The answer names both ends."""
        source = self._roots.writable(await self._located(params.source), InvalidParams)
        dest = self._roots.writable(self._roots.locate(params.dest), InvalidParams)
        change = self._library.move(source, dest)
        return _raw({**await self._answer(call, change), "source_item": moved_from(source)})

    @implements(files.COPY)
    async def copy(self, params: files.MoveParams, call: Call) -> Raw:
        """The source may be anything that can be read."""
        source = await self._located(params.source)
        dest = self._roots.writable(self._roots.locate(params.dest), InvalidParams)
        return _raw(await self._answer(call, self._library.copy(source, dest)))

    @implements(files.ZIP)
    async def zip(self, params: files.ZipParams, call: Call) -> Raw:
        """Of folders, only the files directly in them."""
        now = datetime.fromtimestamp(self._clock.wall())
        name = params.dest or f"config/collection-{now:%Y%m%d-%H%M%S}.zip"
        target = self._roots.writable(await self._located(name), InvalidParams)
        items = [self._roots.locate(text) for text in params.items]
        if not items or not target.path:
            raise InvalidParams("An archive needs a name, and items")
        answer = await self._answer(call, self._library.zip(target, items, compress=not params.store_only))
        return _raw({"destination": answer["item"], "action": "zip_files"})

    async def _answer(self, call: Call, change: Awaitable[Done]) -> dict[str, Any]:
        """What the caller gets, once metadata is ready; the notification follows when that has left."""
        hold = Hold()
        call.then.append(hold.release)
        done = await change
        hold.take(done.slot)
        await self._gcodes.changed(done, call.actor)
        return {"item": item(done.location, done.entry), "action": done.action}

    @implements(files.PRINT)
    async def print_file(self, params: files.FilenameParams, call: Call) -> files.Begun:
        """Klipper's own refusal is a conflict here: the file is there, and its time has not come."""
        location = await self._gcode(params.filename)
        await self._disk.run(self._require_readable, location)
        begun = await self._prints.begin(location.path, Mandate("print", None, call.actor.as_said()))
        if begun.refusal is not None:
            raise Conflict(f"The print cannot begin: {begun.refusal}")
        return files.Begun(print_started=begun.started, print_queued=begun.queued)

    def _require_readable(self, location: Location) -> None:
        os.close(self._roots.open_file(location))

    # -- transfers

    @implements(files.UPLOAD_OPEN)
    async def open_upload(self, params: files.UploadParams, call: Call) -> Raw:
        """The file begins where it seems to belong."""
        await self._ready.wait()
        _, near = self._target(params.root, params.path, params.filename or "file")
        limit = self.settings.max_upload_size * MIB
        return _raw({**await self._transfers.open_upload(call, params, near, limit), "limit": limit})

    @implements(files.UPLOAD_COMMIT)
    async def commit_upload(self, params: files.CommitParams, call: Call) -> Raw:
        """The file is there when this is answered, or nothing of it is."""
        incoming = self._transfers.take_upload(params.id, call)
        try:
            folder, named = self._target(params.root, params.path, params.filename)
            target = final(named)
            await incoming.complete(params.size)
            await self._disk.run(incoming.upload.finish, params.checksum or incoming.asked.checksum)
            await self._disk.run(prepare_folder, folder, target)
            async with self._prepared(incoming.upload, named) as reading:
                change = self._library.place(incoming.upload, target, reading)
                answer = await self._answer(call, change) | {"action": "create_file"}  # as Moonraker has it
        except asyncio.CancelledError:  # the agent ends: another one can go on
            await self._transfers.end_upload(params.id, keep=True)
            raise
        finally:
            await self._transfers.end_upload(params.id)
        if target.root.name == files.GCODES:
            mandate = Mandate("upload", None, call.actor.as_said())  # who may upload may not always print
            begun = await self._prints.begin(target.path, mandate) if params.print else Begun()
            answer |= {"print_started": begun.started, "print_queued": begun.queued}
        return _raw(answer)

    def _prepared(self, upload: Upload, named: Location) -> AbstractAsyncContextManager[Reading | None]:
        if not is_gcode(named):
            return nullcontext()
        return self._gcodes.prepared(upload, named, objects=self.settings.enable_object_processing)

    @implements(files.UPLOAD_ABORT)
    async def abort_upload(self, params: files.TransferParams, call: Call) -> str:
        """Nothing of it remains."""
        self._transfers.take_upload(params.id, call)
        await self._transfers.end_upload(params.id)
        return OK

    @implements(files.DOWNLOAD_OPEN)
    async def open_download(self, params: files.DownloadParams, call: Call) -> Raw:
        """The file as it is now, whatever becomes of its name."""
        opened = await self._transfers.open_download(call, partial(self._opened, params.path), params.chunk)
        return _raw({**opened, "name": params.path.rstrip("/").rpartition("/")[2]})

    async def _opened(self, path: str) -> Download:
        if path in files.LOGS:
            await self._ready.wait()
            return await self._disk.run(self._logs.open, path)
        return await self._disk.run(Download, self._roots, await self._located(path))

    @implements(files.DOWNLOAD_CHECKSUM)
    async def checksum_download(self, params: files.TransferParams, call: Call) -> files.Checksum:
        """Of the whole file, whatever part of it was asked for."""
        return files.Checksum(checksum=await self._transfers.checksum(params.id, call))

    @implements(files.DOWNLOAD_CLOSE)
    async def close_download(self, params: files.TransferParams, call: Call) -> str:
        """The file is let go."""
        await self._transfers.end_download(params.id, owner_of(call))
        return OK

    def _target(self, root: str, path: str, filename: str) -> tuple[Location, Location]:
        """The folder that an upload goes into, and the file; raises InvalidParams and Forbidden."""
        folder = self._roots.within(root, path)
        target = self._roots.writable(self._roots.within(root, path, filename), InvalidParams)
        if target.path == folder.path or not filename.strip():
            raise InvalidParams("The file needs a name")
        return folder, target


def _raw(result: dict[str, Any]) -> Raw:
    return Raw(dumps(result))
