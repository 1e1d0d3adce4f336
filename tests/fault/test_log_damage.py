"""A damaged log: what was verified is served, the rest set aside and reported, and no signal reaches the opener."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus.errors import Unavailable
from bus.log import NewEvent

from . import log_trials
from .log_trials import DAMAGES, contents, make_template, open_log

CAMPAIGN = bool(os.environ.get("PRINTBUS_CAMPAIGN"))
TRIALS = 90 if CAMPAIGN else 2
EVENTS = 1100
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("template") / "log"
    make_template(place, EVENTS)
    return place


@pytest.mark.timeout(900 if CAMPAIGN else 300)
@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_leaves_a_verified_prefix_and_a_report(kind: str, template: Path, tmp_path: Path) -> None:
    arguments = ["damage_trials", str(template), str(tmp_path), kind, "0", str(TRIALS)]
    done = subprocess.run([sys.executable, "-m", log_trials.__name__, *arguments], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    ends = json.loads(done.stdout)
    assert sum(ends.values()) == TRIALS
    assert ends.keys() <= {"intact", "repaired", "prefix"}


def some_log(place: Path) -> list[Path]:
    """A log of several segments; their files."""
    make_template(place, EVENTS)
    return sorted(place.glob("seg-*.mdb"))


def rot(path: Path, number: int) -> None:
    """Change one digit of a record, wherever a page has it, without a trace in the file's times."""
    before, content = path.stat(), path.read_bytes()
    assert b'"number":%d,' % number in content
    path.write_bytes(content.replace(b'"number":%d,' % number, b'"number":%d,' % (number ^ 1)))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_the_report_names_what_is_kept_and_where_the_rest_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = some_log(tmp_path)
    damaged = files[1].read_bytes()[:-20_000]
    files[1].write_bytes(damaged)
    with caplog.at_level(logging.ERROR):
        log = open_log(tmp_path)
    first, *rest = log.recoveries
    assert first.segment == files[1].name
    assert first.lost
    assert first.last == log.head() < EVENTS
    assert Path(first.set_aside[0]).read_bytes() == damaged
    assert {Path(name).name[:24] for each in rest for name in each.set_aside} == {path.stem for path in files[2:]}
    assert "EVENT LOG DAMAGED" in caplog.text
    log.close()


def test_rot_that_left_no_trace_is_not_served_and_repaired_at_the_next_start(tmp_path: Path) -> None:
    newest = some_log(tmp_path)[-1]
    rot(newest, EVENTS - 10)
    log = open_log(tmp_path)
    assert log.recoveries == ()
    with pytest.raises(Unavailable, match="damaged"):
        contents(log)
    log.close()
    log = open_log(tmp_path)
    assert [recovery.segment for recovery in log.recoveries] == [newest.name]
    assert [event.seq for event in contents(log)] == list(range(1, log.head() + 1))
    log.close()


def test_after_a_crash_a_sealed_segment_is_not_mapped_before_its_digest_is_right(tmp_path: Path) -> None:
    files = some_log(tmp_path)
    rot(files[0], 100)
    files[-1].with_suffix(".idx").unlink()
    log = open_log(tmp_path)
    assert log.read(log.head() - 1)
    with pytest.raises(Unavailable, match="damaged"):
        log.read()
    log.close()
    log = open_log(tmp_path)
    assert (log.recoveries[0].segment, log.recoveries[0].last, log.head()) == (files[0].name, 99, 99)
    log.close()


def test_a_missing_segment_cuts_the_log(tmp_path: Path) -> None:
    files = some_log(tmp_path)
    files[1].unlink()
    log = open_log(tmp_path)
    assert log.recoveries[0].lost
    assert log.append("print", [NewEvent("x.1", {})], append_id=log.epoch) == log.head()
    assert [event.seq for event in contents(log)] == list(range(1, log.head() + 1))
    log.close()


@pytest.mark.parametrize("index", ["missing", "empty", "flipped", "of another segment"])
def test_indexes_are_made_again_without_loss(tmp_path: Path, index: str) -> None:
    files = some_log(tmp_path)
    for path in files[1], files[-1]:
        place = path.with_suffix(".idx")
        content = place.read_bytes()
        place.unlink()
        if index == "flipped":
            place.write_bytes(content[:200] + bytes([content[200] ^ 4]) + content[201:])
        elif index != "missing":
            place.write_bytes(b"" if index == "empty" else files[0].with_suffix(".idx").read_bytes())
    log = open_log(tmp_path)
    events = contents(log)
    assert log.recoveries == ()
    assert [event.seq for event in events] == list(range(1, EVENTS + 1))
    prints = [event for event in events if event.stream == "print"]
    assert list(log.read(stream="print", limit=EVENTS)) == prints
    assert log.position("print") == prints[-1].seq
    assert log.append("print", [NewEvent("x.1", {})], append_id=prints[3].append_id) == prints[3].seq
    log.close()


def test_a_log_that_was_closed_properly_is_opened_without_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_log(tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a child was started"))
    log = open_log(tmp_path)
    assert log.head() == EVENTS
    log.close()
