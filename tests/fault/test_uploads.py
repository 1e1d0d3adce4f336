"""Uploads that are interrupted: by a kill, a full disk, or a client that does not do what it has said."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_print import get, until
from tests.file_client import download, file_part, form, upload
from tests.program import Addresses, Program, addresses, running, up_arguments

STEP = 64 << 10
SIZE = 4 << 20
OLD = b"; the old file\n"
CAMPAIGN = os.environ.get("PRINTBUS_CAMPAIGN")
TRIALS = SIZE // STEP if CAMPAIGN else 6


def unfinished(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".printbus-")]


def begin(where: Addresses, body: bytes, length: int) -> socket.socket:
    """A connection on which an upload has begun."""
    host, port = where.http.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    head = (
        "POST /server/files/upload HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary=form-of-a-test\r\nContent-Length: {length}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def test_a_kill_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    data, body = tmp_path / "data", form(file_part("part.gcode", os.urandom(SIZE)))
    (data / "gcodes").mkdir(parents=True)
    (data / "gcodes" / "part.gcode").write_bytes(OLD)
    for trial in range(TRIALS):
        program = Program(*up_arguments(data, "--virtual"))
        where = addresses(program.ready_line())._replace(data=data)
        until(lambda: not unfinished(data))
        assert download(where, "gcodes/part.gcode").body == OLD
        sent = STEP * (1 + trial * (SIZE // STEP) // TRIALS)
        connection = begin(where, body[:sent], len(body))
        until(lambda: bool(unfinished(data / "gcodes")))
        program.stop(signal.SIGKILL)
        connection.close()
        assert (data / "gcodes" / "part.gcode").read_bytes() == OLD
    with running(data, "--virtual") as (_, where):
        until(lambda: not unfinished(data))
        assert upload(where, "part.gcode", b"G28\n").json["action"] == "modify_file"


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--virtual") as (_, where):
        body = form(file_part("gone.gcode", os.urandom(SIZE)))
        connection = begin(where, body[: SIZE // 2], len(body))
        until(lambda: bool(unfinished(where.data / "gcodes")))
        connection.close()
        until(lambda: not unfinished(where.data / "gcodes"))
        longer = begin(where, body, len(body) + 1000)  # it says that more will come
        until(lambda: bool(unfinished(where.data / "gcodes")))
        longer.shutdown(socket.SHUT_WR)
        until(lambda: not unfinished(where.data / "gcodes"))
        longer.close()
        shorter = begin(where, body, len(body) - 1000)  # it sends more than it has said
        assert b" 400 " in shorter.recv(4096)
        shorter.close()
        until(lambda: not unfinished(where.data / "gcodes"))
        assert "gone.gcode" not in [file["path"] for file in get(where, "/server/files/list")]
        assert upload(where, "next.gcode").status == 201


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    if os.geteuid() or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "48m") as disk:
        (disk / "old.gcode").write_bytes(OLD)
        config = tmp_path / "printer.yaml"
        config.write_text(f"filestore:\n  gcodes: {disk}\n")
        with running(tmp_path / "data", "--virtual", "--config", str(config)) as (_, where):
            until(lambda: "old.gcode" in [file["path"] for file in get(where, "/server/files/list")])
            too_much = upload(where, "much.gcode", os.urandom(30 << 20))
            assert (too_much.status, too_much.json["error"]["code"]) == (507, 507)
            assert upload(where, "old.gcode", os.urandom(30 << 20)).status == 507
            assert not unfinished(disk)
            assert (disk / "old.gcode").read_bytes() == OLD
            assert upload(where, "little.gcode", b"G28\n" * 1000).status == 201


def test_an_emergency_stop_does_not_wait_for_an_upload(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--virtual") as (_, where):
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        body = form(file_part("big.bin", os.urandom(64 << 20)))
        connection = begin(where, body[:-1000], len(body))
        begun = time.monotonic()
        get(where, "/printer/emergency_stop", post=True)
        assert time.monotonic() - begun < 2.0  # generous: the measured bound is in the benchmarks
        connection.close()
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "shutdown"))
