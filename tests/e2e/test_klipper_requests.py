"""Klipper's own requests on a running program: by name over all transports, and through tunnels."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.e2e.test_print import PATIENCE, Socket, fast_printer, get, log_read, until
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running

Json = dict[str, Any]
INFO = {"id": 1, "method": "info", "params": {}}
STEPPER = {"name": "stepper_x", "response_template": {"key": "steps"}}
DUMP = {"id": 2, "method": "motion_report/dump_stepper", "params": STEPPER}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("klipper")
    with running(folder / "data", *fast_printer(folder)) as (_, found):
        yield found


@pytest.fixture(autouse=True)
def ready(request: pytest.FixtureRequest) -> None:
    """Klipper is ready before each test of the running printer."""
    if "where" in request.fixturenames:
        where: Addresses = request.getfixturevalue("where")
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))


def status_of(where: Addresses, path: str, verb: str = "GET") -> tuple[int, Json]:
    """Status and body of a request that is refused."""
    request = urllib.request.Request(where.http + path, method=verb)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)  # noqa: S310
    return refused.value.code, json.load(refused.value)["error"]


def tunnel_of(where: Addresses) -> str:
    return where.http.replace("http", "ws") + "/klippysocket"


def test_before_klipper_first_connects_everything_about_it_is_503(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--klippy", str(tmp_path / "none.sock")) as (_, where):
        for path in ("/printer/bed_mesh/dump_mesh", "/printer/nosuch", "/printer/any/thing", "/printer/list_endpoints"):
            for verb in ("GET", "POST"):
                code, error = status_of(where, path, verb)
                assert (code, error["code"]) == (503, 503)
        with connect(where.http.replace("http", "ws") + "/websocket") as connection:
            client = Socket(connection)
            for method in ("printer.bed_mesh.dump_mesh", "printer.nosuch", "klippy.tunnel.open"):
                assert client.ask(method)["error"]["code"] == 503
        with pytest.raises(InvalidStatus) as refused, connect(tunnel_of(where)):
            pass
        assert refused.value.response.status_code == 503


def test_what_klipper_does_not_know_is_404(where: Addresses) -> None:
    for path in ("/printer/nosuch", "/printer/any/thing?a=b", "/printer/list_endpoints", "/printer/a.b", "/printer/"):
        code, error = status_of(where, path)
        assert (code, error["code"], bool(error["message"])) == (404, 404, True)
    code, error = status_of(where, "/printer/motion_report/dump_stepper?name=stepper_x")
    assert code == 400 and "/klippysocket" in error["message"]
    assert status_of(where, "/printer/print/pause")[0] == 405


def test_a_bed_mesh_has_the_recorded_shape(where: Addresses) -> None:
    mesh = get(where, "/printer/bed_mesh/dump_mesh")
    assert set(mesh) == {"current_mesh", "profiles", "calibration", "probe_offsets", "axis_minimum", "axis_maximum"}
    assert get(where, "/printer/bed_mesh/dump_mesh", post=True) == mesh


def test_errors_keep_klippers_text_and_names_their_record(where: Addresses) -> None:
    assert get(where, "/printer/pause_resume/cancel?a:int=5&b=x", post=True) == "ok"
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        client = Socket(connection)
        assert client.ask("printer.pause_resume.resume", note={"deep": [1]})["result"] == "ok"
    commands = [event["data"] for event in log_read(where.data) if event["type"] == "command.accepted.1"]
    assert {"method": "printer.pause_resume.cancel", "params": {"a": 5, "b": "x"}} in commands
    assert {"method": "printer.pause_resume.resume", "params": {"note": {"deep": [1]}}} in commands
    assert "printer.bed_mesh.dump_mesh" not in [command["method"] for command in commands]


def test_a_websocket_tunnel_carries_dumps_and_ends_with_klipper(where: Addresses) -> None:
    with connect(tunnel_of(where)) as tunnel:
        tunnel.send(json.dumps(INFO))
        assert json.loads(tunnel.recv(PATIENCE))["result"]["state"] == "ready"
        tunnel.send(json.dumps(DUMP).encode())
        assert "header" in json.loads(tunnel.recv(PATIENCE))["result"]
        get(where, "/printer/gcode/script?script=G28", post=True)
        steps = json.loads(tunnel.recv(PATIENCE))
        assert steps["key"] == "steps" and steps["params"]["data"]
        get(where, "/printer/restart", post=True)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                tunnel.recv(PATIENCE)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001
    opened = [event for event in log_read(where.data) if event["data"].get("method") == "klippy.tunnel.open"]
    assert opened[-1]["actor"]["transport"] == "klippysocket"


def test_an_mqtt_client_has_the_same_tunnel(where: Addresses) -> None:
    async def main() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("desk")
        await client.subscribe(("test/moonraker/api/response/desk", 0))
        request = {"jsonrpc": "2.0", "method": "klippy.tunnel.open", "id": 1}
        await client.publish("test/moonraker/api/request/desk", json.dumps(request).encode())
        topics = json.loads((await client.published(PATIENCE)).payload)["result"]
        await client.subscribe((topics["receive"], 0), (topics["state"], 0))
        await client.publish(topics["send"], json.dumps(INFO).encode())
        answer = await client.published(PATIENCE)
        assert answer.topic == topics["receive"] and json.loads(answer.payload)["result"]["state"] == "ready"
        await client.publish(topics["control"], b'{"open":false}')
        ended = await client.published(PATIENCE)
        assert (ended.topic, json.loads(ended.payload)["open"]) == (topics["state"], False)
        await client.disconnect()

    asyncio.run(main())


def test_on_the_shared_topic_nobody_gets_a_tunnel(where: Addresses) -> None:
    async def main() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("shared")
        await client.subscribe(("test/moonraker/api/response", 0))
        request = {"jsonrpc": "2.0", "method": "klippy.tunnel.open", "id": "t"}
        await client.publish("test/moonraker/api/request", json.dumps(request).encode())
        assert json.loads((await client.published(PATIENCE)).payload)["error"]["code"] == 400
        await client.disconnect()

    asyncio.run(main())


def test_a_unix_client_follows_the_printer(where: Addresses) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(where.data / "comms" / "moonraker.sock"))
        ask = {"jsonrpc": "2.0", "method": "printer.objects.subscribe", "params": {"objects": {"toolhead": None}}}
        connection.sendall(json.dumps({**ask, "id": 1}).encode() + b"\x03")
        stream, seen = b"", []
        while "notify_status_update" not in seen:
            stream += connection.recv(65536)
            *whole, stream = stream.split(b"\x03")
            seen += [json.loads(each).get("method", "answer") for each in whole]
        assert seen[0] == "answer"
