"""Broker, agent and bridge in processes of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from agents.klippy.virtual.__main__ import DEMO
from tests.e2e.test_print import OFTEN, PATIENCE, Socket, fast_printer, get, until
from tests.file_client import download, request, upload
from tests.ports import free_port
from tests.program import Addresses, Program, addresses
from tests.virtual_printer import virtual_printer


class Parts:
    """A broker with an agent and a bridge that reach it over sockets; what is started lasts as long as `stack`."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.data = folder / "data"
        self.common = ["--data", str(self.data), "--instance", "test", *fast_printer(folder)]
        self.stack = stack
        self.programs: list[Program] = []
        self.broker = self.start("broker", "--mqtt", f"127.0.0.1:{free_port()}")
        self.mqtt = self.where = addresses(self.broker.ready_line())
        self.url = f"mqtt://{self.mqtt.mqtt_host}:{self.mqtt.mqtt_port}"

    def start(self, *arguments: str) -> Program:
        program = Program(arguments[0], *arguments[1:], *self.common)
        self.stack.callback(program.stop)
        self.programs.append(program)
        return program

    def agent(self, name: str = "klippy", *arguments: str) -> Program:
        program = self.start("agent", name, "--broker", self.url, *arguments)
        assert program.ready_line() == f"printbus agent {name} ready {self.url}"
        return program

    def bridge(self) -> Addresses:
        program = self.start("bridge", "--broker", self.url, "--http", "127.0.0.1:0")
        ready = program.ready_line()
        self.where = self.mqtt._replace(http=ready.removeprefix("printbus ready "))
        return self.where


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with ExitStack() as stack:
        made = Parts(tmp_path_factory.mktemp("processes"), stack)
        made.bridge()
        (made.data / "gcodes").mkdir(parents=True, exist_ok=True)
        shutil.copy(DEMO, made.data / "gcodes")  # which the virtual printer does only where no other file is
        yield made


@pytest.fixture
def parts(shared: Parts) -> Iterator[Parts]:
    """The same broker and bridge for all, and agents for each."""
    lasting = shared.stack
    with ExitStack() as shared.stack:
        yield shared
    shared.stack = lasting


def test_an_agent_in_its_own_process_behaves_the_same(parts: Parts) -> None:
    where = parts.where
    until(lambda: _state(where) == "disconnected")
    head = get(where, "/events/read?limit=1")["head"]
    agent = parts.agent()
    until(lambda: _state(where) == "ready")
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        socket = Socket(connection)
        status = socket.ask("printer.objects.subscribe", objects={"print_stats": None})
        assert status["result"]["status"]["print_stats"]["state"] == "standby"
        assert socket.ask("printer.print.start", filename="demo.gcode")["result"] == "ok"
        socket.hear_state("printing")
        assert get(where, "/printer/print/cancel", post=True) == "ok"
        socket.hear_state("cancelled")
        until(lambda: "print.ended.1" in prints_since(where, head))
        connection.send(
            json.dumps(
                {"jsonrpc": "2.0", "method": "printer.gcode.script", "params": {"script": "M109 S250"}, "id": "heat"}
            )
        )
        agent.process.kill()
        gone = socket.hear(lambda message: message.get("id") == "heat")
        assert gone["error"]["code"] == 503
        assert socket.ask("printer.info")["error"]["code"] == 503
        assert socket.ask("server.info")["result"]["klippy_state"] == "disconnected"
        parts.agent()
        until(lambda: _state(where) == "ready")
        assert socket.ask("printer.info")["result"]["state"] == "ready"
    assert prints_since(where, head) == ["print.started.1", "print.ended.1"]


def prints_since(where: Addresses, seq: int) -> list[str]:
    return [event["type"] for event in get(where, f"/events/read?stream=print&since={seq}")["events"]]


def test_an_agent_that_is_stopped_is_known_to_be_gone(parts: Parts) -> None:
    where = parts.where
    agent = parts.agent()
    until(lambda: _state(where) == "ready")
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        socket = Socket(connection)
        assert agent.stop() == 0
        assert socket.ask("printer.gcode.script", script="G28")["error"]["code"] == 503
        assert socket.ask("server.info")["result"]["klippy_state"] == "disconnected"


def test_a_tunnel_and_klippers_own_names_lead_through_three_processes(parts: Parts) -> None:
    where = parts.where
    agent = parts.agent()
    until(lambda: _state(where) == "ready")
    assert "probe_offsets" in get(where, "/printer/bed_mesh/dump_mesh")
    assert get(where, "/printer/pause_resume/cancel", post=True) == "ok"
    with connect(where.http.replace("http", "ws") + "/klippysocket") as tunnel:
        tunnel.send('{"id":1,"method":"info","params":{}}')
        assert json.loads(tunnel.recv(PATIENCE))["result"]["state"] == "ready"
        agent.process.kill()
        with pytest.raises(ConnectionClosed) as closed:
            tunnel.recv(PATIENCE)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1001


def test_a_data_store_that_comes_late_asks_for_what_it_has_missed(parts: Parts) -> None:
    where = parts.where
    parts.agent()
    until(lambda: _state(where) == "ready")
    parts.agent("datastore")
    until(lambda: _knows_sensors(where))
    store = get(where, "/server/temperature_store")
    assert set(store["extruder"]) == {"temperatures", "targets", "powers"}
    assert get(where, "/printer/gcode/script?script=M118%20remote", post=True) == "ok"
    until(lambda: len(get(where, "/server/gcode_store")["gcode_store"]) >= 2)
    lines = [line["message"] for line in get(where, "/server/gcode_store?count=2")["gcode_store"]]
    assert lines == ["M118 remote", "echo: remote"]


def test_a_second_agent_of_one_name_is_refused_and_harms_nobody(parts: Parts) -> None:
    where = parts.where
    parts.agent()
    until(lambda: _state(where) == "ready")
    second = parts.start("agent", "klippy", "--broker", parts.url)
    assert second.process.wait(PATIENCE) == 1
    assert get(where, "/printer/info")["state"] == "ready"


def test_an_agent_without_the_key_is_refused(parts: Parts, tmp_path: Path) -> None:
    stranger = Program(
        "agent", "klippy", "--broker", parts.url, "--data", str(tmp_path / "other"), "--instance", "test"
    )
    try:
        assert stranger.process.wait(PATIENCE) == 1
    finally:
        stranger.stop()


def test_everybody_is_back_after_the_broker_was_killed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        parts = Parts(tmp_path, stack)
        where = parts.bridge()
        parts.agent()
        until(lambda: _state(where) == "ready")
        with connect(where.http.replace("http", "ws") + "/websocket") as connection:
            connection.send('{"jsonrpc":"2.0","method":"printer.gcode.script","params":{"script":"G4 P100000"},"id":1}')
            parts.broker.process.kill()
            parts.broker.process.wait()
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    connection.recv(PATIENCE)
            assert closed.value.rcvd is None
        again = parts.start("broker", "--mqtt", f"{where.mqtt_host}:{where.mqtt_port}")
        again.ready_line()
        until(lambda: _state(where) == "ready")
        with connect(where.http.replace("http", "ws") + "/websocket") as connection:
            assert Socket(connection).ask("printer.info")["result"]["state"] == "ready"


def _state(where: Addresses) -> str:
    """The printer's state, empty while the server cannot tell."""
    try:
        return str(get(where, "/server/info")["klippy_state"])
    except OSError:
        return ""


def _knows_sensors(where: Addresses) -> bool:
    """Whether the data store answers, and has asked; it says that it is ready as soon as it is connected."""
    try:
        return bool(get(where, "/server/temperature_store"))
    except OSError:
        return False


def test_files_pass_between_a_bridge_and_a_file_manager_of_other_processes(parts: Parts) -> None:
    """Contents travel over the broker; who holds the disk and who speaks HTTP never share a file."""
    where = parts.where
    manager = parts.agent("filestore")
    content = os.urandom(5_000_000)
    until(lambda: "gcodes" in get(where, "/server/info")["registered_directories"])
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        socket = Socket(connection)
        socket.ask("server.info")
        assert upload(where, "far.gcode", content, path="there").status == 201
        socket.hear(lambda said: said.get("method") == "notify_filelist_changed")
    assert download(where, "gcodes/there/far.gcode").body == content
    assert download(where, "gcodes/there/far.gcode", Range="bytes=1000000-1000009").body == content[1000000:1000010]
    assert get(where, "/server/files/metadata?filename=there/far.gcode")["size"] == len(content)
    manager.process.kill()
    until(lambda: download(where, "gcodes/there/far.gcode").status == 503)
    assert upload(where, "far.gcode", content).status == 503
    parts.agent("filestore")
    until(lambda: download(where, "gcodes/there/far.gcode").status == 200)


def test_files_pass_over_mqtt_to_a_file_manager_of_another_process(parts: Parts, tmp_path: Path) -> None:
    """One that is killed in the middle, and comes back, goes on where it was."""
    where, manager = parts.where, parts.agent("filestore")
    gcodes = parts.data / "gcodes"
    source = tmp_path / "far.bin"
    source.write_bytes(os.urandom(1 << 20) * 60)
    broker = ["--broker", f"mqtt://{where.mqtt_host}:{where.mqtt_port}"]
    words = [sys.executable, "-m", "bus", "put", str(source), *broker]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as putting:
        until(lambda: any(path.stat().st_size > 1 << 20 for path in gcodes.glob(".printbus-part-*")), OFTEN)
        manager.process.kill()
        manager.process.wait()
        assert not (gcodes / source.name).exists()
        parts.agent("filestore")
        said, wrong = putting.communicate(timeout=60)
    assert said == f"gcodes/{source.name}: {source.stat().st_size} bytes\n", wrong
    assert (gcodes / source.name).read_bytes() == source.read_bytes()


def test_the_file_of_a_print_is_kept_while_nobody_says_what_is_printed(parts: Parts) -> None:
    where = parts.where
    parts.agent("filestore")
    until(lambda: "gcodes" in get(where, "/server/info")["registered_directories"])
    with virtual_printer(speed=1) as printer, printer.ready() as klipper:
        printer.write("kept.gcode", *["G4 P1000"] * 1000)
        assert upload(where, "kept.gcode").status == 201
        klipper.script("SDCARD_PRINT_FILE FILENAME=kept.gcode")
        agent = parts.agent("klippy", "--klippy", str(printer.socket))
        until(lambda: _state(where) == "ready")
        assert request(where, "DELETE", "/server/files/gcodes/kept.gcode").status == 403
        agent.process.kill()
        until(lambda: _state(where) == "disconnected")
        assert request(where, "DELETE", "/server/files/gcodes/kept.gcode").status == 503
        parts.agent("klippy", "--klippy", str(printer.socket))
        until(lambda: request(where, "DELETE", "/server/files/gcodes/kept.gcode").status == 403)
        assert download(where, "gcodes/kept.gcode").status == 200
        klipper.script("CANCEL_PRINT")
        until(lambda: request(where, "DELETE", "/server/files/gcodes/kept.gcode").status == 200)
