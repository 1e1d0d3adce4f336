"""Files that cannot be scanned now: archives do not become files, and other files get their metadata later."""

import asyncio
import io
import os
import signal
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agents.filestore import gcodes
from agents.filestore.chronicle import Metadata
from agents.filestore.disk import Disk
from agents.filestore.gcodes import Gcodes
from agents.filestore.library import Done, Library
from agents.filestore.metadata import Limits, Scanner
from agents.filestore.metadata.scanner import MAX_WAITING
from agents.filestore.notices import Notices
from agents.filestore.pictures import Pictures
from agents.filestore.roots import Location, Roots
from agents.filestore.transfer import Upload
from bus.errors import BusError, Internal, Unavailable, Unprocessable
from schemas.gcode_metadata import GcodeMetadata
from tests.agent_bus import ALICE, RecordingBus
from tests.conftest import Run
from tests.mqtt_files import gather
from tests.unit.agents.filestore.metadata.pictures import picture
from tests.unit.agents.filestore.metadata.test_scanner import KEEN, PATIENCE, until, workers

GCODE = b";Generated with Cura_SteamEngine 5.8.0\nG28\n"


def ufp(**entries: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("/3D/model.gcode", GCODE)
        for name, content in entries.items():
            archive.writestr(f"/Metadata/{name}.png", content)
    return packed.getvalue()


async def nothing_loaded() -> None:
    """No file is being printed."""


class Place:
    """The gcodes root, and who knows its metadata."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.bus, self.disk, self.roots, self.folder = RecordingBus(folder), Disk(), Roots(), folder
        self.found: list[Done] = []
        store, notices = Metadata(), Notices(lambda said: None)
        self.library = Library(self.roots, self.disk, notices, nothing_loaded, self.found.append, Pictures(store))
        self.scanner = Scanner(limits)
        self.gcodes = Gcodes(self.bus, None, store, self.library, self.disk, self.scanner)

    async def upload(self, name: str, content: bytes) -> GcodeMetadata:
        """What is known of a new file."""
        upload = Upload(self.at(name), size=None, limit=1 << 20)
        try:
            upload.write([memoryview(content)])
            async with self.gcodes.prepared(upload, self.at(name), objects=False) as reading:
                done = await self.library.place(upload, reading.location, reading)
                await self.gcodes.changed(done, ALICE)
            assert done.metadata is not None
            return done.metadata
        finally:
            upload.close()

    async def change(self, *names: str) -> None:
        """Somebody else writes files."""
        for name in names:
            (self.folder / name).write_bytes(GCODE)
        await self.library.refresh(self.at(""))
        found, self.found[:] = list(self.found), []
        await gather(*(self.gcodes.changed(done) for done in found))

    def known(self) -> set[str]:
        return {path for path, file in self.library.index.files(self.at("")) if self.gcodes.shown(self.at(path), file)}

    def at(self, path: str) -> Location:
        return Location(self.roots.root("gcodes"), path)

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    async def stopped(self) -> int:
        """A worker that does nothing."""
        await self.scanner.prepare()
        await until(workers)
        (pid,) = workers()
        os.kill(pid, signal.SIGSTOP)
        return pid


@asynccontextmanager
async def serving(folder: Path, timeout: float = PATIENCE) -> AsyncIterator[Place]:
    place = Place(folder, replace(KEEN, timeout=timeout))
    try:
        await place.library.open("gcodes", folder, writable=True)
        async with place.scanner:
            yield place
    finally:
        place.roots.close()
        place.disk.close()


@asynccontextmanager
async def scanning(place: Place) -> AsyncIterator[None]:
    """What waits is scanned."""
    running = asyncio.create_task(place.gcodes.run(), name="scans")
    yield
    running.cancel()


def test_many_files_of_others_all_get_their_metadata(tmp_path: Path, run: Run[None]) -> None:
    names = {f"{number}.gcode" for number in range(MAX_WAITING + 20)}

    async def scenario() -> None:
        async with serving(tmp_path) as place, scanning(place):
            copying = asyncio.create_task(place.change(*names), name="copy")
            await until(lambda: place.known())
            await place.upload("part.ufp", ufp())  # there is room for that
            await copying
            await until(lambda: place.known() == names | {"part.gcode"})

    run(scenario())


def test_a_file_that_finds_no_room_is_scanned_later(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcodes, "BUSY_SECONDS", 0.01)

    async def scenario() -> None:
        async with serving(tmp_path) as place, scanning(place):
            await place.change("a.gcode")
            worker = await place.stopped()
            again = [place.gcodes.current(place.at("a.gcode"), again=True) for _ in range(MAX_WAITING)]
            scans = asyncio.create_task(gather(*again), name="scans")
            await until(lambda: place.scanner._waiting == MAX_WAITING)
            await place.change("b.gcode")
            with pytest.raises(Unavailable):
                await place.gcodes.current(place.at("b.gcode"))
            os.kill(worker, signal.SIGCONT)
            await scans
            await until(lambda: place.known() == {"a.gcode", "b.gcode"})

    run(scenario())


def test_a_file_whose_scan_lost_its_worker_is_tried_again(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as place:
            worker = await place.stopped()
            changing = asyncio.create_task(place.change("a.gcode"), name="change")
            await until(lambda: place.scanner._waiting)
            os.kill(worker, signal.SIGKILL)
            await changing
            assert not place.known()
            assert (await place.gcodes.current(place.at("a.gcode")))["slicer"] == "Cura"

    run(scenario())


@pytest.mark.parametrize(
    ("fate", "timeout", "error"), [(signal.SIGKILL, PATIENCE, Unavailable), (signal.SIGSTOP, 0.5, Internal)]
)
def test_an_archive_that_is_not_unpacked_is_refused(
    tmp_path: Path, run: Run[None], fate: signal.Signals, timeout: float, error: type[BusError]
) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, timeout=timeout) as place:
            worker = await place.stopped()
            uploading = asyncio.create_task(place.upload("part.ufp", ufp()), name="upload")
            await until(lambda: place.scanner._waiting)
            os.kill(worker, fate)
            with pytest.raises(error, match="could not be unpacked"):
                await uploading
            assert not place.names()
            place.scanner._limits = KEEN  # another worker may take its time to start
            assert (await place.upload("part.ufp", ufp())).slicer == "Cura"

    run(scenario())


@pytest.mark.parametrize(("name", "content"), [("part.gcode", GCODE), ("part.ufp", ufp())])
def test_the_picture_of_an_archive_goes_with_it(tmp_path: Path, run: Run[None], name: str, content: bytes) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as place:
            first = await place.upload("part.ufp", ufp(thumbnail=picture(100, 100)))
            assert {each.relative_path for each in first.thumbnails} == {
                f".thumbs/part{end}.png" for end in ("", "-32x32")
            }
            again = await place.upload("part.ufp", ufp(thumbnail=picture(90, 90)))
            assert {each.width for each in again.thumbnails} == {90, 32}
            assert not (await place.upload(name, content)).thumbnails

    run(scenario())
    assert not list(tmp_path.rglob("*.png"))


def test_a_broken_archive_leaves_the_picture_of_the_one_before(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as place:
            await place.upload("part.ufp", ufp(thumbnail=picture(100, 100)))
            with pytest.raises(Unprocessable):
                await place.upload("part.ufp", ufp()[:-30])

    run(scenario())
    assert {each.name for each in tmp_path.rglob("*.png")} == {"part.png", "part-32x32.png"}


def test_a_folder_of_others_is_described_when_an_upload_into_it_announces_it(tmp_path: Path, run: Run[None]) -> None:
    folder = tmp_path / "gcodes"
    folder.mkdir()

    async def scenario() -> None:
        async with serving(folder) as place:
            (folder / "d").mkdir()
            (folder / "d" / "own.gcode").write_bytes(GCODE)
            await place.upload("d/part.gcode", GCODE)
            (made,) = place.found
            assert (made.action, made.location.path) == ("create_dir", "d")
            await place.gcodes.changed(made)
            assert place.known() == {"d/own.gcode", "d/part.gcode"}

    run(scenario())
