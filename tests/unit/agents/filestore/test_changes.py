"""What changes of files do, and what they refuse."""

import asyncio
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agents.filestore import prints
from bus.errors import Conflict, Forbidden, InvalidParams, Unavailable
from schemas import AnyMethod, files
from tests.conftest import Run
from tests.file_agent import serving
from tests.mqtt_files import gather


def test_the_printed_file_is_replaced_by_nothing(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            for name in ("demo.gcode", "other.gcode"):
                (server.gcodes / name).write_text("G28\n")
            server.prints("demo.gcode")
            orders: list[tuple[AnyMethod, dict[str, Any]]] = [
                (files.ZIP, {"items": ["gcodes/other.gcode"], "dest": "gcodes/demo.gcode"}),
                (files.COPY, {"source": "gcodes/other.gcode", "dest": "gcodes/demo.gcode"}),
                (files.MOVE, {"source": "gcodes/other.gcode", "dest": "gcodes/demo.gcode"}),
            ]
            for row, params in orders:
                with pytest.raises(Forbidden, match="printed"):
                    await server.ask(row, **params)
            assert (server.gcodes / "demo.gcode").read_text() == "G28\n"
            assert {each.name for each in server.gcodes.iterdir()} == {"demo.gcode", "other.gcode"}

    run(scenario())


def test_nothing_is_changed_while_nobody_says_what_is_printed(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prints, "PATIENCE", 0.05)

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            for folder in (server.gcodes, server.config):
                (folder / "a").write_text("G28\n")

            async def call(*args: Any, **kwargs: Any) -> Any:
                await asyncio.Event().wait()

            monkeypatch.setattr(server.bus, "call", call)
            with pytest.raises(Unavailable):
                await server.ask(files.DELETE_FILE, path="gcodes/a")
            with pytest.raises(Conflict, match="does not say"):
                await server.ask(files.PRINT, filename="a")
            assert (server.gcodes / "a").exists()
            await server.ask(files.DELETE_FILE, path="config/a")

    run(scenario())


def test_changes_happen_in_the_order_in_which_they_are_asked_for(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a").write_text("#\n")

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            asked = server.bus.call

            async def call(*args: Any, **kwargs: Any) -> Any:
                await asyncio.sleep(0.01)
                return await asked(*args, **kwargs)

            monkeypatch.setattr(server.bus, "call", call)
            await gather(
                server.send(files.MOVE, source="config/a", dest="config/b"),
                server.send(files.DELETE_FILE, path="config/b"),
                server.send(files.POST_DIRECTORY, path="config/b"),
                server.send(files.DELETE_DIRECTORY, path="config/b"),
                server.send(files.POST_DIRECTORY, path="config/a"),
            )
            expected = ["move_file", "delete_file", "create_dir", "delete_dir", "create_dir"]
            assert [action for action, _ in server.said()] == expected

    run(scenario())


def test_nothing_takes_the_place_of_a_link(tmp_path: Path, run: Run[None]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "of others.cfg").write_text("#\n")

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            (server.config / "own").mkdir()
            (server.config / "own.cfg").write_text("# own\n")
            links = [server.config / name for name in ("file.cfg", "folder", "nowhere")]
            for link, target in zip(links, ("of others.cfg", "", "nothing"), strict=True):
                link.symlink_to(outside / target)
            await server.ask(files.LIST, root="config")
            for link in links:
                dest = f"config/{link.name}"
                orders: list[tuple[AnyMethod, dict[str, Any]]] = [
                    (files.ZIP, {"items": ["config/own.cfg"], "dest": dest}),
                    (files.COPY, {"source": "config/own.cfg", "dest": dest}),
                    (files.COPY, {"source": "config/own", "dest": dest}),
                    (files.MOVE, {"source": "config/own.cfg", "dest": dest}),
                    (files.MOVE, {"source": "config/own", "dest": dest}),
                ]
                for row, params in orders:
                    with pytest.raises(Forbidden):
                        await server.ask(row, **params)
            assert all(link.is_symlink() for link in links)
            assert (outside / "of others.cfg").read_text() == "#\n"

    run(scenario())


def test_what_links_lead_to_can_be_copied(tmp_path: Path, run: Run[None]) -> None:
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "macros.cfg").write_text("#\n")

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            (server.config / "mainsail").symlink_to(outside)
            await server.ask(files.COPY, source="config/mainsail/deep/macros.cfg", dest="config/own.cfg")
            copied = await server.ask(files.COPY, source="config/mainsail", dest="config/own")
            assert (copied["action"], copied["item"]["permissions"]) == ("create_dir", "rw")
            assert (server.config / "own.cfg").read_text() == "#\n"
            own = server.config / "own"
            assert not own.is_symlink() and (own / "deep" / "macros.cfg").read_text() == "#\n"

    run(scenario())


def test_copies_of_links_contain_neither_themselves_nor_what_is_reserved(tmp_path: Path, run: Run[None]) -> None:
    (tmp_path / "moonraker.secrets").write_text("secret\n")

    async def scenario() -> None:
        async with serving(tmp_path, observe=False, roots={"home": {"path": tmp_path.parent}}) as server:
            (server.config / "all").symlink_to(tmp_path)
            (server.config / "gcodes").symlink_to(server.gcodes)
            for source in ("config/all", f"home/{tmp_path.name}"):
                with pytest.raises(Forbidden):
                    await server.ask(files.COPY, source=source, dest="gcodes/copied")
            with pytest.raises(InvalidParams):
                await server.ask(files.COPY, source="config/gcodes", dest="gcodes/copied")
            assert not list(server.gcodes.iterdir())

    run(scenario())


def test_a_link_to_a_folder_is_deleted_and_moved_as_the_folder_that_it_is_listed_as(
    tmp_path: Path, run: Run[None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.gcode").write_text("G28\n")

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            (server.gcodes / "usb").symlink_to(outside)
            with pytest.raises(InvalidParams):
                await server.ask(files.DELETE_FILE, path="gcodes/usb")
            moved = await server.ask(files.MOVE, source="gcodes/usb", dest="gcodes/stick")
            assert moved["action"] == "move_dir"
            gone = await server.ask(files.DELETE_DIRECTORY, path="gcodes/stick", force=True)
            assert gone["action"] == "delete_dir"
            assert not list(server.gcodes.iterdir()) and (outside / "kept.gcode").exists()

    run(scenario())


def test_a_file_in_place_of_a_folder_that_was_known_is_new(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.ask(files.POST_DIRECTORY, path="config/a")
            (server.config / "a").rmdir()
            (server.config / "b").write_text("#\n")
            copied = await server.ask(files.COPY, source="config/b", dest="config/a")
            assert copied["action"] == "create_file"
            assert server.said() == [("create_dir", "a"), ("delete_dir", "a"), ("create_file", "a")]

    run(scenario())


def test_an_archive_holds_each_file_once(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            for name in ("a.cfg", "b.cfg"):
                (server.config / name).write_text("#\n")
            await server.ask(files.ZIP, items="config/b.cfg, config ,config/b.cfg", dest="gcodes/all.zip")
            with zipfile.ZipFile(server.gcodes / "all.zip") as archive:
                assert archive.namelist() == ["config/b.cfg", "config/a.cfg"]

    run(scenario())
