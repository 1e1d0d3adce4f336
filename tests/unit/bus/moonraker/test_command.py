"""`printbus import` on a real installation: all of it or nothing, once, and nothing that is there is changed."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bus.__main__ import main
from bus.config import read_yaml
from bus.lmdb_log import LmdbLog
from bus.log import NewEvent, StoredEvent
from bus.log_draft import LogDraft
from bus.log_files import segment_paths
from bus.log_tool import log_directory, read, verify
from tests.moonraker import DATABASE, content, installed, said

JOBS_OF_A_LOT = 3000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return installed(tmp_path / "moonraker data")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "printbus data"


def take_over(source: Path, target: Path, *more: str) -> int:
    return main(["import", str(source), "--data", str(target), *more])


def events(target: Path) -> list[StoredEvent]:
    return list(read(target)) if segment_paths(log_directory(target)) else []


def append(target: Path, stream: str, *facts: NewEvent) -> None:
    log = LmdbLog.open(log_directory(target), reserve_bytes=0)
    log.append(stream, facts, append_id=uuid4())
    log.close()


def test_an_import_is_told_is_whole_and_has_nothing_to_do_the_second_time(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(source)
    assert take_over(source, target) == 0
    out = capsys.readouterr().out
    assert "Not carried over:" in out and "[update_manager] (moonraker.conf)" in out
    assert "webcam Tür" in out and "history: 8 jobs" in out and "namespace mainsail: 3 keys" in out
    stored = events(target)
    assert Counter(event.stream for event in stored) == {"database": 11, "webcams": 2, "history": 9, "access": 3}
    for secret in (said()["api_key"], "pbkdf2", "not-a-secret-in-a-test"):
        assert secret not in out and secret not in str(stored)
    assert not any(report.problem for report in verify(target))
    made = content(target)
    assert take_over(source, target) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert {name: found for name, found in content(target).items() if "/log/" not in name} == {
        name: found for name, found in made.items() if "/log/" not in name
    }
    assert events(target) == stored
    assert content(source) == before


def test_in_place_nothing_of_moonraker_is_changed(source: Path) -> None:
    before = content(source)
    assert take_over(source, source) == 0
    after = content(source)
    assert {name: after[name] for name in before} == before
    assert {name for name in after if not name.startswith("printbus/")} - before.keys() == {
        "config/printer.yaml",
        "config/broker.yaml",
    }
    assert main(["config", "check", "--data", str(source)]) == 0


def test_links_and_a_source_that_cannot_be_written_are_no_hindrance(source: Path, target: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(source)
    (source / "database").rename(tmp_path / "elsewhere")
    (source / "database").symlink_to(tmp_path / "elsewhere")
    (source / "config" / "loop").symlink_to(source)
    for folder in (source, tmp_path / "elsewhere"):
        folder.chmod(0o555)
    try:
        assert take_over(link, target) == 0
    finally:
        source.chmod(0o755)
    assert events(target)


def test_files_of_another_folder_stay_there_and_ours_are_shown_too(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("gcodes", "logs"):
        (source / name).mkdir()
    assert take_over(source, target) == 0
    filestore = read_yaml(target / "config" / "printer.yaml")["filestore"]
    assert filestore == {
        "max_upload_size": 2048,
        "gcodes": str(source / "gcodes"),
        "config": str(source / "config"),
        "roots": {
            "printbus": {"path": str(target / "config"), "writable": True},
            "moonraker_logs": {"path": str(source / "logs")},
        },
    }
    assert "moonraker.secrets: copy it" in capsys.readouterr().out
    assert main(["config", "check", "--data", str(target)]) == 0


def test_roots_that_are_in_use_are_shown_as_before(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (source / "gcodes" / "old.gcode", target / "gcodes" / "new.gcode", target / "config" / "printer.cfg"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert take_over(source, target) == 0
    assert read_yaml(target / "config" / "printer.yaml")["filestore"] == {"max_upload_size": 2048}
    out = capsys.readouterr().out
    assert f"front ends show {target}/gcodes" in out and f"front ends show {target}/config" in out


def test_a_rehearsal_writes_nothing(source: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert take_over(source, target, "--dry-run") == 0
    assert "Would be carried over" in capsys.readouterr().out
    assert not target.exists()
    append(target, "print", NewEvent("print.started.1", {"filename": "ours.gcode", "found": False}))
    before = {name: found for name, found in content(target).items() if not name.endswith("lock")}
    assert take_over(source, target, "--dry-run", "--merge") == 0
    assert {name: found for name, found in content(target).items() if not name.endswith("lock")} == before
    assert "behind the 1 print" in capsys.readouterr().out


def test_a_printbus_that_runs_is_left_alone(source: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(LmdbLog.open(log_directory(target), reserve_bytes=0)):
        assert take_over(source, target) == 1
    assert "is being written by process" in capsys.readouterr().err
    assert not (target / "config" / "printer.yaml").exists() and not events(target)


def test_what_is_there_is_added_to_on_request_only_and_stays(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (target / "config").mkdir(parents=True)
    ours = "# mine\nklippy: {virtual: true}\n"
    (target / "config" / "printer.yaml").write_text(ours)
    value = {"namespace": "mainsail", "key": ["general", "printername"], "value": "mine"}
    append(target, "database", NewEvent("database.set.1", value))
    append(target, "print", NewEvent("print.started.1", {"filename": "ours.gcode", "found": False}))
    assert take_over(source, target) == 1
    err = capsys.readouterr().err
    assert "printer.yaml" in err and "namespaces: mainsail" in err and "1 print\n" in err and "--merge" in err
    assert len(events(target)) == 2 and (target / "config" / "printer.yaml").read_text() == ours
    assert take_over(source, target, "--merge") == 0
    assert f"{target}/config/printer.yaml: klippy is there already" in capsys.readouterr().out
    text = (target / "config" / "printer.yaml").read_text()
    assert text.startswith(ours) and read_yaml(target / "config" / "printer.yaml")["bridge"]["port"] == 7125
    keys = [event.data["key"] for event in events(target)[2:] if event.type == "database.set.1"]
    assert ["general", "printername"] not in keys and ["presets"] in keys and len(keys) == 10
    assert take_over(source, target) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_what_moonraker_has_printed_since_is_added(source: Path, target: Path) -> None:
    assert take_over(source, target) == 0
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute(
            "INSERT INTO job_history SELECT 30, user, 'later.gcode', status, start_time + 1e4, end_time + 1e4,"
            " 7.0, 9.0, 5.0, metadata, auxiliary_data, instance_id FROM job_history WHERE job_id = 1"
        )
    first = len(events(target))
    assert take_over(source, target) == 1
    assert take_over(source, target, "--merge") == 0
    job, totals = events(target)[first:]
    assert (job.data["job"], job.data["filename"]) == (30, "later.gcode")
    assert totals.data["totals"] == {
        "total_jobs": 1,
        "total_time": 9.0,
        "total_print_time": 7.0,
        "total_filament_used": 5.0,
        "longest_job": 9.0,
        "longest_print": 7.0,
    }


def test_users_of_other_kinds_are_told_and_a_second_key_gets_a_name_of_its_own(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(
        target, "access", NewEvent("key.created.1", {"name": "default", "roles": [], "created_on": 1, "secret": "x"})
    )
    columns = "INSERT INTO authorized_users (username, password, created_on, salt, source) VALUES (?, ?, 1, ?, ?)"
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        for row in (("carl", "", "", "ldap"), ("a/b", "00", "00", "moonraker"), ("dora", "no hex", "00", "moonraker")):
            tables.execute(columns, row)
    assert take_over(source, target) == 1
    assert "1 API key" in capsys.readouterr().err
    assert take_over(source, target, "--merge") == 0
    out = capsys.readouterr().out
    for what in (
        "user carl: logs in by ldap",
        "user a/b: such a name",
        "user dora: what Moonraker kept of the password is damaged",
    ):
        assert what in out
    key, *users = [event.data for event in events(target) if event.stream == "access"][1:]
    assert (key["name"], [user["username"] for user in users]) == ("moonraker", ["anna", "Bób"])
    kept = (target / "printbus" / "secrets.json").read_text()
    assert said()["api_key"] not in kept
    assert take_over(source, target) == 0


def test_a_file_that_cannot_be_added_to_changes_nothing(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (target / "config").mkdir(parents=True)
    (target / "config" / "printer.yaml").write_text("{groups: [a]}\n")
    assert take_over(source, target, "--merge") == 2
    assert "sections cannot be added at its end" in capsys.readouterr().err
    assert not events(target)


@pytest.mark.parametrize("files", [(), ("database/data.mdb",)])
def test_where_no_moonraker_is_that_is_said(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str], files: Sequence[str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert take_over(tmp_path, target) == 2
    assert ("start a newer one once" in capsys.readouterr().err) == bool(files)


def test_rows_that_are_wrong_are_told_and_the_rest_carried_over(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = b"[" * 200 + b"]" * 200
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute("UPDATE job_history SET status = 'lost' WHERE job_id = 1")
        tables.execute("UPDATE job_history SET start_time = 'never' WHERE job_id = 2")
        tables.execute("UPDATE job_history SET auxiliary_data = ? WHERE job_id = 5", (b"[7]",))
        tables.execute("UPDATE job_history SET metadata = ? WHERE job_id = 4", (b"{",))
        tables.execute("INSERT INTO namespace_store VALUES ('mainsail', 'deep', ?)", (deep,))
        tables.execute(
            "INSERT INTO namespace_store VALUES ('webcams', 'odd', ?)", (b'{"name": "", "urlStream": "/x"}',)
        )
        wrong = b'{"name": "left", "urlStream": "/x", "rotation": 45}'
        tables.execute("INSERT INTO namespace_store VALUES ('webcams', 'wry', ?)", (wrong,))
        large = b"s" + b"x" * (5 << 20)
        tables.execute("INSERT INTO namespace_store VALUES ('mainsail', 'large', ?)", (large,))
    assert take_over(source, target) == 0
    out = capsys.readouterr().out
    for what in (
        "job 1: cannot be read (status: input should be",
        "job 2:",
        "job 5: cannot be read (its times or its auxiliary data are not what Moonraker writes)",
        "job 4:",
        "mainsail, large: is too large",
        "webcam odd",
        "webcam left, rotation:",
        "deep",
    ):
        assert what in out
    kinds = Counter(event.type for event in events(target))
    assert (kinds["job.imported.1"], kinds["webcam.saved.1"]) == (4, 3)


def test_webcams_are_those_that_moonraker_shows(source: Path, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = {
        "a": b'{"name": "legacy", "urlStream": "/x", "rotate": 90}',
        "b": b'{"name": "turned", "urlStream": "/x", "rotate": 90, "rotation": 180}',
        "c": b'{"name": 7, "urlStream": "/x"}',
        "d": b'{"name": "legacy", "urlStream": "/second"}',
        "e": b'{"name": "blind", "urlStream": "", "service": "iframe"}',
    }
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute("DELETE FROM namespace_store WHERE namespace = 'webcams'")
        tables.executemany("INSERT INTO namespace_store VALUES ('webcams', ?, ?)", stored.items())
    assert take_over(source, target) == 0
    assert "webcam legacy: there is another of that name" in capsys.readouterr().out
    webcams: list[Any] = [event.data["webcam"] for event in events(target) if event.type == "webcam.saved.1"]
    assert [(webcam["uid"], webcam["name"], webcam["rotation"]) for webcam in webcams] == [
        ("a", "legacy", 90),
        ("b", "turned", 180),
        ("c", "7", 0),
        ("e", "blind", 0),
    ]
    assert take_over(source, target) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_a_large_value_is_taken_apart(source: Path, target: Path) -> None:
    value = b'{"x":{' + b",".join(b'"k%d":"%s"' % (n, b"y" * 100_000) for n in range(60)) + b"}}"
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute("INSERT INTO namespace_store VALUES ('big', 'top', ?)", (value,))
    assert take_over(source, target) == 0
    keys = [event.data["key"] for event in events(target) if event.data.get("namespace") == "big"]
    assert keys == [["top", "x", f"k{n}"] for n in range(60)]


def test_the_spool_in_use_is_carried_over_where_none_was_chosen(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute("INSERT INTO namespace_store VALUES ('moonraker', 'spoolman', ?)", (b'{"spool_id":7}',))
    append(target, "print", NewEvent("print.started.1", {"filename": "ours.gcode", "found": False}))
    assert take_over(source, target, "--merge") == 0
    chosen = [event.data for event in events(target) if event.stream == "spoolman"]
    assert chosen == [{"spool_id": 7, "mark": None}]
    append(target, "spoolman", NewEvent("spool.selected.1", {"spool_id": None, "mark": None}))
    assert take_over(source, target) == 0


def test_feeds_are_carried_over_that_were_never_added_here(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = b'{"stored_feeds":["Voron","no feed!","mine","fluidd"]}'
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute("INSERT INTO namespace_store VALUES ('moonraker', 'announcements', ?)", (stored,))
    for kind in ("announcement.feed_added.1", "announcement.feed_removed.1"):
        append(target, "announcements", NewEvent(kind, {"feed": "mine"}))
    assert take_over(source, target) == 0
    out = capsys.readouterr().out
    assert "feed of announcements 'voron'" in out and "'no feed!': expected the name of a feed" in out
    added = [event.data["feed"] for event in events(target)[2:] if event.stream == "announcements"]
    assert added == ["voron", "fluidd"]
    assert take_over(source, target) == 0
    assert "Nothing to do" in capsys.readouterr().out


def test_totals_of_jobs_that_were_all_deleted_are_carried_over(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute("DELETE FROM job_history")
    assert take_over(source, target) == 0
    history: list[Any] = [event.data for event in events(target) if event.stream == "history"]
    assert [each["totals"]["total_jobs"] for each in history] == [7]
    assert take_over(source, target) == 0
    assert len([event for event in events(target) if event.stream == "history"]) == 1


def test_a_configuration_alone_is_enough_and_a_broken_one_too_much(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / DATABASE).unlink()
    assert take_over(source, target, "--dry-run") == 0
    conf = source / "config" / "moonraker.conf"
    conf.unlink()
    conf.symlink_to("moonraker.conf")
    assert take_over(source, target) == 2
    assert "moonraker.conf" in capsys.readouterr().err


def multiplied(source: Path) -> None:
    with closing(sqlite3.connect(source / DATABASE)) as tables, tables:
        tables.execute(
            "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n LIMIT ?) INSERT INTO job_history"
            " SELECT i, user, filename, status, start_time + i * 60, end_time + i * 60, print_duration, total_duration,"
            " filament_used, metadata, auxiliary_data, instance_id FROM n, job_history WHERE job_id = 1",
            (JOBS_OF_A_LOT,),
        )


def test_an_import_that_is_killed_leaves_nothing_and_can_be_repeated(source: Path, target: Path) -> None:
    multiplied(source)
    append(target, "print", NewEvent("print.started.1", {"filename": "ours.gcode", "found": False}))
    before = events(target)
    command = [sys.executable, "-m", "bus", "import", str(source), "--data", str(target), "--merge"]
    segment = log_directory(target).with_name("log.draft") / "seg-00000000000000000001.mdb"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (segment.exists() and segment.stat().st_size > 1 << 18):
            assert process.poll() is None, "it has ended before it could be killed"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert events(target) == before and not (target / "config" / "printer.yaml").exists()
    assert take_over(source, target, "--merge") == 0
    assert Counter(event.type for event in events(target))["job.imported.1"] == JOBS_OF_A_LOT + 8
    assert not log_directory(target).with_name("log.draft").exists()


def test_a_draft_goes_on_in_segments_and_keeps_those_that_are_sealed(target: Path) -> None:
    small, text = 1 << 20, "x" * 100_000
    log = LmdbLog.open(log_directory(target), segment_bytes=small, reserve_bytes=0)
    for _ in range(25):
        log.append("a", [NewEvent("a.1", {"text": text})], append_id=uuid4())
    epoch = log.epoch
    log.close()
    (log_directory(target) / "damaged").mkdir()
    (log_directory(target) / "damaged" / "old.mdb").write_text("kept")
    with LogDraft(target, small) as draft:
        for _ in range(25):
            draft.log.append("b", [NewEvent("b.1", {"text": text})], append_id=uuid4())
        assert len(events(target)) == 25
        draft.finish()
    assert [event.stream for event in events(target)] == ["a"] * 25 + ["b"] * 25
    assert (log_directory(target) / "damaged" / "old.mdb").read_text() == "kept"
    again = LmdbLog.open(log_directory(target), segment_bytes=small, reserve_bytes=0)
    assert (again.epoch, again.head(), again.recoveries) == (epoch, 50, ())
    again.close()
