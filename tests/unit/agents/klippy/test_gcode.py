"""The command that starts a print names exactly one file, whatever it is called."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.klippy.gcode import print_file
from bus.errors import InvalidParams

names = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1)


@given(names.filter(lambda name: not name.startswith("/")))
def test_klipper_reads_back_the_name(name: str) -> None:
    assert shlex.split(print_file(name)) == ["SDCARD_PRINT_FILE", f"FILENAME={name}"]


def test_one_leading_slash_is_dropped() -> None:
    assert print_file("/dir/a.gcode") == 'SDCARD_PRINT_FILE FILENAME="dir/a.gcode"'
    assert print_file("//a.gcode") == 'SDCARD_PRINT_FILE FILENAME="/a.gcode"'


def test_double_quotes_are_escaped() -> None:
    assert print_file('a "b".gcode') == 'SDCARD_PRINT_FILE FILENAME="a \\"b\\".gcode"'


@pytest.mark.parametrize("name", ["", "/", "a\nM112", "a\rb", "a\x00", "a\x03b", "a\x7f", "a\x85b", "a\u2028b"])
def test_names_that_would_be_another_command_are_refused(name: str) -> None:
    with pytest.raises(InvalidParams):
        print_file(name)
