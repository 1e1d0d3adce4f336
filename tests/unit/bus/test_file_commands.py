"""Where a transfer is told to go."""

import io
import os
from pathlib import Path

import pytest

from bus.config import ConfigError
from bus.file_client import Get
from bus.file_commands import _target
from bus.progress import Progress


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("gcodes/", "gcodes/a.gcode"),
        ("gcodes", "gcodes/a.gcode"),
        ("config/b/", "config/b/a.gcode"),
        ("gcodes/b.gcode", "gcodes/b.gcode"),
    ],
)
def test_where_a_file_goes(text: str, place: str) -> None:
    assert str(_target(text, "a.gcode")) == place


def test_an_absolute_place_is_refused() -> None:
    with pytest.raises(ConfigError):
        _target("/etc/", "passwd")


@pytest.mark.parametrize("target", ["pipe", "link", "/dev/null"])
def test_a_download_replaces_files_only(tmp_path: Path, target: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(ConfigError, match=f"{target}: this is not a file"):
        Get("gcodes/x", tmp_path / target, Progress("x", io.StringIO()))
