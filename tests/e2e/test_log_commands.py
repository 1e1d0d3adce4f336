"""`printbus log`: what each action prints, of a log in use, at rest, damaged, or not there."""

import json
import signal
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.commands import command
from tests.e2e.test_print import get, until
from tests.program import Program, running

META_PAGES = 2 * 4096  # bytes at the start of an LMDB file, without which there is none


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with a few events in its log, and nobody at work in it."""
    data = tmp_path_factory.mktemp("printed")
    with running(data, "--virtual") as (_, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        for number in range(3):
            get(where, f"/printer/gcode/script?script=M117%20{number}", post=True)
    yield data


def told(data: Path, *arguments: str) -> list[dict[str, Any]]:
    done = command("log", "read", "--json", "--data", str(data), *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_log_read_prints_what_is_asked_for(printed: Path) -> None:
    events = told(printed)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {*events[0]} == {"seq", "time", "stream", "type", "actor", "data"}
    assert told(printed, "--since", "2", "--limit", "2") == events[2:4]
    assert told(printed, "--stream", "commands") == [event for event in events if event["stream"] == "commands"]
    third = events[2]["time"]
    assert told(printed, "--since-time", str(third)) == [event for event in events if event["time"] >= third]
    local = datetime.fromtimestamp(third)
    wanted = [event for event in events if event["time"] <= local.timestamp()]
    assert told(printed, "--until-time", local.isoformat()) == wanted
    assert told(printed, "--since-time", "2100-01-01", "--stream", "print") == []
    wrong = command("log", "read", "--since-time", "noon", "--data", str(printed))
    assert wrong.returncode == 2 and "expected Unix seconds" in wrong.stderr
    lines = command("log", "read", "--data", str(printed)).stdout.splitlines()
    assert len(lines) == len(events)
    (accepted,) = [line for line in lines if "M117 1" in line]
    assert "command.accepted.1" in accepted and "@http" in accepted.replace(" http ", " @http ")


def test_log_read_ends_quietly_when_its_reader_does(printed: Path) -> None:
    command = [sys.executable, "-m", "bus", "log", "read", "--data", str(printed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reading:
        assert reading.stdout and reading.stderr
        reading.stdout.close()
        assert reading.stderr.read() == ""
        assert reading.wait(20) == 0


def test_log_tail_prints_events_as_they_come(tmp_path: Path) -> None:
    with running(tmp_path, "--virtual") as (_, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        tail = Program("log", "tail", "--json", "--stream", "commands", "--since", "1", "--data", str(tmp_path))
        get(where, "/printer/gcode/script?script=M117%20told", post=True)
        event = json.loads(tail.ready_line())
        assert event["type"] == "command.accepted.1" and event["data"]["params"]["script"] == "M117 told"
        assert tail.stop(signal.SIGINT) == 130
        assert not tail.errors


def test_log_verify_and_stat_tell_the_state(printed: Path) -> None:
    count = len(told(printed))
    verified = command("log", "verify", "--data", str(printed))
    assert verified.returncode == 0 and f"events 1 to {count}" in verified.stdout and "intact" in verified.stdout
    assert f"events 1 to {count}, 1 segments" in command("log", "stat", "--data", str(printed)).stdout
    found = json.loads(command("log", "stat", "--json", "--data", str(printed)).stdout)
    assert (found["first"], found["head"], sum(found["streams"].values())) == (1, count, count)


def test_a_damaged_log_is_reported_with_status_1(printed: Path, tmp_path: Path) -> None:
    (segment,) = (printed / "printbus" / "log").glob("*.mdb")
    copy = tmp_path / "printbus" / "log" / segment.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(segment.read_bytes()[:META_PAGES])  # what is behind them may be pages of earlier commits only
    done = command("log", "verify", "--data", str(tmp_path))
    assert done.returncode == 1 and "intact" not in done.stdout and "Traceback" not in done.stderr


def test_log_export_and_import_carry_a_log_elsewhere(printed: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.jsonl"
    assert command("log", "export", str(file), "--data", str(printed)).returncode == 0
    assert file.read_text() == command("log", "export", "--data", str(printed)).stdout
    target = tmp_path / "restored"
    done = command("log", "import", str(file), "--data", str(target))
    events = told(printed)
    assert (done.returncode, done.stdout) == (0, f"{len(events)} events\n")
    assert told(target) == events
    again = command("log", "import", str(file), "--data", str(target))
    assert again.returncode == 1 and "already" in again.stderr
    with running(target, "--virtual") as (_, where):
        assert get(where, "/events/read?since=0")["events"][: len(events)] == events
        third = events[2]["time"]
        between = [event for event in events if event["time"] == third]
        assert get(where, f"/events/read?since_time={third}&until_time={third}")["events"] == between


def test_log_compact_says_where_the_log_now_begins(printed: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.jsonl"
    command("log", "export", str(file), "--data", str(printed))
    command("log", "import", str(file), "--data", str(tmp_path))
    done = command("log", "compact", "--segments", "1", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "the log now begins at event 1\n")


@pytest.mark.parametrize("action", ["read", "tail", "stat", "export", "verify"])
def test_without_a_log_the_log_commands_say_so(action: str, tmp_path: Path) -> None:
    done = command("log", action, "--data", str(tmp_path))
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == f"printbus: there is no event log in {tmp_path / 'printbus' / 'log'}\n"


def test_importing_what_is_no_export_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.jsonl"
    file.write_text('{"format": "another"}\n')
    done = command("log", "import", str(file), "--data", str(tmp_path))
    assert done.returncode == 1 and "not an export" in done.stderr
    missing = command("log", "import", str(tmp_path / "none"), "--data", str(tmp_path))
    assert missing.returncode == 1 and "No such file" in missing.stderr


def test_a_damaged_log_is_repaired_and_said_so_in_server_info(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--klippy", str(tmp_path / "none.sock")) as (_, where):
        for number in range(50):
            with pytest.raises(urllib.error.HTTPError):  # 503, and recorded
                get(where, f"/printer/gcode/script?script=M117%20{number}", post=True)
        head = get(where, "/events/read?limit=1")["head"]
    (segment,) = (data / "printbus" / "log").glob("seg-*.mdb")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    segment.write_bytes(content)
    with running(data, "--klippy", str(tmp_path / "none.sock")) as (_, where):
        (warning,) = get(where, "/server/info")["warnings"]
        assert "damaged" in warning and segment.name in warning
        assert get(where, "/events/read?limit=5000")["head"] < head
