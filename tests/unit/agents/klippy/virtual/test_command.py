"""Reading lines of g-code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.klippy.virtual.command import Command, CommandError, parse


def read(line: str) -> Command:
    command = parse(line)
    assert command is not None
    return command


@pytest.mark.parametrize(
    ("line", "name", "params"),
    [
        ("G1 X10 Y-2.5 E.02 F3000", "G1", {"X": "10", "Y": "-2.5", "E": ".02", "F": "3000"}),
        ("g1x10y20 ; comment X5", "G1", {"X": "10", "Y": "20"}),
        ("N42 G1 X1*57", "G1", {"X": "1"}),
        ("G28 X Y", "G28", {"X": "", "Y": ""}),
        ("G28X", "G28", {"X": ""}),
        ("  M104 S 200 ", "M104", {"S": "200"}),
        ("G92.1", "G92.1", {}),
        ("SET_PIN pin=relay VALUE=1", "SET_PIN", {"PIN": "relay", "VALUE": "1"}),
        ('sdcard_print_file FILENAME="a b;c.gcode"', "SDCARD_PRINT_FILE", {"FILENAME": "a b;c.gcode"}),
        ("RESPOND MSG='it is \"so\"' ; said", "RESPOND", {"MSG": 'it is "so"'}),
        (r'RESPOND MSG="a \"b\" \\"', "RESPOND", {"MSG": 'a "b" \\'}),
        (
            "EXCLUDE_OBJECT_DEFINE NAME=a POLYGON=[[1,2],[3,4]]",
            "EXCLUDE_OBJECT_DEFINE",
            {"NAME": "a", "POLYGON": "[[1,2],[3,4]]"},
        ),
        ("T0_PRIME", "T0_PRIME", {}),
    ],
)
def test_reads_name_and_parameters(line: str, name: str, params: dict[str, str]) -> None:
    command = read(line)
    assert (command.name, command.params, command.well_formed) == (name, params, True)


@pytest.mark.parametrize("line", ["", "   ", "; only a comment", "  ;LAYER_CHANGE"])
def test_says_nothing_about_blank_lines(line: str) -> None:
    assert parse(line) is None


def test_messages_keep_their_text() -> None:
    assert read("M117 Layer 1 of 8, E=5 ; not shown").rest == "Layer 1 of 8, E=5"
    assert read("m118  hi").rest == "hi"


@pytest.mark.parametrize("line", ['SET_PIN PIN="open', "SET_PIN PIN=a b", "SET_PIN =1", "SET_PIN PIN=a'b"])
def test_notices_malformed_parameters(line: str) -> None:
    assert not read(line).well_formed


def test_errors_about_parameters_name_the_line() -> None:
    command = read("SET_PIN PIN=relay VALUE=two")
    with pytest.raises(CommandError, match=r"^Error on 'SET_PIN PIN=relay VALUE=two': missing CYCLE$"):
        command.text("CYCLE")
    with pytest.raises(CommandError, match=r"unable to parse two$"):
        command.number("VALUE")
    with pytest.raises(CommandError, match=r"^The value 'relay' is not valid for PIN$"):
        raise command.unknown_value("PIN")
    with pytest.raises(CommandError, match=r"VALUE must have minimum of 0$"):
        read("SET_PIN VALUE=-1").number("VALUE", minimum=0)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_numbers_are_finite(value: str) -> None:
    with pytest.raises(CommandError, match="unable to parse"):
        read(f"SET_PIN VALUE={value}").number("VALUE")


@given(st.text(max_size=60))
def test_no_line_is_too_strange_to_read(line: str) -> None:
    command = parse(line)
    assert command is None or command.name == command.name.upper()


@given(st.dictionaries(st.sampled_from("XYZEF"), st.floats(-1e6, 1e6).map(lambda v: f"{v:.4f}"), max_size=5))
def test_parameters_come_back_as_written(params: dict[str, str]) -> None:
    assert read("G1" + "".join(f" {name}{value}" for name, value in params.items())).params == params
