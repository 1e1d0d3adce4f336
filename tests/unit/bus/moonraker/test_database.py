"""Moonraker's database is read as it is, whatever is being done with it, and nothing of it is changed."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bus.config import ConfigError
from bus.moonraker import database
from bus.moonraker.database import Unreadable, opened, value_of
from tests.moonraker import DATABASE, content, installed, said


def path_of(folder: Path) -> Path:
    return installed(folder / "m") / DATABASE


def names(path: Path) -> set[str]:
    with opened(path) as found:
        return {row[0] for row in found.values() if not isinstance(row, Unreadable)}


def test_values_are_those_that_moonraker_answers(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    before = content(tmp_path)
    expected = {name: value for name, value in said()["namespaces"].items() if name != "webcams" and value}
    found: dict[str, dict[str, object]] = {}
    with opened(path) as tables:
        for row in tables.values():
            assert not isinstance(row, Unreadable)
            found.setdefault(row[0], {})[row[1]] = row[2]
    assert {name: found[name] for name in expected} == expected
    assert content(tmp_path) == before


def test_what_stands_in_a_write_ahead_log_counts(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as moonraker:
        moonraker.execute("PRAGMA journal_mode = wal")
        moonraker.execute("PRAGMA wal_autocheckpoint = 0")
        moonraker.execute("INSERT INTO namespace_store VALUES ('fresh', 'a', ?)", (b"?\1",))
        before = content(tmp_path)
        assert "fresh" in names(path)
        assert content(tmp_path) == before


def test_the_copy_has_no_name_any_more_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, place = path_of(tmp_path), tmp_path / "copies"
    place.mkdir()
    monkeypatch.setattr(database, "DISK", place)
    with opened(path) as found:
        assert not [*place.iterdir()]
        assert found.count("job_history") == len([*found.jobs()]) == 8


def test_what_a_crash_has_left_half_done_does_not_count(tmp_path: Path) -> None:
    path = path_of(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as moonraker:
        moonraker.execute("PRAGMA cache_size = 2")
        moonraker.execute("BEGIN")
        moonraker.executemany(
            "INSERT INTO namespace_store VALUES ('half', ?, ?)", [(str(n), b"s" + b"x" * 4000) for n in range(40)]
        )
        assert path.with_name(f"{path.name}-journal").stat().st_size > 512
        crashed = tmp_path / "crashed" / DATABASE.name
        shutil.copytree(path.parent, crashed.parent)
        before = content(crashed.parent)
        assert "half" not in names(crashed) and "mainsail" in names(crashed)
        assert content(crashed.parent) == before


@pytest.mark.parametrize("times", [3, 1000])
def test_a_copy_counts_when_nothing_was_written_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    path, copyfile, copies = path_of(tmp_path), shutil.copyfile, []

    def disturbed(source: Path, target: Path) -> Path:
        copies.append(copyfile(source, target))
        if len(copies) <= times:
            os.utime(path, ns=(len(copies), len(copies)))  # Moonraker has written something
        return target

    monkeypatch.setattr(shutil, "copyfile", disturbed)
    monkeypatch.setattr(database, "PAUSE", 0.0)
    if times < database.ATTEMPTS:
        assert "mainsail" in names(path) and len(copies) == times + 1
    else:
        with pytest.raises(ConfigError, match="stop Moonraker first"), opened(path):
            pass


@pytest.mark.parametrize("how", ["rubbish", "cut", "wrong"])
def test_a_damaged_database_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    path = path_of(tmp_path)
    whole = path.read_bytes()
    page = 4096
    damaged = {
        "rubbish": b"no database " * 400,
        "cut": whole[:9000],
        "wrong": whole[:page] + b"\xff" * 8 + whole[page + 8 :],
    }
    path.write_bytes(damaged[how])
    monkeypatch.setattr(database, "PAUSE", 0.0)
    with pytest.raises(ConfigError, match=r"moonraker-sql\.db: (cannot be read|is damaged)"), opened(path):
        pass


@pytest.mark.parametrize("record", [b"", b"q123", b"x", b"{", b"s\xff", b"d", b"[1"])
def test_records_that_are_none_are_told(tmp_path: Path, record: bytes) -> None:
    with pytest.raises(ValueError):
        value_of(record)
    path = path_of(tmp_path)
    with closing(sqlite3.connect(path)) as tables, tables:
        tables.execute("INSERT INTO namespace_store VALUES ('odd', 'k', ?)", (record,))
    with opened(path) as found:
        bad = [row.what for row in found.values() if isinstance(row, Unreadable)]
    assert bad == ["key k of the namespace odd"]
