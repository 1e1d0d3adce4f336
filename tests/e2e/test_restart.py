"""Restarts of the running program: the answer first, the same process and ports, changed files but no broken ones."""

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.e2e.test_print import Socket, get, until
from tests.file_client import download, upload
from tests.mqtt_wire import WireClient
from tests.ports import free_port
from tests.program import Addresses, Program, addresses, running, up_arguments

Json = dict[str, Any]

NO_ADDRESS = "192.0.2.7"  # of documents, so of no machine (RFC 5737)
BROKEN = {
    "no YAML": ("printer.yaml", "bridge: [", "not valid YAML"),
    "a slip": ("printer.yaml", "datastor: {gcode_store_size: 9}", "did you mean 'datastore'?"),
    "no listener": ("broker.yaml", f"listeners: {{a: {{port: 0}}, b: {{host: {NO_ADDRESS}, port: 0}}}}", NO_ADDRESS),
    "broken rules": ("broker.yaml", "access: {rules: nowhere.yaml}", "nowhere.yaml"),
}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Addresses]]:
    own = "--http", f"127.0.0.1:{free_port()}", "--mqtt", f"127.0.0.1:{free_port()}"
    with running(tmp_path_factory.mktemp("restarted"), "--virtual", *own) as found:
        yield found


@pytest.fixture
def program(started: tuple[Program, Addresses]) -> Iterator[tuple[Program, Addresses]]:
    """One for all; who edits its files leaves them to be put back."""
    process, where = started
    folder = where.data / "config"
    until(lambda: (folder / "printer.yaml").exists() and (where.data / "printbus" / "last_working.json").exists())
    before = {file: file.read_bytes() for file in folder.glob("*.yaml")}
    yield process, where
    if {file: file.read_bytes() for file in folder.glob("*.yaml")} != before:
        for file in folder.glob("*.yaml"):
            file.unlink()
        for file, content in before.items():
            file.write_bytes(content)
        restart(process, where)


def config(where: Addresses) -> Json:
    found: Json = get(where, "/server/config")
    return found


def warnings(where: Addresses) -> list[str]:
    found: list[str] = get(where, "/server/info")["warnings"]
    return found


def answers(where: Addresses) -> bool:
    try:
        return bool(get(where, "/server/info"))
    except (urllib.error.URLError, ConnectionError):
        return False


def restart(program: Program, where: Addresses) -> None:
    """Asks for it, and waits for the second ready line, which says the same as the first."""
    assert get(where, "/server/restart", post=True) == "ok"
    ready = addresses(program.ready_line())
    assert ready == where._replace(data=ready.data)


def by_websocket(where: Addresses) -> Json:
    """The answer, behind which the connection ends without a close frame: front ends come back only then."""
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        answer = Socket(connection).ask("server.restart")
        with pytest.raises(ConnectionClosedError) as ended:
            while True:
                connection.recv(10)
        assert ended.value.rcvd is None
    return answer


def by_unix_socket(where: Addresses) -> Json:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(where.data / "comms" / "moonraker.sock"))
        connection.sendall(b'{"jsonrpc":"2.0","method":"server.restart","id":1}\x03')
        said = b""
        with contextlib.suppress(ConnectionError):
            while data := connection.recv(65536):
                said += data
    (answer,) = (found for text in said.split(b"\x03")[:-1] if "id" in (found := json.loads(text)))
    return dict(answer)


def by_mqtt(where: Addresses) -> Json:
    async def ask() -> Json:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("restarter")
        await client.subscribe(("test/moonraker/api/response/restarter", 0), ("test/moonraker/status", 0))
        request = {"jsonrpc": "2.0", "method": "server.restart", "id": 1}
        await client.publish("test/moonraker/api/request/restarter", json.dumps(request).encode())
        said = [await client.published() for _ in range(3)]
        await client.closed()
        await client.drop()
        assert [json.loads(message.payload) for message in said[::2]] == [{"server": "online"}, {"server": "offline"}]
        return dict(json.loads(said[1].payload))

    return asyncio.run(ask())


def by_http(where: Addresses) -> Json:
    return {"result": get(where, "/server/restart", post=True)}


@pytest.mark.parametrize("asked", [by_websocket, by_unix_socket, by_mqtt, by_http])
def test_the_answer_comes_first_and_everything_is_back(
    program: tuple[Program, Addresses], asked: Callable[[Addresses], Json]
) -> None:
    process, where = program
    number, head = process.process.pid, get(where, "/events/read?limit=1")["head"]
    assert asked(where)["result"] == "ok"
    ready = addresses(process.ready_line())
    assert (ready.http, ready.mqtt_port, process.process.pid) == (where.http, where.mqtt_port, number)
    until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
    told = get(where, f"/events/read?stream=commands&since={head}")["events"]
    assert [event["data"].get("outcome") for event in told] == [None, "ok"]


def test_a_file_edited_by_a_front_end_is_in_force_afterwards(program: tuple[Program, Addresses]) -> None:
    process, where = program
    assert config(where)["config"]["data_store"]["gcode_store_size"] == 1000
    edited = download(where, "config/printer.yaml").body + b"\ndatastore: {gcode_store_size: 7}\n"
    assert upload(where, "printer.yaml", edited, root="config").status == 201
    restart(process, where)
    shown = config(where)
    assert shown["config"]["data_store"] == {"gcode_store_size": 7, "temperature_store_size": 1200}
    assert shown["orig"]["data_store"] == {"gcode_store_size": "7"}
    assert shown["files"] == [{"filename": "printer.yaml", "sections": ["data_store"]}]


def test_a_password_in_the_wrong_place_is_neither_shown_nor_logged(program: tuple[Program, Addresses]) -> None:
    process, where = program
    (where.data / "config" / "printer.yaml").write_text("machine: {sudo_password: SEKRET}")
    restart(process, where)
    assert "'machine.sudo_password'" in warnings(where)[0] and "SEKRET" not in warnings(where)[0]
    assert "SEKRET" not in (where.data / "logs" / "moonraker.log").read_text()


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_broken_file_leaves_in_force_what_last_worked(program: tuple[Program, Addresses], case: str) -> None:
    process, where = program
    name, content, said = BROKEN[case]
    file = where.data / "config" / name
    before = config(where)["config"]["data_store"]
    file.write_text(content)
    restart(process, where)
    (warning,) = warnings(where)
    assert said in warning and "the last one that worked is in force" in warning
    assert config(where)["config"]["data_store"] == before
    file.unlink()
    restart(process, where)
    assert warnings(where) == []


@pytest.mark.parametrize("reloaded", [False, True])
def test_rules_of_a_file_of_their_own_stay_in_force_when_it_breaks(tmp_path: Path, reloaded: bool) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "broker.yaml").write_text("access: {rules: rules.yaml}")
    (folder / "rules.yaml").write_text(f'rules: [{{publish: "#", receive: "{"#" if reloaded else "open/#"}"}}]')
    with running(tmp_path, "--virtual") as (process, where):
        until((tmp_path / "printbus" / "last_working.json").exists)
        if reloaded:
            (folder / "rules.yaml").write_text('rules: [{publish: "#", receive: "open/#"}]')
            (folder / "broker.yaml").write_text("access: {rules: rules.yaml}\nlimits: {inflight: 7}")
            process.process.send_signal(signal.SIGHUP)
            until(lambda: any("access rules were read again" in line for line in list(process.errors)))
        (folder / "rules.yaml").write_text("rules: []")
        restart(process, where)

        async def reads(topic: str) -> bool:
            client = await WireClient.open((where.mqtt_host, where.mqtt_port))
            await client.login("reader")
            (granted,) = await client.subscribe((topic, 0))
            await client.disconnect()
            return granted != 0x80

        assert "rules.yaml" in warnings(where)[0]
        assert asyncio.run(reads("open/x")) and not asyncio.run(reads("closed/x"))
    kept = json.loads((tmp_path / "printbus" / "last_working.json").read_text())
    assert "limits" not in kept["broker.yaml"]  # which were never in force


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a program that has run without complaints."""
    data = tmp_path_factory.mktemp("worked") / "data"
    with running(data, "--virtual"):
        until((data / "printbus" / "last_working.json").exists)
    return data


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_later_start_refuses_what_is_broken(worked: Path, tmp_path: Path, case: str) -> None:
    name, content, said = BROKEN[case]
    shutil.copytree(worked, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config" / name).write_text(content)
    refused = [sys.executable, "-m", "bus", *up_arguments(tmp_path, "--virtual")]
    ended = subprocess.run(refused, capture_output=True, text=True, timeout=50, check=False)
    assert ended.returncode == (1 if case == "no listener" else 2)
    assert said in ended.stderr


def test_warnings_are_html_unless_they_are_asked_for_as_they_are(program: tuple[Program, Addresses]) -> None:
    process, where = program
    file = where.data / "config" / "printer.yaml"
    file.write_text('"<img>": 1\nslip: 1\n')
    restart(process, where)
    assert "'&lt;img&gt;'" in warnings(where)[0] and "<br/>" in warnings(where)[0]
    (raw,) = get(where, "/server/info?raw=true")["warnings"]
    assert "'<img>'" in raw and "\n" in raw and "<br/>" not in raw


def test_a_start_without_anybody_to_read_the_ready_line_survives_restarts(tmp_path: Path) -> None:
    process = Program(*up_arguments(tmp_path, "--virtual"))
    where = addresses(process.ready_line())
    assert process.process.stdout is not None
    process.process.stdout.close()
    for _ in range(2):
        assert get(where, "/server/restart", post=True) == "ok"
        until(lambda: not answers(where))
        until(lambda: answers(where))
    assert process.stop() == 0


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15, 0.3, 0.5])
def test_a_stop_in_the_middle_of_a_restart_is_a_stop(tmp_path: Path, seconds: float) -> None:
    with running(tmp_path, "--virtual") as (_, where):
        assert get(where, "/server/restart", post=True) == "ok"
        time.sleep(seconds)  # and what follows is SIGTERM, at some moment of the restart; the status must be 0


LATE = """
import asyncio, os, signal, threading, time
from bus.program import Program, Stop, has_restarted, run_again

class Late(Program):
    @property
    def wants_restart(self):
        wanted = super().wants_restart
        signal.pthread_kill(other.ident, signal.{signal})  # to a thread that does not block it, when all is decided
        time.sleep(0.05)
        return wanted

async def main():
    program.stop = Stop()
    program.stop.heed_signals()
    signal.signal(signal.SIGHUP, lambda *_: None)
    program.restarting = True
    if has_restarted():
        print("again", flush=True)
        async with asyncio.timeout(2):
            await program.stop.wait()
        print("stopped", flush=True)

program = Late()
other = threading.Thread(target=time.sleep, args=(5,), daemon=True)
other.start()
asyncio.run(main())
if not has_restarted():
    run_again(program)
"""


@pytest.mark.parametrize(("late", "stops"), [("SIGTERM", True), ("SIGINT", True), ("SIGHUP", False)])
def test_a_stop_that_another_thread_takes_at_the_last_moment_is_not_lost(late: str, stops: bool) -> None:
    command = [sys.executable, "-c", LATE.format(signal=late)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    said, status = ("again\nstopped\n", 0) if stops else ("again\n", 1)
    assert (ended.stdout, ended.returncode) == (said, status), ended.stderr
