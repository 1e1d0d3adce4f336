"""What is announced of changes, of those made here and of those of others."""

import subprocess
from pathlib import Path

import pytest

from bus.errors import InvalidParams, Refused
from schemas import files
from tests.conftest import Run
from tests.fault.test_log_full_disk import mountable
from tests.file_agent import serving


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
