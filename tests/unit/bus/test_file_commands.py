"""Where a transfer is told to go."""

import pytest

from bus.config import ConfigError
from bus.file_commands import _target


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
