"""Files, prints, and what is told about them."""

from pathlib import Path

import pytest

from agents.klippy.virtual.command import CommandError

from .bench import Bench


@pytest.fixture
def card(bench: Bench, tmp_path: Path) -> Bench:
    (tmp_path / "sub").mkdir()
    (tmp_path / "slow.gcode").write_text("; head\nM117 one\nG4 P2000\nG4 P2000\nG4 P2000\nM117 two\n")
    (tmp_path / "sub" / "Part.GCODE").write_text("M117 part")
    (tmp_path / "notes.txt").write_text("M117 no")
    return bench


def start(bench: Bench, name: str) -> None:
    bench.run(f'SDCARD_PRINT_FILE FILENAME="{name}"')


def state(bench: Bench) -> object:
    return bench.status("print_stats")["state"]


def test_prints_a_file_to_its_end(card: Bench) -> None:
    start(card, "slow.gcode")
    assert card.status("virtual_sdcard")["is_active"] is True and state(card) == "printing"
    card.loop.pass_time(3.0)
    assert card.status("display_status")["message"] == "one"
    assert 0.0 < float(str(card.status("virtual_sdcard")["progress"])) < 1.0
    card.loop.pass_time(10.0)
    assert state(card) == "complete" and card.status("display_status")["message"] == "two"
    size = len("; head\nM117 one\nM117 two\n") + 3 * len("G4 P2000\n")
    assert card.console == [f"File opened:slow.gcode Size:{size}", "File selected", "Done printing file"]
    status = card.status("virtual_sdcard")
    assert (status["file_path"], status["progress"], status["file_position"]) == (None, 1.0, size)


def test_files_are_found_in_folders_and_whatever_the_capitals(card: Bench) -> None:
    start(card, "/sub/part.gcode")
    card.loop.pass_time(1.0)
    assert state(card) == "complete" and card.status("print_stats")["filename"] == "sub/part.gcode"


@pytest.mark.parametrize("name", ["missing.gcode", "notes.txt", "../outside.gcode", "sub", "", "a\x00b.gcode"])
def test_only_files_of_the_card_can_be_printed(card: Bench, tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "outside.gcode").write_text("M117 out")
    with pytest.raises(CommandError, match=r"^Unable to open file$"):
        start(card, name)


def test_pausing_stops_the_clock_of_the_print(card: Bench) -> None:
    start(card, "slow.gcode")
    card.loop.pass_time(0.5)
    card.run("PAUSE")
    card.loop.pass_time(100.0)
    assert state(card) == "paused" and card.status("pause_resume") == {"is_paused": True}
    card.run("PAUSE")
    assert card.console[-1] == "// Print already paused"
    card.run("RESUME")
    card.loop.pass_time(20.0)
    assert state(card) == "complete"
    assert float(str(card.status("print_stats")["total_duration"])) > 100.0


def test_a_file_can_pause_itself(card: Bench, tmp_path: Path) -> None:
    (tmp_path / "self.gcode").write_text("M117 before\nPAUSE\nM117 after\n")
    start(card, "self.gcode")
    card.loop.pass_time(5.0)
    assert state(card) == "paused" and card.status("display_status")["message"] == "before"
    card.run("RESUME")
    card.loop.pass_time(1.0)
    assert state(card) == "complete" and card.status("display_status")["message"] == "after"


def test_cancelling_unloads_the_file_and_ends_the_pause(card: Bench) -> None:
    start(card, "slow.gcode")
    card.run("PAUSE\nCANCEL_PRINT")
    assert state(card) == "cancelled" and card.status("pause_resume") == {"is_paused": False}
    assert card.status("virtual_sdcard")["file_path"] is None
    card.run("SDCARD_RESET_FILE")
    assert state(card) == "standby" and card.status("print_stats")["filename"] == ""


def test_without_a_print_the_macros_only_say_so(card: Bench) -> None:
    card.run("RESUME\nPAUSE\nCANCEL_PRINT")
    said = ["// Print is not paused, resume aborted", "// action:paused", "// action:paused", "// action:cancel"]
    assert card.console == said


def test_an_error_ends_the_print(card: Bench, tmp_path: Path) -> None:
    (tmp_path / "bad.gcode").write_text("M104 S100\nG1 X5\nM117 never\n")
    start(card, "bad.gcode")
    card.loop.pass_time(1.0)
    stats = card.status("print_stats")
    assert stats["state"] == "error" and str(stats["message"]).startswith("Must home axis first")
    assert card.printer.heat.heaters["extruder"].target == 0.0


def test_filament_counts_without_the_flow_factor(card: Bench, tmp_path: Path) -> None:
    (tmp_path / "feed.gcode").write_text("M83\nM221 S200\nG1 X110 E3 F6000\nM221 S50\nG1 X100 E2\n")
    card.heat_up()
    start(card, "feed.gcode")
    card.loop.pass_time(5.0)
    assert card.status("print_stats")["filament_used"] == pytest.approx(5.0)


def test_layers_are_told_by_the_file(card: Bench) -> None:
    card.run("SET_PRINT_STATS_INFO TOTAL_LAYER=8\nSET_PRINT_STATS_INFO CURRENT_LAYER=3")
    assert card.status("print_stats")["info"] == {"total_layer": 8, "current_layer": 3}


def test_the_old_commands_of_an_sd_card(card: Bench) -> None:
    card.run("M20\nM27\nM23 slow.gcode\nM26 S7\nM27\nM24")
    assert card.console[0] == "Begin file list" and "End file list" in card.console
    assert card.console[-1].startswith("SD printing byte 7/")
    with pytest.raises(CommandError, match=r"^SD busy$"):
        card.run("M24")
    card.run("M25")
    assert state(card) == "paused"


def test_scripts_run_between_the_lines_of_a_print(card: Bench) -> None:
    start(card, "slow.gcode")
    card.loop.pass_time(0.1)
    card.run("M117 between", seconds=3.0)
    assert state(card) == "printing" and card.status("display_status")["message"] == "between"
