"""Pictures are those of their file, whatever happens at the same time."""

import asyncio
import io
import os
import signal
import zipfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agents.filestore import prints
from bus.errors import Forbidden, Unavailable
from schemas import AnyMethod, files, klippy
from tests.agent_bus import WAIT
from tests.conftest import Run
from tests.file_agent import FileAgent, serving, until
from tests.mqtt_files import gather
from tests.unit.agents.filestore.metadata.pictures import Colour, block, colour_of, picture
from tests.unit.agents.filestore.metadata.test_scanner import workers

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)
CURA = ";Generated with Cura_SteamEngine 5.8.0\n"


def sliced(colour: Colour, side: int = 48) -> bytes:
    """Gcode that says which colour its pictures have: one of that size, and a small one that is made of it."""
    return f"; {colour}\n{block(picture(side, side, colour=colour), f'{side}x{side}')}G28\n".encode()


def plain(colour: Colour) -> bytes:
    """Gcode of Cura, which has its picture beside it or none."""
    return f"; {colour}\n{CURA}G28\n".encode()


def archive(colour: Colour) -> bytes:
    """The same with a picture, packed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("/3D/model.gcode", plain(colour))
        made.writestr("/Metadata/thumbnail.png", picture(64, 64, colour=colour))
    return packed.getvalue()


async def shown(server: FileAgent, name: str) -> set[Colour]:
    """The colours of what is listed as pictures of a file."""
    listed = await server.ask(files.THUMBNAILS, filename=name)
    return {colour_of(server.gcodes / each["thumbnail_path"]) for each in listed}


def thumbs(server: FileAgent) -> dict[str, Colour]:
    """All pictures in the folder of the root."""
    return {path.name: colour_of(path) for path in (server.gcodes / ".thumbs").iterdir()}


def pair(stem: str, colour: Colour, side: int = 48) -> dict[str, Colour]:
    """The pictures of sliced gcode."""
    return {f"{stem}-32x32.png": colour, f"{stem}-{side}x{side}.png": colour}


@asynccontextmanager
async def waiting_for_klipper(server: FileAgent, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Changes of gcode that begin meanwhile go on when the block ends, in their order."""
    monkeypatch.setattr(prints, "PATIENCE", WAIT)
    answered, ask = asyncio.Event(), server.bus.call

    async def call(method: str, *args: Any, **kwargs: Any) -> Any:
        if method == klippy.LOADED_FILE.name:
            await answered.wait()
        return await ask(method, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(server.bus, "call", call)
        try:
            yield
        finally:
            answered.set()


class Scans:
    """Scans of a server, which wait until they are let."""

    def __init__(self, server: FileAgent) -> None:
        self._server = server
        self.pid = 0

    async def stop(self) -> None:
        """None goes on."""
        await self._server.agent._scanner.prepare()
        await until(workers)
        (self.pid,) = workers()
        os.kill(self.pid, signal.SIGSTOP)

    async def ask(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Something that needs a scan, and waits for it by now."""
        waiting = self._waiting() + 1
        asked = task(work)
        await until(lambda: self._waiting() == waiting)
        return asked

    async def end(self) -> None:
        """All go on, and end."""
        os.kill(self.pid, signal.SIGCONT)
        await until(lambda: not self._waiting())

    def _waiting(self) -> int:
        return self._server.agent._scanner._waiting


@asynccontextmanager
async def stopped(tmp_path: Path, **uploads: bytes) -> AsyncIterator[tuple[FileAgent, Scans]]:
    """A server with these files (`name.ufp` where they are archives) whose scans wait."""
    async with serving(tmp_path, observe=False) as server:
        for name, content in uploads.items():
            await server.upload(f"{name}.ufp" if content.startswith(b"PK") else f"{name}.gcode", content)
        scans = Scans(server)
        await scans.stop()
        yield server, scans


def task(work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    return asyncio.create_task(work, name="asked")


def test_an_upload_leaves_its_pictures_to_itself_when_the_old_file_moves_away(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED)) as (server, scans):
            uploading = await scans.ask(server.upload("part.gcode", sliced(GREEN)))
            async with waiting_for_klipper(server, monkeypatch):
                moving = server.send(files.MOVE, source="gcodes/part.gcode", dest="gcodes/other.gcode")
                await scans.end()
            await gather(uploading, moving)
            assert (await shown(server, "part.gcode"), await shown(server, "other.gcode")) == ({GREEN}, {RED})
            assert thumbs(server) == pair("part", GREEN) | pair("other", RED)

    run(scenario())


def test_an_upload_keeps_its_pictures_when_the_old_file_is_deleted(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED)) as (server, scans):
            uploading = await scans.ask(server.upload("part.gcode", sliced(GREEN)))
            async with waiting_for_klipper(server, monkeypatch):
                deleting = server.send(files.DELETE_FILE, path="gcodes/part.gcode")
                await scans.end()
            await gather(uploading, deleting)
            assert await shown(server, "part.gcode") == {GREEN}
            assert thumbs(server) == pair("part", GREEN)

    run(scenario())


def test_a_scan_of_the_file_before_leaves_the_pictures_of_an_upload(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED), x=b"G28\n") as (server, scans):
            uploading = await scans.ask(server.upload("part.gcode", sliced(GREEN)))
            rescanning = await scans.ask(server.ask(files.METASCAN, filename="part.gcode"))
            async with waiting_for_klipper(server, monkeypatch):
                deleting = server.send(files.DELETE_FILE, path="gcodes/x.gcode")
                await scans.end()
            uploaded, known, _ = await gather(uploading, rescanning, deleting)
            assert known["modified"] == uploaded["item"]["modified"]
            assert await shown(server, "part.gcode") == {GREEN}
            assert thumbs(server) == pair("part", GREEN)

    run(scenario())


def test_a_scan_takes_no_picture_of_a_file_that_was_there_for_a_moment(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=plain(RED), other=archive(BLUE)) as (server, scans):

            def move(source: str, dest: str) -> "asyncio.Future[Any]":
                return server.send(files.MOVE, source=f"gcodes/{source}.gcode", dest=f"gcodes/{dest}.gcode")

            rescanning = await scans.ask(server.ask(files.METASCAN, filename="part.gcode"))
            await move("part", "away")
            await move("other", "part")
            async with waiting_for_klipper(server, monkeypatch):
                moves = [move("part", "other"), move("away", "part")]
                await scans.end()
            await gather(rescanning, *moves)
            assert (await shown(server, "part.gcode"), await shown(server, "other.gcode")) == (set(), {BLUE})
            assert thumbs(server) == {"other.png": BLUE, "other-32x32.png": BLUE}

    run(scenario())


def test_a_scan_misses_no_picture_of_a_file_that_was_elsewhere_for_a_moment(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=archive(BLUE)) as (server, scans):
            rescanning = await scans.ask(server.ask(files.METASCAN, filename="part.gcode"))
            await server.ask(files.MOVE, source="gcodes/part.gcode", dest="gcodes/away.gcode")
            async with waiting_for_klipper(server, monkeypatch):
                moving = server.send(files.MOVE, source="gcodes/away.gcode", dest="gcodes/part.gcode")
                await scans.end()
            await gather(rescanning, moving)
            assert await shown(server, "part.gcode") == {BLUE}
            assert thumbs(server) == {"part.png": BLUE, "part-32x32.png": BLUE}

    run(scenario())


def test_a_scan_of_a_file_that_others_have_replaced_begins_again(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED)) as (server, scans):
            rescanning = await scans.ask(server.ask(files.METASCAN, filename="part.gcode"))
            (tmp_path / "new").write_bytes(sliced(GREEN, 64))
            (tmp_path / "new").rename(server.gcodes / "part.gcode")
            await scans.end()
            known = await rescanning
            assert known["size"] == (server.gcodes / "part.gcode").stat().st_size
            assert await shown(server, "part.gcode") == {GREEN}
            assert thumbs(server) == pair("part", GREEN, 64)

    run(scenario())


def test_an_upload_takes_no_picture_of_an_archive_that_has_come_meanwhile(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, other=archive(BLUE)) as (server, scans):
            uploading = await scans.ask(server.upload("part.gcode", plain(RED)))
            await server.ask(files.MOVE, source="gcodes/other.gcode", dest="gcodes/part.gcode")
            await scans.end()
            await uploading
            assert await shown(server, "part.gcode") == set()
            assert thumbs(server) == {}

    run(scenario())


def test_a_refused_upload_leaves_the_pictures_of_the_file_that_is_printed(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED)) as (server, scans):
            known = await server.ask(files.METADATA, filename="part.gcode")
            uploading = await scans.ask(server.upload("part.gcode", sliced(GREEN, 64)))
            server.prints("part.gcode")
            await scans.end()
            with pytest.raises(Forbidden):
                await uploading
            assert await server.ask(files.METADATA, filename="part.gcode") == known
            assert thumbs(server) == pair("part", RED)

    run(scenario())


def test_an_upload_that_is_cancelled_leaves_the_old_pictures_and_no_others(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED), x=b"G28\n") as (server, scans):
            uploading = await scans.ask(server.upload("part.gcode", sliced(GREEN, 64)))
            async with waiting_for_klipper(server, monkeypatch):
                deleting = server.send(files.DELETE_FILE, path="gcodes/x.gcode")
                await scans.end()
                server.cancel(files.UPLOAD_COMMIT)
                with pytest.raises(Unavailable):
                    await uploading
            await deleting
            assert thumbs(server) == pair("part", RED)
            assert {path.name for path in server.gcodes.iterdir()} == {"part.gcode", ".thumbs"}

    run(scenario())


def test_an_agent_that_stops_during_scans_leaves_no_pictures(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED)) as (server, scans):
            asked = [
                await scans.ask(server.upload("new.gcode", sliced(GREEN))),
                await scans.ask(server.ask(files.METASCAN, filename="part.gcode")),
            ]
            for reading in server.agent._gcodes._readings:
                (server.gcodes / ".thumbs" / f"{reading.stem}-48x48.png").write_bytes(b"half a pict")
        for each in asked:
            with pytest.raises(Unavailable):
                await each
        assert thumbs(server) == pair("part", RED)
        assert {path.name for path in server.gcodes.iterdir()} == {"part.gcode", ".thumbs"}

    run(scenario())


def test_an_upload_that_is_scanned_when_the_agent_stops_can_go_on(tmp_path: Path, run: Run[None]) -> None:
    content = sliced(RED)
    known = {"size": len(content), "checksum": sha256(content).hexdigest()}

    async def scenario() -> None:
        async with stopped(tmp_path) as (server, scans):
            uploading = await scans.ask(server.upload("part.gcode", content, checksum=known["checksum"]))
        with pytest.raises(Unavailable):
            await uploading
        async with serving(tmp_path, observe=False) as server:
            opened = await server.ask(files.UPLOAD_OPEN, filename="part.gcode", **known)
            assert opened["start"] == len(content)
            await server.ask(files.UPLOAD_COMMIT, id=opened["id"], filename="part.gcode", size=len(content))
            assert await shown(server, "part.gcode") == {RED}

    run(scenario())


def test_pictures_of_a_scan_that_loses_its_worker_are_removed(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with stopped(tmp_path, part=sliced(RED)) as (server, scans):
            rescanning = await scans.ask(server.ask(files.METASCAN, filename="part.gcode"))
            (reading,) = server.agent._gcodes._readings
            (server.gcodes / ".thumbs" / f"{reading.stem}-48x48.png").write_bytes(b"half a pict")
            os.kill(scans.pid, signal.SIGKILL)
            with pytest.raises(Unavailable):
                await rescanning
            assert thumbs(server) == pair("part", RED)
            await server.ask(files.METASCAN, filename="part.gcode")
            assert (await shown(server, "part.gcode"), thumbs(server)) == ({RED}, pair("part", RED))

    run(scenario())


def test_unfinished_pictures_of_an_earlier_run_are_removed_and_never_shown(tmp_path: Path, run: Run[None]) -> None:
    folder = tmp_path / "gcodes" / "deep" / ".thumbs"
    folder.mkdir(parents=True)
    (folder / ".printbus-0123456789abcdef-48x48.png").write_bytes(b"half a pict")
    (folder / "part.png").write_bytes(picture(48, 48))

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            assert {path.name for path in folder.iterdir()} == {"part.png"}
            (folder / ".printbus-0123456789abcdef-48x48.png").write_bytes(b"half a pict")
            (server.gcodes / "first.gcode").write_text("G28\n")
            await server.hears("create_file", "first.gcode")
            listing = await server.ask(files.GET_DIRECTORY, path="gcodes/deep/.thumbs")
            assert [each["filename"] for each in listing["files"]] == ["part.png"]
            assert server.said() == [("create_file", "first.gcode")]

    run(scenario())


def test_pictures_go_back_and_forth_and_are_replaced_with_their_file(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.upload("a.gcode", sliced(RED))
            await server.upload("b.gcode", sliced(GREEN, 64))
            await server.upload("c.ufp", archive(BLUE))
            for source, dest in (("a", "x"), ("b", "a"), ("x", "b")):
                await server.ask(files.MOVE, source=f"gcodes/{source}.gcode", dest=f"gcodes/{dest}.gcode")
            assert thumbs(server) == pair("a", GREEN, 64) | pair("b", RED) | {"c.png": BLUE, "c-32x32.png": BLUE}
            await server.ask(files.COPY, source="gcodes/a.gcode", dest="gcodes/c.gcode")
            assert (await shown(server, "a.gcode"), await shown(server, "c.gcode")) == ({GREEN}, {GREEN})
            assert thumbs(server) == pair("a", GREEN, 64) | pair("b", RED) | pair("c", GREEN, 64)
            await server.ask(files.MOVE, source="gcodes/b.gcode", dest="gcodes/c.gcode")
            assert await shown(server, "c.gcode") == {RED}
            assert thumbs(server) == pair("a", GREEN, 64) | pair("c", RED)
            await server.ask(files.MOVE, source="gcodes/c.gcode", dest="config/c.gcode")
            await server.ask(files.DELETE_FILE, path="gcodes/a.gcode")
            assert thumbs(server) == {}

    run(scenario())


@pytest.mark.parametrize(
    ("row", "params"),
    [
        (files.COPY, {"source": "gcodes/b.gcode"}),
        (files.MOVE, {"source": "gcodes/b.gcode"}),
        (files.ZIP, {"items": "gcodes/b.gcode"}),
    ],
)
def test_the_picture_of_an_archive_goes_with_it_whatever_takes_its_place(
    tmp_path: Path, run: Run[None], row: AnyMethod, params: dict[str, str]
) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.upload("a.ufp", archive(RED))
            await server.upload("b.gcode", plain(GREEN))
            await server.ask(row, dest="gcodes/a.gcode", **params)
            assert (await shown(server, "a.gcode"), thumbs(server)) == (set(), {})

    run(scenario())


def test_pictures_go_along_when_others_rename_or_delete_their_file(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as server:
            await server.upload("a.ufp", archive(RED))
            await server.upload("b.ufp", archive(GREEN))
            (server.gcodes / "a.gcode").rename(server.gcodes / "x.gcode")
            await server.hears("move_file", "x.gcode")
            assert await shown(server, "x.gcode") == {RED}
            (server.gcodes / "b.gcode").unlink()
            await server.hears("delete_file", "b.gcode")
            assert thumbs(server) == {"x.png": RED, "x-32x32.png": RED}

    run(scenario())


def test_a_renamed_file_keeps_what_only_its_ending_tells_apart(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.upload("a.gcode", sliced(RED))
            await server.ask(files.MOVE, source="gcodes/a.gcode", dest="gcodes/a.g")
            assert (await shown(server, "a.g"), thumbs(server)) == ({RED}, pair("a", RED))

    run(scenario())


def test_pictures_that_cannot_come_along_are_not_listed(tmp_path: Path, run: Run[None]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.upload("a.gcode", sliced(RED))
            (server.gcodes / "deep").mkdir()
            (server.gcodes / "deep" / ".thumbs").symlink_to(outside)
            await server.ask(files.MOVE, source="gcodes/a.gcode", dest="gcodes/deep/a.gcode")
            assert (await shown(server, "deep/a.gcode"), thumbs(server)) == (set(), {})
            assert not list(outside.iterdir())

    run(scenario())
