"""Uploads that are interrupted: by a kill, a full disk, or a client that does not do what it has said."""

import io
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.conftest import Run
from tests.e2e.test_print import Socket, get, until
from tests.file_client import download, file_part, form, upload
from tests.mqtt_files import Failed, FileClient
from tests.program import Addresses, Program, addresses, running, up_arguments

STEP = 64 << 10
SIZE = 4 << 20
PACE = 1 << 20  # bytes in a hundredth of a second
OLD = b"; the old file\n"
CAMPAIGN = os.environ.get("PRINTBUS_CAMPAIGN")
TRIALS = SIZE // STEP if CAMPAIGN else 3


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
        assert upload(where, "part.gcode", b"G28\n").status == 201


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


def test_an_archive_for_which_there_is_no_room_becomes_no_file(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("/3D/model.gcode", os.urandom(2000).hex() * (60 << 8))  # of 60 MB remains 1
    with small_disk(tmp_path / "disk", "48m") as disk:
        config = tmp_path / "printer.yaml"
        config.write_text(f"filestore:\n  gcodes: {disk}\n")
        with running(tmp_path / "data", "--virtual", "--config", str(config)) as (_, where):
            until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
            refused = upload(where, "much.ufp", packed.getvalue(), print="true")
            assert (refused.status, refused.json["error"]["code"]) == (507, 507)
            assert not [path for path in disk.rglob("*") if path.is_file() and path.name != "demo.gcode"]
            assert upload(where, "little.gcode", b"G28\n").status == 201


def test_a_full_disk_ends_an_upload_over_mqtt(tmp_path: Path, run: Run[None]) -> None:
    content = os.urandom(30 << 20)

    async def scenario(where: Addresses) -> None:
        client = await FileClient.open(where, "desk")
        with pytest.raises(Failed) as failed:
            await client.open_upload("much.gcode", content)  # it says how much that is
        assert failed.value.code == 507
        opened = await client.ask("files.upload.open", filename="much.gcode")
        with pytest.raises(Failed) as failed:
            await client.fill({**opened, "start": 0}, content)
        assert failed.value.code == 507
        with pytest.raises(Failed) as failed:
            await client.commit(opened, "much.gcode", len(content))
        assert failed.value.code == 507
        assert (await client.put("little.gcode", b"G28\n"))["action"] == "create_file"
        await client.close()

    with small_disk(tmp_path / "disk", "48m") as disk:
        config = tmp_path / "printer.yaml"
        config.write_text(f"filestore:\n  gcodes: {disk}\n")
        with running(tmp_path / "data", "--virtual", "--config", str(config)) as (_, where):
            run(scenario(where))
            assert not unfinished(disk)


def test_an_upload_delays_neither_status_updates_nor_an_emergency_stop(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--virtual") as (_, where):
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        with uploading(where, 1000 << 20), connect(where.http.replace("http", "ws") + "/websocket") as connection:
            socket = Socket(connection)
            socket.ask("printer.objects.subscribe", objects={"toolhead": ["estimated_print_time"]})
            heard = [updated(socket) for _ in range(8)]
            begun = time.monotonic()
            assert socket.ask("printer.emergency_stop")["result"] == "ok"
            assert time.monotonic() - begun < 2.0  # generous, as below: benchmarks/stop.py measures
            assert unfinished(where.data / "gcodes"), "the upload was over too early"
        assert max(later - earlier for earlier, later in pairwise(heard)) < 2.0
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "shutdown"))


def updated(socket: Socket) -> float:
    """When the next status update has come."""
    socket.hear(lambda said: said.get("method") == "notify_status_update")
    return time.monotonic()


@contextmanager
def uploading(where: Addresses, size: int) -> Iterator[None]:
    """An upload on its way while the block lasts, at a pace that lets it last long enough."""
    over = threading.Event()
    head = file_part("big.bin", b"")[:-2]

    def send() -> None:
        with begin(where, head, len(head) + size) as connection:
            block = bytes(PACE)
            while not over.wait(0.01):
                connection.sendall(block)

    sender = threading.Thread(target=send, name="upload")
    sender.start()
    try:
        until(lambda: bool(unfinished(where.data / "gcodes")))
        yield
    finally:
        over.set()
        sender.join()
