"""What is announced of changes, of those made here and of those of others."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.filestore import changes, watch
from agents.filestore.roots import Location, Roots
from bus.errors import InvalidParams, NotFound, Refused
from schemas import AnyMethod, files
from tests.conftest import Run
from tests.fault.test_log_full_disk import mountable
from tests.file_agent import FileAgent, serving, until


async def first_look(server: FileAgent) -> None:
    """The roots have been looked at since they are watched."""
    (server.gcodes / "first.txt").write_text("x")
    await server.hears("create_file", "first.txt")


def test_a_deletion_that_fails_holds_up_nothing(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.ask(files.POST_DIRECTORY, path="config/a")
            (server.config / "a" / "new.cfg").write_text("# x\n")
            with pytest.raises(InvalidParams):
                await server.ask(files.DELETE_DIRECTORY, path="config/a")
            await server.ask(files.POST_DIRECTORY, path="config/b")
            await server.hears("create_dir", "b")
            assert server.said() == [("create_dir", "a"), ("create_file", "a/new.cfg"), ("create_dir", "b")]

    run(scenario())


@pytest.mark.skipif(not mountable(), reason="this machine lets us mount nothing")
def test_a_folder_with_a_mounted_disk_is_refused_and_what_has_gone_of_it_is_told(
    tmp_path: Path, run: Run[None]
) -> None:
    disk = tmp_path / "gcodes" / "pd" / "m"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "disk", str(disk)], check=True, capture_output=True)

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            with pytest.raises(Refused, match="in use"):
                await server.ask(files.DELETE_DIRECTORY, path="gcodes/pd", force=True)
            await server.ask(files.POST_DIRECTORY, path="gcodes/b")
            await server.hears("create_dir", "b")

    try:
        run(scenario())
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_what_others_make_again_at_once_is_new(tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config" / "d").mkdir(parents=True)
    (tmp_path / "config" / "a.cfg").write_text("# x\n")
    nothing = {"modified": 0, "size": 0, "permissions": "", "root": "config"}

    def again(name: str, make: Callable[[Location], object]) -> None:
        change = getattr(changes, name)

        def changed(roots: Roots, location: Location, **more: bool) -> None:
            change(roots, location, **more)
            make(location)

        monkeypatch.setattr(changes, name, changed)

    again("delete_file", lambda location: Path(location.absolute).write_text("# new\n"))
    again("delete_folder", lambda location: Path(location.absolute).mkdir())

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            for row, path in ((files.DELETE_FILE, "a.cfg"), (files.DELETE_DIRECTORY, "d")):
                answer = await server.ask(row, path=f"config/{path}")
                assert answer["item"] == {**nothing, "path": path}
            assert (await server.hears("delete_file", "a.cfg"))["item"] == {**nothing, "path": "a.cfg"}
            assert (await server.hears("create_file", "a.cfg"))["item"]["size"] == len("# new\n")
            assert (await server.hears("create_dir", "d"))["item"]["permissions"] == "rw"

    run(scenario())


def test_what_others_delete_at_once_is_gone(tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a.cfg").write_text("# x\n")
    make, copy, move = changes.make_folder, changes.copy, changes.move

    def make_folder(roots: Roots, location: Location) -> None:
        make(roots, location)
        Path(location.absolute).rmdir()

    def copy_file(roots: Roots, source: Location, target: Location) -> bool:
        found = copy(roots, source, target)
        Path(target.absolute).unlink()
        return found

    def move_file(roots: Roots, source: Location, target: Location) -> bool:
        found = move(roots, source, target)
        Path(target.absolute).unlink()
        return found

    monkeypatch.setattr(changes, "make_folder", make_folder)
    monkeypatch.setattr(changes, "move", move_file)
    monkeypatch.setattr(changes, "copy", copy_file)

    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.ask(files.POST_DIRECTORY, path="config/d")
            await server.ask(files.COPY, source="config/a.cfg", dest="config/b.cfg")
            await server.ask(files.LIST, root="config")
            await server.ask(files.MOVE, source="config/a.cfg", dest="config/c.cfg")
            await server.hears("delete_file", "c.cfg")
            said = [
                ("create_dir", "d"),
                ("delete_dir", "d"),
                ("create_file", "b.cfg"),
                ("delete_file", "b.cfg"),
                ("move_file", "c.cfg"),
                ("delete_file", "c.cfg"),
            ]
            assert server.said() == said
            facts = [(fact["action"], fact["path"]) for kind, fact in server.bus.facts("files") if "changed" in kind]
            assert facts == said

    run(scenario())


@pytest.mark.parametrize(
    ("row", "params", "expected"),
    [
        (files.POST_DIRECTORY, {"path": "gcodes/new/in/d"}, ("create_dir", "new/in/d")),
        (files.COPY, {"source": "gcodes/a.gcode", "dest": "gcodes/new/in"}, ("create_file", "new/in/a.gcode")),
        (files.MOVE, {"source": "gcodes/a.gcode", "dest": "gcodes/new/in"}, ("move_file", "new/in/a.gcode")),
        (files.MOVE, {"source": "gcodes/new/in/b.gcode", "dest": "gcodes/c.gcode"}, ("move_file", "c.gcode")),
        (files.MOVE, {"source": "gcodes/new", "dest": "gcodes/old"}, ("move_dir", "old")),
        (files.ZIP, {"dest": "gcodes/new/a.zip", "items": ["gcodes/a.gcode"]}, ("create_file", "new/a.zip")),
        (files.DELETE_FILE, {"path": "gcodes/new/in/b.gcode"}, ("delete_file", "new/in/b.gcode")),
        (files.DELETE_DIRECTORY, {"path": "gcodes/new/in", "force": True}, ("delete_dir", "new/in")),
    ],
)
def test_a_folder_that_others_have_just_made_is_told_of_before_what_is_done_in_it(
    tmp_path: Path, run: Run[None], row: AnyMethod, params: dict[str, Any], expected: tuple[str, str]
) -> None:
    (tmp_path / "gcodes").mkdir()
    (tmp_path / "gcodes" / "a.gcode").write_text("G28\n")

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            (server.gcodes / "new" / "in").mkdir(parents=True)
            (server.gcodes / "new" / "in" / "b.gcode").write_text("G28\n")
            await server.ask(row, **params)
            told = await server.hears(*expected)
            assert bool(told["item"]["size"]) is not expected[0].startswith("delete")
            assert server.said() == [("create_dir", "new"), expected]

    run(scenario())


def test_a_change_whose_answer_came_too_late_holds_up_nothing(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            server.impatient = True
            await server.ask(files.POST_DIRECTORY, path="gcodes/a")
            await server.hears("create_dir", "a")

    run(scenario())


def test_places_that_have_come_to_be_behind_a_bad_link_are_gone(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            location = server.agent._roots.locate("gcodes/a/x.gcode")
            (server.gcodes / "a").symlink_to("/proc")
            await server.agent._library.renamed(location, location)

    run(scenario())


def test_what_others_put_into_a_folder_is_told_after_its_move(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            await server.ask(files.POST_DIRECTORY, path="gcodes/b")
            (server.gcodes / "b" / "new.gcode").write_text("G28\n")
            await server.ask(files.MOVE, source="gcodes/b", dest="gcodes/c")
            await server.hears("create_file", "c/new.gcode")
            assert server.said()[1:] == [("move_dir", "c"), ("create_file", "c/new.gcode")]

    run(scenario())


def test_what_others_put_into_a_folder_that_they_rename_at_once_is_told(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as server:
            await server.ask(files.POST_DIRECTORY, path="gcodes/a")
            (server.gcodes / "a" / "new.gcode").write_text("G28\n")
            (server.gcodes / "a").rename(server.gcodes / "b")
            await server.hears("create_file", "b/new.gcode")
            assert server.said()[1:] == [("move_dir", "b"), ("create_file", "b/new.gcode")]
            (server.gcodes / "b").rename(server.gcodes / "c")
            await server.hears("move_dir", "c")
            await server.ask(files.POST_DIRECTORY, path="gcodes/end")
            assert server.said()[3:] == [("move_dir", "c"), ("create_dir", "end")]

    run(scenario())


def test_what_others_rename_into_a_folder_that_they_have_just_made_is_told_after_it(
    tmp_path: Path, run: Run[None]
) -> None:
    (tmp_path / "gcodes").mkdir()
    (tmp_path / "gcodes" / "a.gcode").write_text("G28\n")

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            await first_look(server)
            (server.gcodes / "d").mkdir()
            await until(lambda: "d" in {each.path for each in server.agent._watcher._watched.values()})
            (server.gcodes / "a.gcode").rename(server.gcodes / "d" / "a.gcode")
            moved = await server.hears("move_file", "d/a.gcode")
            assert (moved["item"]["size"], moved["source_item"]["path"]) == (4, "a.gcode")
            assert server.said()[1:] == [("create_dir", "d"), ("move_file", "d/a.gcode")]

    run(scenario())


def test_a_folder_in_which_others_rename_what_they_have_written_is_told_as_one(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as server:
            await first_look(server)
            folder = server.gcodes / "d"
            folder.mkdir()
            for name in ("a.gcode", "b.gcode", "c.gcode"):
                (folder / f".{name}.Xy12").write_text("G28\n")
                (folder / f".{name}.Xy12").rename(folder / name)
                await asyncio.sleep(2 * watch.QUIET)
            (folder / "c.gcode").rename(server.gcodes / "out.gcode")
            (folder / "c.gcode").write_text("G28\n")
            await server.hears("create_dir", "d")
            assert server.said()[1:] == [("create_file", "out.gcode"), ("create_dir", "d")]

    run(scenario())


def test_what_takes_the_place_of_a_file_that_is_being_written_is_told(tmp_path: Path, run: Run[None]) -> None:
    (tmp_path / "whole.gcode").write_text("G28\n")

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            await first_look(server)
            with (server.gcodes / "a.gcode").open("w"):
                await server.until_heard("a.gcode")
                (tmp_path / "whole.gcode").rename(server.gcodes / "a.gcode")
                told = await server.hears("create_file", "a.gcode")
                assert told["item"]["size"] == 4

    run(scenario())


def test_a_file_that_is_being_written_is_told_of_when_it_is_whole(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as server:
            await first_look(server)
            with (server.gcodes / "a.gcode").open("w") as file:
                await server.until_heard("a.gcode")
                file.write("G28\n")
                file.flush()
                with pytest.raises(NotFound):
                    await server.ask(files.METADATA, filename="a.gcode")
                file.write("G29\n")
            assert (await server.hears("create_file", "a.gcode"))["item"]["size"] == 8
            assert server.said()[1:] == [("create_file", "a.gcode")]

    run(scenario())


def test_a_folder_is_complete_when_what_was_written_in_an_earlier_one_of_its_name_is(
    tmp_path: Path, run: Run[None]
) -> None:
    (tmp_path / "gcodes" / "a").mkdir(parents=True)

    async def scenario() -> None:
        async with serving(tmp_path) as server:
            with (server.gcodes / "a" / "slow.gcode").open("w"):
                await server.until_heard("a/slow.gcode")
                (server.gcodes / "a").rename(server.gcodes / "b")
                await server.hears("move_dir", "b")
                (server.gcodes / "a").mkdir()
                (server.gcodes / "a" / "x").write_text("x")
                await server.hears("create_dir", "a")

    run(scenario())


def test_what_is_done_here_to_hidden_names_is_told(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, observe=False) as server:
            (server.gcodes / "d.gcode").write_text("G28\n")
            await server.ask(files.MOVE, source="gcodes/d.gcode", dest="gcodes/.d.gcode")
            assert (await server.hears("move_file", ".d.gcode"))["source_item"] == {"path": "d.gcode", "root": "gcodes"}
            await server.ask(files.POST_DIRECTORY, path="config/.dd")
            await server.ask(files.MOVE, source="gcodes/.d.gcode", dest="config/.dd")
            await server.ask(files.DELETE_FILE, path="config/.dd/.d.gcode")
            assert server.said() == [
                ("create_file", "d.gcode"),
                ("move_file", ".d.gcode"),
                ("create_dir", ".dd"),
                ("move_file", ".dd/.d.gcode"),
                ("delete_file", ".dd/.d.gcode"),
            ]

    run(scenario())


def test_what_others_do_is_told_but_for_hidden_folders(tmp_path: Path, run: Run[None]) -> None:
    async def scenario() -> None:
        async with serving(tmp_path) as server:
            gcodes, hidden = server.gcodes, server.gcodes / ".hidden"
            hidden.mkdir()
            (hidden / "x.gcode").write_text("G28\n")
            (gcodes / "a.gcode").write_text("G28\n")
            await server.hears("create_file", "a.gcode")
            (gcodes / "a.gcode").rename(gcodes / ".a.gcode")
            moved = await server.hears("move_file", ".a.gcode")
            assert moved["source_item"]["path"] == "a.gcode"
            (gcodes / ".a.gcode").rename(hidden / "a.gcode")
            await server.hears("delete_file", ".a.gcode")
            (hidden / "a.gcode").rename(gcodes / "b.gcode")
            await server.hears("create_file", "b.gcode")
            (gcodes / ".b.gcode.Xy12").write_text("G28\nG29\n")
            (gcodes / ".b.gcode.Xy12").rename(gcodes / "b.gcode")
            await server.hears("modify_file", "b.gcode")
            assert not [path for _, path in server.said() if path.startswith(".hidden")]

    run(scenario())
