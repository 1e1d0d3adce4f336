"""One table of hostile names, by every file method, on every transport: nothing outside a root is seen or touched."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.sync.client import connect

from tests.conftest import Run
from tests.e2e.test_print import Socket, get, until
from tests.file_client import field, file_part, form, post, request
from tests.mqtt_files import Failed, FileClient
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running

SECRET = b"of nobody's business"
Json = dict[str, Any]
Ask = Callable[[str, Json], Json]

# Each is meant to follow `gcodes/`; {outside} is a folder beside the data folder that holds `secret.gcode`.
HOSTILE = {
    "dot dot": "../../outside/secret.gcode",
    "dot dot inside": "a/../../../outside/secret.gcode",
    "encoded": "%2e%2e/%2e%2e/outside/secret.gcode",
    "encoded twice": "%252e%252e/%252e%252e/outside/secret.gcode",
    "encoded slash": "..%2f..%2foutside%2fsecret.gcode",
    "backslashes": "..\\..\\outside\\secret.gcode",
    "absolute": "/{outside}/secret.gcode",
    "absolute twice": "//{outside}/secret.gcode",
    "sibling": "../gcodes2/secret.gcode",
    "nul": "demo.gcode\0.txt",
    "long name": "x" * 300,
    "long path": "/".join(["x" * 200] * 40),
    "deep": "/".join("x" * 200),
    "full width": "\uff0e\uff0e/\uff0e\uff0e/outside/secret.gcode",
    "two dots leader": "\u2025/\u2025/outside/secret.gcode",
    "decomposed": "e\u0301/../../../outside/secret.gcode",
    "linked file": "link.gcode",
    "linked folder": "linked/secret.gcode",
    "relative link": "relative.gcode",
    "loop": "loop/loop/secret.gcode",
    "fifo": "fifo.gcode",
    "device": "null.gcode",
    "git": ".git/config",
    "git in capitals": ".GIT/config",
    "unfinished": ".printbus-0123/secret.gcode",
}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("hostile")
    data, outside = folder / "data", folder / "outside"
    gcodes = data / "gcodes"
    gcodes.mkdir(parents=True)
    outside.mkdir()
    for place in (outside, data / "gcodes2"):
        place.mkdir(exist_ok=True)
        (place / "secret.gcode").write_bytes(SECRET)
    (gcodes / "a").mkdir()
    (gcodes / "demo.gcode").write_bytes(b"G28\n")
    (gcodes / ".git").mkdir()
    (gcodes / ".git" / "config").write_bytes(SECRET)
    (gcodes / "link.gcode").symlink_to(outside / "secret.gcode")
    (gcodes / "relative.gcode").symlink_to("../../outside/secret.gcode")
    (gcodes / "linked").symlink_to(outside)
    (gcodes / "loop").symlink_to("loop")
    os.mkfifo(gcodes / "fifo.gcode")
    (gcodes / "null.gcode").symlink_to("/dev/zero")
    (data / "config").mkdir()
    (data / "config" / "printer.yaml").write_text("filestore: {links: []}\n")  # the owner's would be followed
    with running(data, "--virtual") as (_, addresses):
        until(lambda: any(file["path"] == "demo.gcode" for file in get(addresses, "/server/files/list")))
        yield addresses


def outside(where: Addresses) -> Path:
    return where.data.parent / "outside"


def over_websocket(where: Addresses) -> Iterator[Ask]:
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        client = Socket(connection)
        yield lambda method, params: client.ask(method, **params)


def over_mqtt(where: Addresses) -> Iterator[Ask]:
    loop = asyncio.new_event_loop()

    async def login() -> WireClient:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("hostile")
        await client.subscribe(("test/moonraker/api/response/hostile", 0))
        return client

    client = loop.run_until_complete(login())

    async def ask(method: str, params: Json) -> Json:
        asked = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
        await client.publish("test/moonraker/api/request/hostile", json.dumps(asked).encode())
        answer: Json = json.loads((await client.published()).payload)
        return answer

    yield lambda method, params: loop.run_until_complete(ask(method, params))
    loop.run_until_complete(client.disconnect())
    loop.close()


TRANSPORTS = {"mqtt": over_mqtt, "websocket": over_websocket}


@pytest.fixture(params=sorted(TRANSPORTS))
def ask(request: pytest.FixtureRequest, where: Addresses) -> Iterator[Ask]:
    yield from TRANSPORTS[request.param](where)


@pytest.fixture(params=sorted(HOSTILE))
def name(request: pytest.FixtureRequest, where: Addresses) -> str:
    return HOSTILE[request.param].replace("{outside}", str(outside(where)))


@pytest.fixture(autouse=True)
def nothing_happens(where: Addresses) -> Iterator[None]:
    """What is outside stays as it is, and nothing is added to it."""
    before = sorted(path.name for path in where.data.parent.iterdir())
    yield
    assert sorted(path.name for path in where.data.parent.iterdir()) == before
    for place in (outside(where), where.data / "gcodes2"):
        assert [path.name for path in place.iterdir()] == ["secret.gcode"]
        assert (place / "secret.gcode").read_bytes() == SECRET
    assert (where.data / "gcodes" / ".git" / "config").read_bytes() == SECRET


def calls(name: str) -> Iterator[tuple[str, Json]]:
    """Every method with the name in every place of its params."""
    path = f"gcodes/{name}"
    for method in ("server.files.metadata", "server.files.metascan", "server.files.thumbnails", "files.print"):
        yield method, {"filename": name}
    yield "server.files.list", {"root": path}
    yield "server.files.get_directory", {"path": path}
    yield "server.files.post_directory", {"path": f"{path}/new"}
    yield "server.files.copy", {"source": path, "dest": "gcodes/a/stolen.gcode"}
    yield "server.files.zip", {"items": [path], "dest": "gcodes/a/stolen.zip"}
    yield "server.files.zip", {"items": ["gcodes/demo.gcode"], "dest": f"{path}/new.zip"}
    yield "server.files.copy", {"source": "gcodes/demo.gcode", "dest": f"{path}/new.gcode"}
    yield "files.upload.open", {"path": name, "filename": "new.gcode"}
    yield "files.download.open", {"path": path}
    yield "server.files.delete_directory", {"path": f"{path}/new", "force": True}
    yield "server.files.delete_file", {"path": f"{path}/new"}
    yield "server.files.move", {"source": f"{path}/new", "dest": "gcodes/a/stolen.gcode"}
    yield "server.files.move", {"source": "gcodes/spare.gcode", "dest": f"{path}/new.gcode"}


def last_calls(name: str) -> Iterator[tuple[str, Json]]:
    """What would take away the thing that has the name, were it one."""
    yield "server.files.move", {"source": f"gcodes/{name}", "dest": "gcodes/a/stolen.gcode"}
    yield "server.files.delete_file", {"path": f"gcodes/{name}"}


LINKS = ("link.gcode", "relative.gcode", "null.gcode", "fifo.gcode")  # may be moved and deleted, as what they are


def test_no_method_leaves_its_root(where: Addresses, ask: Ask, name: str) -> None:
    (where.data / "gcodes" / "spare.gcode").write_bytes(b"G28\n")
    for method, params in (*calls(name), *(last_calls(name) if name not in LINKS else ())):
        answer = ask(method, params)
        if "error" in answer:
            assert answer["error"]["code"] in (400, 403, -32601), (method, answer)
        elif method == "files.upload.open":  # there is room for a few
            ask("files.upload.abort", {"id": answer["result"]["id"]})
        assert "secret" not in json.dumps(answer.get("result", "")) or "outside" in name, (method, answer)
    for stolen in (where.data / "gcodes" / "a").iterdir():
        if stolen.is_file():
            assert SECRET not in stolen.read_bytes(), stolen
            stolen.unlink()


def test_no_download_leaves_its_root(where: Addresses, name: str) -> None:
    for path in (quote(f"gcodes/{name}"), quote(f"gcodes/{name}", safe="/%.\\"), quote(quote(f"gcodes/{name}"))):
        if not path.isascii():
            continue
        answer = request(where, "GET", f"/server/files/{path}")
        assert answer.status in (400, 403, 404), (path, answer)
        assert SECRET not in answer.body
        deleted = request(where, "DELETE", f"/server/files/{path}/new")
        assert deleted.status in (400, 403, 404), path


def test_no_upload_leaves_its_root(where: Addresses, name: str) -> None:
    gone = {path for path in (where.data / "gcodes").rglob("*")}
    for parts in (
        (file_part(f"{name}/new.gcode".replace("\0", "%00"), SECRET),),
        (file_part("fine.gcode", SECRET, extra=f"; filename*=utf-8''{quote(name, safe='')}%2Fnew.gcode"),),
        (field("path", name), file_part("new.gcode", SECRET)),
        (file_part("new.gcode", SECRET), field("path", name)),
        (field("root", f"gcodes/{name}"), file_part("new.gcode", SECRET)),
    ):
        answer = post(where, form(*parts))
        assert answer.status in (201, 400, 403), answer.body
        if answer.status == 201:
            made = where.data / "gcodes" / answer.json["item"]["path"]
            assert (where.data / "gcodes").resolve() in made.resolve().parents
    for path in sorted({path for path in (where.data / "gcodes").rglob("*")} - gone, reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def test_no_upload_over_mqtt_leaves_its_root(where: Addresses, name: str, run: Run[None]) -> None:
    gone = {path for path in (where.data / "gcodes").rglob("*")}
    places: list[Json] = [
        {"filename": f"{name}/new.gcode"},
        {"filename": "new.gcode", "path": name},
        {"filename": "new.gcode", "root": f"gcodes/{name}"},
        {"filename": name},
    ]

    async def scenario() -> None:
        client = await FileClient.open(where, "hostile")
        for place in places:
            for begun in (place, {"filename": "fine.gcode"}):
                try:
                    opened = await client.open_upload(**{"content": SECRET, **begun})
                    await client.send(opened, SECRET, 0, len(SECRET))
                    made = await client.commit(opened, size=len(SECRET), **place)
                except Failed as failed:
                    assert failed.code in (400, 403), (place, failed)
                else:
                    found = where.data / "gcodes" / made["item"]["path"]
                    assert (where.data / "gcodes").resolve() in found.resolve().parents
        await client.close()

    run(scenario())
    (where.data / "gcodes" / "demo.gcode").write_bytes(b"G28\n")
    for path in sorted({path for path in (where.data / "gcodes").rglob("*")} - gone, reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def test_links_that_lead_out_are_shown_and_nothing_more(where: Addresses) -> None:
    files = {file["filename"]: file for file in get(where, "/server/files/directory")["files"]}
    assert files["link.gcode"]["permissions"] == "" and files["link.gcode"]["size"] == 0
    assert "fifo.gcode" not in files
