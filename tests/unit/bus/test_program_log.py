"""The program's own log: what gets into it, what does not, and that it has an end."""

import io
import logging
import threading
from pathlib import Path

import pytest

from bus.clock import Clock
from bus.program_log import (
    BYTES_PER_MINUTE,
    FILE,
    FILE_BYTES,
    MINUTE,
    OLD_FILES,
    STOP_SECONDS,
    WAITING,
    ProgramLog,
    without_secrets,
)

log = logging.getLogger("test.program_log")
log.setLevel(logging.INFO)


class Stopped(Clock):
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Where it stands."""
        return self.now


class Stuck(io.StringIO):
    """A reader of standard error that has stopped reading."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        """Waits until it reads again."""
        self.go_on.wait()
        return super().write(text)


def all_files(data: Path) -> list[Path]:
    return sorted((data / "logs").iterdir())


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("GET /websocket?token=ABC&x=1", "GET /websocket?token=***&x=1"),
        ("?access_token=eyJ.a.b failed", "?access_token=*** failed"),
        ("{'password': 'hunter2', 'a': 1}", "{'password': '***', 'a': 1}"),
        ('{"api_key":"0123"}', '{"api_key":"***"}'),
        ("SUDO_PASSWORD=x y", "SUDO_PASSWORD=*** y"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("mqtt://shop:s3cr:t@broker:1883/", "mqtt://shop:***@broker:1883/"),
        ("'password': expected either file or env", "'password': expected either file or env"),
        ("a plain line about a token", "a plain line about a token"),
    ],
)
def test_values_of_secrets_are_taken_out(text: str, kept: str) -> None:
    assert without_secrets(text) == kept


def test_a_file_begins_with_what_it_is_about_and_has_what_standard_error_has(tmp_path: Path) -> None:
    stderr = io.StringIO()
    with ProgramLog(tmp_path, ["printbus 1", "at mqtt://u:p@h"], stderr=stderr):
        log.info("first")
        try:
            raise ValueError("wrong password=abc")
        except ValueError:
            log.exception("second\nline\x1b[2J of %s", "GET /a\r\nb")
    text = (tmp_path / FILE).read_text()
    assert text.startswith("---- printbus ----\nprintbus 1\nat mqtt://u:***@h\n")
    assert "INFO test.program_log: first\n" in text
    assert "second\\nline\\x1b[2J of GET /a\\x0d\\nb\nTraceback" in text and "ValueError: wrong password=***\n" in text
    assert text.endswith(stderr.getvalue())


def test_afterwards_the_root_logger_is_as_it_was(tmp_path: Path) -> None:
    before = logging.getLogger().handlers
    with ProgramLog(tmp_path, stderr=io.StringIO()):
        assert logging.getLogger().handlers != before
    assert logging.getLogger().handlers == before


def test_it_is_bounded_in_size(tmp_path: Path) -> None:
    clock = Stopped()
    with ProgramLog(tmp_path, ["about"], stderr=io.StringIO(), clock=clock) as program_log:
        for _ in range(OLD_FILES + 3):
            log.info("x")
            program_log.roll()
    files = all_files(tmp_path)
    assert len(files) == 1 + OLD_FILES
    assert all(file.read_text().startswith("---- printbus ----\nabout\n") for file in files)
    assert BYTES_PER_MINUTE < FILE_BYTES


def test_a_full_file_gives_way_to_a_new_one(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / FILE).write_bytes(b"x" * FILE_BYTES)
    with ProgramLog(tmp_path, stderr=io.StringIO()):
        log.info("more")
    assert [file.name for file in all_files(tmp_path)] == ["moonraker.log", "moonraker.log.1"]
    assert "more" in (tmp_path / FILE).read_text()


def test_a_flood_costs_the_disk_a_bounded_amount_a_minute_and_is_mentioned(tmp_path: Path) -> None:
    clock, stderr = Stopped(), io.StringIO()
    with ProgramLog(tmp_path, stderr=stderr, clock=clock):
        for number in range(WAITING // 2):
            log.warning("flood %d %s", number, "x" * 1000)
    assert BYTES_PER_MINUTE - 5000 < (tmp_path / FILE).stat().st_size < BYTES_PER_MINUTE + 5000
    assert stderr.getvalue().count("flood") == WAITING // 2
    with ProgramLog(tmp_path, stderr=io.StringIO(), clock=clock) as program_log:
        log.warning("%s", "x" * 2 * BYTES_PER_MINUTE)
        program_log.flush()
        clock.now += MINUTE
        log.warning("later")
    assert "(1 lines are not in this file: there were too many)\n" in (tmp_path / FILE).read_text()
    assert (tmp_path / FILE).read_text().endswith("later\n")


def test_who_does_not_read_standard_error_holds_up_nobody(tmp_path: Path) -> None:
    stuck = Stuck()
    with ProgramLog(tmp_path, stderr=stuck) as program_log:
        for number in range(WAITING + 50):
            log.info("line %d", number)
        stuck.go_on.set()
        program_log.flush()
        log.info("again")
    assert "lines were lost here)\n" in stuck.getvalue() and "again\n" in stuck.getvalue()
    assert STOP_SECONDS < 10


def test_without_a_place_for_the_file_standard_error_says_so(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    stderr = io.StringIO()
    with ProgramLog(tmp_path, stderr=stderr) as program_log:
        log.info("goes on")
        with pytest.raises(OSError, match="logs"):
            program_log.roll()
    assert "nothing can be written to" in stderr.getvalue() and "goes on\n" in stderr.getvalue()
