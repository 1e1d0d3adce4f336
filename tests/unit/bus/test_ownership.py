"""Root takes on the owner of a data folder, and nobody else takes on anybody."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.ownership import take_on_owner

OTHER = 65534  # may be anybody's number


@pytest.fixture
def data() -> Iterator[Path]:
    """An empty folder that others can get to."""
    folder = Path(tempfile.mkdtemp(prefix="printbus-owner-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def maker(data: Path) -> int:
    """Whose a file is that is made there by a process which has taken on the owner of the folder."""
    process = os.fork()
    if process == 0:
        try:
            take_on_owner(data)
            (data / "made").touch()
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    return (data / "made").stat().st_uid


@pytest.mark.parametrize("below", [False, True], ids=["the folder", "what is in it"])
def test_what_is_made_belongs_to_the_owner(data: Path, below: bool) -> None:
    ours = data / "printbus" if below else data
    ours.mkdir(exist_ok=True)
    owner = os.geteuid() or OTHER
    os.chown(ours, owner, -1)
    assert maker(data) == owner


def test_where_there_is_no_folder_yet_everybody_stays_who_they_are(data: Path) -> None:
    take_on_owner(data / "nowhere")
    assert maker(data) == os.geteuid()
