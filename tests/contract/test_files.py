"""Files over HTTP and websocket on the running program: uploads, downloads, changes, and what is announced."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from socket import create_connection as socket_to
from typing import Any
from urllib.parse import quote

import pytest
from websockets.sync.client import connect

from tests.e2e.test_print import PATIENCE, Socket, get, until
from tests.file_client import download, field, file_part, form, post, request, upload
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running
from tests.unit.agents.filestore.metadata.pictures import block, picture

CHANGED = "notify_filelist_changed"
Json = dict[str, Any]
PICTURE = base64.b64decode(  # 32x32
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAYAAABzenr0AAAALUlEQVR42u3OQQEAAAQEMEf/zMTw2RIs6dl61PVMQEBAQEBA"
    "QEBAQEBAQEDgAIHEAUXfHSbAAAAAAElFTkSuQmCC"
)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "data" / "gcodes").mkdir(parents=True)
    (folder / "data" / "gcodes" / ".printbus-left").write_text("of a run that was killed")
    with running(folder / "data", "--virtual") as (_, addresses):
        until(lambda: bool(get(addresses, "/server/info")["klippy_state"] == "ready"))
        until(lambda: "demo.gcode" in paths(addresses))
        first = addresses.data / "gcodes" / "first.gcode"
        first.write_text("G28\n")
        until(lambda: "first.gcode" in paths(addresses))  # all have been looked at since they are watched
        first.unlink()
        until(lambda: "first.gcode" not in paths(addresses))
        yield addresses


@pytest.fixture
def socket(where: Addresses) -> Iterator[Socket]:
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        yield Socket(connection)


def listed(where: Addresses, root: str = "gcodes") -> list[Json]:
    found: list[Json] = get(where, f"/server/files/list?root={root}")
    return found


def paths(where: Addresses, root: str = "gcodes") -> list[str]:
    return [file["path"] for file in listed(where, root)]


def unfinished(where: Addresses) -> list[Path]:
    return [path for path in (where.data / "gcodes").rglob("*") if path.name.startswith(".printbus-")]


def heard(socket: Socket, path: str) -> Json:
    """The next notification about a path."""
    found = socket.hear(lambda said: said.get("method") == CHANGED and said["params"][0]["item"]["path"] == path)
    change: Json = found["params"][0]
    return change


def test_an_upload_is_answered_as_by_the_reference_server(where: Addresses) -> None:
    answer = upload(where, "bär 1.gcode", root="gcodes", path="neu/tief", print="false")
    assert answer.status == 201
    assert answer.headers["location"] == f"http://{answer_host(where)}/server/files/gcodes/neu/tief/b%C3%A4r%201.gcode"
    item = answer.json["item"]
    assert (item["path"], item["root"], item["size"], item["permissions"]) == (
        "neu/tief/bär 1.gcode",
        "gcodes",
        4,
        "rw",
    )
    assert {key: answer.json[key] for key in ("action", "print_started", "print_queued")} == {
        "action": "create_file",
        "print_started": False,
        "print_queued": False,
    }
    again = upload(where, "bär 1.gcode", b"G29\n", path="neu/tief")
    assert again.json["action"] == "create_file"  # also of a file that was there
    assert (where.data / "gcodes" / "neu" / "tief" / "bär 1.gcode").read_bytes() == b"G29\n"


def answer_host(where: Addresses) -> str:
    return where.http.removeprefix("http://")


def test_fields_may_come_behind_the_file(where: Addresses) -> None:
    answer = post(where, form(file_part("behind.cfg", b"# x\n"), field("root", "config"), field("path", "deep")))
    assert answer.status == 201 and answer.json["item"]["path"] == "deep/behind.cfg"
    assert "print_started" not in answer.json
    assert (where.data / "config" / "deep" / "behind.cfg").read_bytes() == b"# x\n"


@pytest.mark.parametrize(("name", "path"), [("h.ufp", ".hid"), (".h.ufp", "")])
def test_a_hidden_archive_stays_what_it_is(where: Addresses, name: str, path: str) -> None:
    answer = upload(where, name, b"PK of an archive", path=path)
    assert answer.status == 201
    assert answer.json["item"]["path"] == f"{path}/{name}".lstrip("/")
    assert (where.data / "gcodes" / path / name).exists()


@pytest.mark.parametrize(
    "name",
    [
        "idna''%ff%fe.gcode",
        "a%00b''a.gcode",
        "unicode_escape''%5Cud800.gcode",
        "utf-16''a.gcode",
        "utf-8''%ff.gcode",
        "utf-8''%ed%a0%80.gcode",
        "utf-8''€.gcode",
    ],
)
def test_a_name_in_no_character_set_of_names_is_refused(where: Addresses, name: str) -> None:
    assert post(where, form(file_part("a.gcode", b"G28\n", extra=f"; filename*={name}"))).status == 400


@pytest.mark.parametrize("name", ["UTF-8''f%c3%bcnf.gcode", "iso-8859-1'de'f%fcnf.gcode", "''f%c3%bcnf.gcode"])
def test_a_name_may_say_its_character_set(where: Addresses, name: str) -> None:
    answer = post(where, form(file_part("a.gcode", b"G28\n", extra=f"; filename*={name}")))
    assert (answer.status, answer.json["item"]["path"]) == (201, "fünf.gcode")


def test_a_checksum_is_checked(where: Addresses) -> None:
    content = b"G28\n" * 100_000
    right = sha256(content).hexdigest()
    assert upload(where, "sum.gcode", content, checksum=right.upper()).status == 201
    wrong = post(where, form(file_part("wrong.gcode", content), field("checksum", "0" * 64)))
    assert wrong.status == 422
    assert "wrong.gcode" not in paths(where) and not unfinished(where)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(field("root", "gcodes")), 400),
        (form(file_part("x.gcode", b"x"))[:-20], 400),
        (form(file_part("x.gcode", b"x" * 3_000_000))[:2_000_000], 400),
        (b"G28", 400),
        (b"", 400),
        (form(file_part("", b"x")), 400),
        (form(file_part("a.gcode", b"x"), file_part("b.gcode", b"y")), 400),
        (form(file_part("x.gcode", b"x"), field("root", "nosuch")), 400),
        (form(file_part("x.log", b"x"), field("root", "logs")), 400),
        (form(file_part("nosuch/x.gcode", b"x")), 400),
        (form(file_part("x.gcode/", b"x"), field("path", "demo.gcode")), 400),
        (form(field("pad", "x" * 20_000_000), file_part("x.gcode", b"x")), 413),
        (form(*(field(f"f{number}", "x") for number in range(10_000)), file_part("x.gcode", b"x")), 413),
    ],
    ids=[
        "no file",
        "no end",
        "cut",
        "no form",
        "empty",
        "no name",
        "two",
        "root",
        "logs",
        "folder",
        "file",
        "20 MB",
        "many",
    ],
)
def test_a_broken_upload_leaves_nothing(where: Addresses, body: bytes, status: int) -> None:
    before = paths(where)
    answer = post(where, body)
    assert (answer.status, bool(answer.json["error"]["message"])) == (status, True)
    assert paths(where) == before and not unfinished(where)
    assert upload(where, "after.gcode").status == 201


def test_a_body_of_another_kind_is_refused(where: Addresses) -> None:
    assert request(where, "POST", "/server/files/upload", b"G28", Content_Type="text/plain").status == 400


def test_too_large_is_said_before_it_is_sent(where: Addresses) -> None:
    head = form(file_part("huge.gcode", b"x"))
    answer = request(
        where,
        "POST",
        "/server/files/upload",
        head,
        Content_Type="multipart/form-data; boundary=form-of-a-test",
        Content_Length=str(2 << 30),
    )
    assert answer.status == 413 and "max_upload_size" in answer.json["error"]["message"]


def test_a_download_has_validators_and_ranges(where: Addresses) -> None:
    content = bytes(range(256)) * 8000
    upload(where, "ünïcode %22q%22.bin", content)
    name = next(path.name for path in (where.data / "gcodes").glob("*.bin"))
    answer = download(where, f"gcodes/{name}")
    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["accept-ranges"] == "bytes" and answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert "filename*=UTF-8''%C3%BCn%C3%AFcode" in answer.headers["content-disposition"]
    since = answer.headers["last-modified"]
    assert download(where, f"gcodes/{name}", If_Modified_Since=since).status == 304
    assert download(where, f"gcodes/{name}", If_Modified_Since="Thu, 01 Jan 1970 00:00:01 GMT").status == 200
    for wanted, part in {"0-0": content[:1], "100000-": content[100_000:], "-7": content[-7:]}.items():
        answer = download(where, f"gcodes/{name}", Range=f"bytes={wanted}")
        assert (answer.status, answer.body) == (206, part)
    assert answer.headers["content-range"] == f"bytes {len(content) - 7}-{len(content) - 1}/{len(content)}"
    assert download(where, f"gcodes/{name}", Range=f"bytes={len(content)}-").status == 416
    head = request(where, "HEAD", f"/server/files/gcodes/{quote(name)}")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(content)), b"")


@pytest.mark.parametrize(
    "wanted", ["lines=1-2", "bytes=abc", "bytes=4-2", "bytes=-", "bytes=0-1,3-4", "bytes=" + "9" * 5000]
)
def test_a_range_that_is_none_is_ignored(where: Addresses, wanted: str) -> None:
    upload(where, "ranges.dat", b"0123456789")
    answer = download(where, "gcodes/ranges.dat", Range=wanted)
    assert (answer.status, answer.body) == (200, b"0123456789") and "content-range" not in answer.headers


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=-5", "bytes=0-0"])
def test_an_empty_file_has_no_parts(where: Addresses, wanted: str) -> None:
    upload(where, "empty.dat", b"")
    answer = download(where, "gcodes/empty.dat", Range=wanted)
    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */0")
    assert download(where, "gcodes/empty.dat").status == 200


def test_a_part_is_of_the_file_that_the_client_has_begun_with(where: Addresses) -> None:
    upload(where, "resumed.dat", b"old content")
    path = where.data / "gcodes" / "resumed.dat"
    os.utime(path, (1_000_000_000, 1_000_000_000))
    begun = download(where, "gcodes/resumed.dat", Range="bytes=0-3").headers["last-modified"]
    more = download(where, "gcodes/resumed.dat", Range="bytes=4-", If_Range=begun)
    assert (more.status, more.body) == (206, b"content")
    assert download(where, "gcodes/resumed.dat", Range="bytes=4-", If_Range='"tag"').status == 200
    upload(where, "resumed.dat", b"new content")
    more = download(where, "gcodes/resumed.dat", Range="bytes=4-", If_Range=begun)
    assert (more.status, more.body) == (200, b"new content")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.gcode", "text/plain"),
        ("A.GCODE", "text/plain"),
        ("a.cfg", "text/plain"),
        ("a.log", "text/plain"),
        ("a.png", "image/png"),
        ("a.unknown", "application/octet-stream"),
    ],
)
def test_text_is_called_text_and_saved_all_the_same(where: Addresses, name: str, kind: str) -> None:
    upload(where, name, b"G28\n")
    headers = download(where, f"gcodes/{name}").headers
    assert headers["content-type"] == kind and headers["content-disposition"].startswith("attachment")


def test_fixed_addresses_of_logs(where: Addresses) -> None:
    assert request(where, "GET", "/server/files/klippy.log").status in (200, 404)
    (where.data / "logs" / "moonraker.log").write_text("hello")
    assert request(where, "GET", "/server/files/moonraker.log").body == b"hello"


def test_what_is_changed_here_is_announced_behind_the_answer(where: Addresses, socket: Socket) -> None:
    orders: list[tuple[str, Json]] = [
        ("server.files.post_directory", {"path": "gcodes/dir1"}),
        ("server.files.copy", {"source": "gcodes/demo.gcode", "dest": "gcodes/dir1/a.gcode"}),
        ("server.files.move", {"source": "gcodes/dir1", "dest": "gcodes/dir2"}),
        ("server.files.delete_directory", {"path": "gcodes/dir2", "force": True}),
    ]
    for method, params in orders:
        assert "result" in socket.ask(method, **params)
    socket.hear(lambda said: said.get("method") == CHANGED and said["params"][0]["action"] == "delete_dir")
    about = [
        said
        for said in socket.heard
        if "id" in said or (said.get("method") == CHANGED and said["params"][0]["item"]["path"].startswith("dir"))
    ]
    order = [said["params"][0]["action"] if "method" in said else said["id"] for said in about]
    changes = [each for each in order if isinstance(each, str)]
    assert changes == ["create_dir", "create_file", "move_dir", "delete_dir"]
    assert all(order.index(number + 1) < order.index(change) for number, change in enumerate(changes))


def test_changes_of_others_are_announced_once_and_when_they_are_finished(where: Addresses, socket: Socket) -> None:
    gcodes = where.data / "gcodes"
    with (gcodes / "slow.gcode").open("wb") as slow:
        slow.write(b"G28\n")
        slow.flush()
        (gcodes / "quick.gcode").write_bytes(b"G28\n")
        assert heard(socket, "quick.gcode")["action"] == "create_file"
        assert "slow.gcode" not in paths(where)
        slow.write(b"G29\n")
    change = heard(socket, "slow.gcode")
    assert (change["action"], change["item"]["size"]) == ("create_file", 8)
    (gcodes / "slow.gcode").rename(gcodes / "done.gcode")
    change = heard(socket, "done.gcode")
    assert (change["action"], change["source_item"]) == ("move_file", {"path": "slow.gcode", "root": "gcodes"})
    (gcodes / "done.gcode").write_bytes(b"G1\n")
    assert heard(socket, "done.gcode")["action"] == "modify_file"
    (gcodes / "done.gcode").unlink()
    assert heard(socket, "done.gcode")["action"] == "delete_file"


def test_a_folder_from_outside_is_announced_as_one(where: Addresses, socket: Socket, tmp_path: Path) -> None:
    gcodes = where.data / "gcodes"
    for number in range(3):
        (tmp_path / "stick" / f"sub{number}").mkdir(parents=True)
        (tmp_path / "stick" / f"sub{number}" / "part.gcode").write_text("G28\n")
    subprocess.run(["cp", "-r", tmp_path / "stick", gcodes / "stick"], check=True)
    assert heard(socket, "stick")["action"] == "create_dir"
    assert [path for path in paths(where) if path.startswith("stick/")] == [
        f"stick/sub{n}/part.gcode" for n in range(3)
    ]
    shutil.rmtree(gcodes / "stick")
    assert heard(socket, "stick")["action"] == "delete_dir"
    assert not [said for said in socket.heard if "stick/" in json.dumps(said)]


def test_the_printed_file_stays_as_it_is(where: Addresses, socket: Socket) -> None:
    thumbs, gcode = where.data / "gcodes" / "job" / ".thumbs", block(picture(48, 48), "48x48").encode()
    upload(where, "long.gcode", gcode + b"\nG4 P300\n" * 100, path="job", print="true")
    until(lambda: printing(where) == "job/long.gcode")
    for verb, path in (
        ("DELETE", "/server/files/gcodes/job/long.gcode"),
        ("DELETE", "/server/files/directory?path=gcodes/job&force=true"),
        ("POST", "/server/files/move?source=gcodes/job&dest=gcodes/other"),
        ("POST", "/server/files/move?source=gcodes/demo.gcode&dest=gcodes/job/long.gcode"),
        ("POST", "/server/files/copy?source=gcodes/demo.gcode&dest=gcodes/job/long.gcode"),
    ):
        assert request(where, verb, path).status == 403, path
    pictures = {path.name: path.read_bytes() for path in thumbs.iterdir()}
    other = block(picture(64, 64), "64x64").encode()
    assert upload(where, "long.gcode", other + b"\nG28\n", path="job").status == 403
    assert len(pictures) == 2 and {path.name: path.read_bytes() for path in thumbs.iterdir()} == pictures
    copied = request(where, "POST", "/server/files/copy?source=gcodes/job&dest=gcodes/copied")
    assert copied.status == 200
    get(where, "/printer/print/cancel", post=True)
    until(lambda: printing(where) == "")
    assert request(where, "DELETE", "/server/files/directory?path=gcodes/job&force=true").status == 200


def printing(where: Addresses) -> str:
    stats = get(where, "/printer/objects/query?print_stats")["status"]["print_stats"]
    return str(stats["filename"]) if stats["state"] in ("printing", "paused") else ""


def test_what_an_earlier_run_left_is_gone(where: Addresses) -> None:
    assert not (where.data / "gcodes" / ".printbus-left").exists()


def test_server_info_names_the_roots(where: Addresses) -> None:
    assert set(get(where, "/server/info")["registered_directories"]) >= {"gcodes", "config", "logs"}


def sliced(where: Addresses, name: str) -> None:
    """A file as a slicer writes it, with a picture."""
    picture = base64.b64encode(PICTURE).decode()
    head = f"; generated by PrusaSlicer 2.8.0 on 2026-11-20\n; thumbnail begin 32x32 {len(picture)}\n; {picture}\n"
    tail = "; estimated printing time (normal mode) = 1h 2m 3s\n; layer_height = 0.2\n"
    assert upload(where, name, f"{head}; thumbnail end\n{'G1 X1 Y1 E1' + chr(10)}{tail}".encode()).status == 201


def metadata(where: Addresses, name: str) -> Json:
    found: Json = get(where, f"/server/files/metadata?filename={quote(name)}")
    return found


def test_metadata_is_there_with_the_answer_and_goes_with_the_file(where: Addresses) -> None:
    sliced(where, "sliced.gcode")
    known = metadata(where, "sliced.gcode")
    assert (known["slicer"], known["estimated_time"], known["job_id"]) == ("PrusaSlicer", 3723, None)
    (thumbnail,) = get(where, "/server/files/thumbnails?filename=sliced.gcode")
    assert download(where, f"gcodes/{thumbnail['thumbnail_path']}").body == PICTURE
    get(where, "/server/files/directory?path=gcodes/shelf", post=True)
    get(where, "/server/files/move?source=gcodes/sliced.gcode&dest=gcodes/shelf/other.gcode", post=True)
    moved = metadata(where, "shelf/other.gcode")
    assert (moved["uuid"], moved["filename"]) == (known["uuid"], "shelf/other.gcode")
    (thumbnail,) = get(where, "/server/files/thumbnails?filename=shelf/other.gcode")
    assert thumbnail["thumbnail_path"] == "shelf/.thumbs/other-32x32.png"
    assert download(where, f"gcodes/{thumbnail['thumbnail_path']}").body == PICTURE
    get(where, "/server/files/move?source=gcodes/shelf&dest=gcodes/rack", post=True)
    assert metadata(where, "rack/other.gcode")["uuid"] == known["uuid"]
    (entry,) = get(where, "/server/files/directory?path=gcodes/rack&extended=true")["files"]
    assert (entry["filename"], entry["slicer"]) == ("other.gcode", "PrusaSlicer")
    assert request(where, "DELETE", "/server/files/gcodes/rack/other.gcode").status == 200
    assert not list((where.data / "gcodes" / "rack" / ".thumbs").iterdir())
    assert request(where, "GET", "/server/files/metadata?filename=rack/other.gcode").status == 404


def test_metadata_of_a_file_that_changes_behind_our_back_is_read_again(where: Addresses, socket: Socket) -> None:
    sliced(where, "behind.gcode")
    (where.data / "gcodes" / "behind.gcode").write_text("; generated by SuperSlicer 2.5.59 on 2026-11-20\nG1 X1 E1\n")
    assert heard(socket, "behind.gcode")["action"] in ("create_file", "modify_file")
    until(lambda: metadata(where, "behind.gcode")["slicer"] == "SuperSlicer")


def test_metadata_outlives_the_program(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--virtual") as (_, first):
        sliced(first, "kept.gcode")
        known = metadata(first, "kept.gcode")
    with running(tmp_path / "data", "--virtual") as (_, again):
        until(lambda: "kept.gcode" in paths(again))
        assert metadata(again, "kept.gcode") == known


def test_the_progress_of_an_upload_is_on_the_bus(where: Addresses) -> None:
    seen = threading.Event()

    async def watch() -> Json:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("watcher")
        await client.subscribe(("test/state/filestore/uploads", 0))
        sending = asyncio.create_task(asyncio.to_thread(slow_upload, where, seen), name="upload")
        while not (progress := await shown(client)):
            continue
        seen.set()
        while await shown(client):
            continue
        await sending
        await client.disconnect()
        return progress[0]

    async def shown(client: WireClient) -> list[Json]:
        """The upload in the next report, where it is in it; those of other tests may be, too."""
        report = json.loads((await client.published()).payload)
        return [each for each in report["uploads"] if each["name"] == "slowly.gcode"]

    progress = asyncio.run(watch())
    assert 0 <= progress["received"] <= progress["size"]


def slow_upload(where: Addresses, seen: threading.Event) -> None:
    """An upload that stops in the middle until it has been seen."""
    body = form(file_part("slowly.gcode", b"G28\n" * 500_000))
    host, port = answer_host(where).split(":")
    with socket_to((host, int(port))) as connection:
        head = (
            "POST /server/files/upload HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: multipart/form-data; boundary=form-of-a-test\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body[:1_000_000])
        seen.wait(PATIENCE)
        connection.sendall(body[1_000_000:])
        assert b" 201 " in connection.recv(4096)
