"""Metadata is there when a change is answered or announced, and is that of the file as it is."""

from pathlib import Path
from typing import Any

import pytest

from agents.filestore import gcodes
from schemas import files
from tests.conftest import Run
from tests.file_agent import FileAgent, serving
from tests.unit.agents.filestore.metadata.pictures import block, picture

GCODE = block(picture(32, 32), "32x32") + "\n;Generated with Cura_SteamEngine 5.8.0\nG28\n"
COUNT = 12


def filled(folder: Path) -> None:
    """Gcode with pictures, at two depths."""
    for number in range(COUNT):
        path = folder / ("deep" if number % 2 else "") / f"{number}.gcode"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GCODE)


async def described(server: FileAgent, folder: str) -> list[dict[str, Any]]:
    """The files of a folder that have metadata."""
    found = [
        await server.ask(files.GET_DIRECTORY, path=f"gcodes/{folder}{deep}", extended=True) for deep in ("", "/deep")
    ]
    return [each for listing in found for each in listing["files"] if each.get("slicer") == "Cura"]


def test_copies_of_a_folder_are_described_as_what_is_in_it(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "gcodes" / "a")

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            for number in range(COUNT):
                await server.ask(files.METADATA, filename=f"a/{'deep/' * (number % 2)}{number}.gcode")
            monkeypatch.setattr(gcodes.Gcodes, "_scan", None)  # it is not needed
            await server.ask(files.COPY, source="gcodes/a", dest="gcodes/b")
            old, new = [await described(server, folder) for folder in "ab"]
            assert len(new) == COUNT and all(each["thumbnails"] for each in new)
            assert len({each["uuid"] for each in (*old, *new)}) == 2 * COUNT
            (thumbnail,) = await server.ask(files.THUMBNAILS, filename="b/deep/1.gcode")
            assert (server.gcodes / thumbnail["thumbnail_path"]).exists()

    run(scenario())


def test_a_folder_of_others_is_described_when_it_is_announced(tmp_path: Path, run: Run[None]) -> None:
    filled(tmp_path / "stick")

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            (tmp_path / "stick").rename(server.gcodes / "stick")
            await server.hears("create_dir", "stick")
            assert len(await described(server, "stick")) == COUNT

    run(scenario())


def test_many_files_hold_up_their_folder_for_a_while_only(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "stick")
    monkeypatch.setattr(gcodes, "PATIENCE", 0.0)

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            (tmp_path / "stick").rename(server.gcodes / "stick")
            await server.hears("create_dir", "stick")
            assert len(await described(server, "stick")) < COUNT
            await server.bus.until(lambda: len(server.agent._gcodes._store.files) == COUNT)

    run(scenario())
