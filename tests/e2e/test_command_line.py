"""The command line: options, configuration and statuses."""

import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from tests.commands import command
from tests.e2e.test_print import Socket, get, until
from tests.program import Addresses, Program, addresses, running, up_arguments

STOP_SECONDS = 15.0  # on a busy machine; what clients wait for takes longer
LAMP = """
from bus.agent import Agent, Settings

class LampSettings(Settings):
    pin: int
    colour: str = "white"

class Lamp(Agent):
    name = "lamp"
    components = ("lamp",)
    optional = True
    settings_model = LampSettings
"""


def printbus(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    command = [sys.executable, "-m", "bus", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, input=stdin)


def refusal(*arguments: str) -> tuple[int, str]:
    """Status and message of a command that does not get as far as starting anything."""
    done = command(*arguments)
    assert not done.stdout
    return done.returncode, done.stderr.strip()


@pytest.mark.parametrize(
    "arguments",
    ["log read", "users list", "log read --data ~nobody-of-that-name", "import ~nobody-of-that-name --data ."],
)
def test_who_has_no_home_is_told_so(arguments: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: pwd.getpwnam(str(uid)))  # so nobody has an entry
    status, message = refusal(*arguments.split())
    assert status == 2 and message.endswith("there is no such home folder on this machine")
    assert len(message.splitlines()) == 1 and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "printbus: the following arguments are required: COMMAND"),
        ("up --virtuel", "printbus up: unrecognized arguments: --virtuel; did you mean --virtual?"),
        ("up --htp=127.0.0.1:0", "unrecognized arguments: --htp=127.0.0.1:0; did you mean --http?"),
        ("up --inst x", "unrecognized arguments: --inst x; did you mean --instance?"),
        ("up extra", "printbus up: unrecognized arguments: extra"),
        ("broker --http 127.0.0.1:0", "printbus broker: unrecognized arguments: --http"),
        ("broker chek", "printbus broker: unrecognized arguments: chek; the only action is 'check'"),
        ("config check --dat x", "printbus config check: unrecognized arguments: --dat x; did you mean --data?"),
        ("log read --sine 3", "printbus log read: unrecognized arguments: --sine 3; did you mean --since?"),
        ("log read --limit -1", "argument --limit: '-1': expected a number from 0"),
        ("log read --since 18446744073709551615", "expected a number from 0, of at most 18 digits"),
        ("log read --since one", "argument --since: 'one': expected a number from 0"),
        ("log compact", "the following arguments are required: --segments"),
        ("agent klippy", "the following arguments are required: --broker"),
        ("up --http 80", "argument --http: '80': expected HOST:PORT"),
        ("up --http :80", "argument --http: ':80': expected HOST:PORT"),
        ("up --mqtt here:99999", "argument --mqtt: 'here:99999': expected HOST:PORT"),
        ("up --mqtt here:mqtt", "argument --mqtt: 'here:mqtt': expected HOST:PORT"),
        ("up --instance a/b", "--instance: 'instance': expected letters, digits, '_' and '-', found 'a/b'"),
        ("agent klipy --broker mqtt://x", "no agent is called 'klipy', did you mean 'klippy'?; known: "),
        ("agent core --broker mqtt://x", "no agent is called 'core'"),
        ("agent klippy --broker http://x", "--broker: broker URL 'http://x': expected mqtt://HOST[:PORT]"),
        ("bridge --broker mqtt://x:abc", "--broker: "),
    ],
)
def test_wrong_options_end_with_status_2(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    status, message = refusal(*arguments.split())
    assert status == 2
    assert said in message and len(message.splitlines()) == 1


def test_a_command_that_is_not_known_is_answered_with_those_that_are() -> None:
    status, message = refusal("upp")
    assert status == 2 and all(name in message for name in ("upp", "up", "broker", "agent", "log"))


def test_klippy_and_virtual_exclude_each_other() -> None:
    expected = (2, "printbus up: argument --virtual: not allowed with argument --klippy")
    assert refusal("up", "--klippy", "x", "--virtual") == expected


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("printer.yaml", "klipy: {}", "unknown key 'klipy', did you mean 'klippy'?; known: "),
        ("printer.yaml", "klippy: {sped: 2}", "unknown key 'klippy.sped', did you mean 'speed'?; known: "),
        ("printer.yaml", "klippy: {speed: quick}", "'klippy.speed': input should be a valid number"),
        ("printer.yaml", "klippy: [speed]", "'klippy': expected a mapping of options, found ['speed']"),
        ("printer.yaml", "klippy: text", "'klippy': expected a mapping of options, found 'text'"),
        ("printer.yaml", "bridge: {prot: 1}", "unknown key 'bridge.prot', did you mean 'port'?; known: "),
        ("printer.yaml", "bridge: 3", "'bridge': expected a mapping of options, found 3"),
        ("printer.yaml", "authorization: {trusted_clients: [a_b!]}", "'authorization.trusted_clients.0"),
        ("printer.yaml", "http: 7125", "'http': input should be a valid string, found 7125"),
        ("printer.yaml", "http: localhost", "'http': expected HOST:PORT, found 'localhost'"),
        ("printer.yaml", "instance: my printer", "'instance': expected letters"),
        ("printer.yaml", "groups: [a, b/c]", "'groups.1': expected letters"),
        ("printer.yaml", "log: {segment_byte: 1}", "unknown key 'log.segment_byte', did you mean 'segment_bytes'?"),
        ("printer.yaml", "log: {segment_bytes: 1}", "'log.segment_bytes': input should be greater than or equal to"),
        ("printer.yaml", "remote_agents: [klipy]", "no agent 'klipy' can run elsewhere, did you mean 'klippy'?"),
        ("printer.yaml", "remote_agents: [core]", "no agent 'core' can run elsewhere"),
        ("printer.yaml", "instance: a\ninstance: b", "the key 'instance' stands twice, line 2"),
        ("printer.yaml", "instance: [", "not valid YAML"),
        ("printer.yaml", "- instance", "expected a mapping of sections, found list"),
        ("broker.yaml", "listener: {}", "unknown key 'listener', did you mean 'listeners'?; known: "),
        ("broker.yaml", "listeners: {lan: {prot: 1}}", "unknown key 'listeners.lan.prot', did you mean 'port'?"),
        ("broker.yaml", "listeners: {lan: {type: udp}}", "'listeners.lan.type': input should be 'tcp', 'ws' or 'unix'"),
        ("broker.yaml", "listeners: {lan: {port: 70000}}", "'listeners.lan.port': input should be less than or equal"),
        ("broker.yaml", "limits: {inflght: 3}", "unknown key 'limits.inflght', did you mean 'inflight'?"),
        ("broker.yaml", "limits: {inflight: none}", "'limits.inflight': input should be a valid integer"),
        ("broker.yaml", "7", "expected a mapping of sections, found int"),
    ],
)
@pytest.mark.parametrize("checked", [False, True])
def test_a_mistake_in_a_file_ends_with_status_2(
    checked: bool, file: str, content: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "config" / file
    path.parent.mkdir()
    path.write_text(content)
    words = ["config", "check"] if checked else ["up"]
    status, message = refusal(*words, "--data", str(tmp_path))
    assert status == 2
    assert message.startswith(f"printbus: {path}: ") and said in message


@pytest.mark.parametrize(("option", "name"), [("--config", "mine.yaml"), ("--broker", "bus.yaml")])
def test_a_file_that_is_given_must_be_there(option: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    arguments = ("up", "--data", str(tmp_path), option, str(path))
    assert refusal(*arguments) == (2, f"printbus: {path}: No such file or directory")
    path.mkdir()
    assert refusal(*arguments) == (2, f"printbus: {path}: Is a directory")


def test_a_file_that_leads_nowhere_is_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "config" / "printer.yaml"
    path.parent.mkdir()
    path.symlink_to(tmp_path / "gone.yaml")
    assert refusal("up", "--data", str(tmp_path)) == (2, f"printbus: {path}: No such file or directory")


def test_a_configuration_without_mistakes_is_called_ok(tmp_path: Path) -> None:
    done = command("config", "check", "--data", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "ok\n")
    assert not [*tmp_path.iterdir()]  # looking leaves no traces


def test_the_command_line_wins_over_the_files(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.mkdir()
    config.joinpath("printer.yaml").write_text("instance: other\nhttp: 127.0.0.1:1\nbridge: {port: 2}\n")
    config.joinpath("broker.yaml").write_text("listeners: {lan: {port: 1}}\n")
    with running(tmp_path, "--virtual") as (_, where):
        assert urlsplit(where.http).port not in (1, 2) and where.mqtt_port != 1
        assert get(where, "/server/info")["klippy_connected"] in (True, False)


def taken(stack: socket.socket) -> str:
    stack.bind(("127.0.0.1", 0))
    stack.listen()
    return f"127.0.0.1:{stack.getsockname()[1]}"


@pytest.mark.parametrize("option", ["--http", "--mqtt"])
def test_a_port_in_use_is_named_and_ends_with_status_1(option: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        address = taken(other)
        arguments = up_arguments(tmp_path, option, address)
        done = printbus(*arguments)
    assert done.returncode == 1 and not done.stdout
    assert "address already in use" in done.stderr.lower() and address.split(":")[1] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bridge_whose_port_is_in_use_ends_with_status_1(tmp_path: Path) -> None:
    with socket.socket() as other:
        done = printbus("bridge", "--data", str(tmp_path), "--broker", "mqtt://127.0.0.1:1", "--http", taken(other))
    assert done.returncode == 1 and "address already in use" in done.stderr.lower() and "Traceback" not in done.stderr


def test_a_second_program_on_one_data_folder_ends_with_status_1(tmp_path: Path) -> None:
    with running(tmp_path, "--virtual") as (first, where):
        done = printbus(*up_arguments(tmp_path, "--virtual"))
        assert done.returncode == 1 and not done.stdout and "Traceback" not in done.stderr
        assert f"is being written by process {first.process.pid}" in done.stderr
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")


def test_a_data_folder_that_cannot_be_made_ends_with_status_1(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    done = printbus(*up_arguments(in_the_way))
    assert done.returncode == 1 and "Not a directory" in done.stderr and str(in_the_way) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_signal_ends_it_while_clients_wait(loop: str, number: signal.Signals, tmp_path: Path) -> None:
    env = {} if loop == "uvloop" else without(tmp_path, "uvloop")
    program = Program(*up_arguments(tmp_path / "data", "--virtual"), env=env)
    where = addresses(program.ready_line())
    try:
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        with ExitStack() as clients:
            socket_of(where, clients)  # has not said anything yet
            idle = socket_of(where, clients)
            idle.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04idle")
            assert idle.recv(4) == b"\x20\x02\x00\x00"
            idle.sendall(b"\x82\x06\x00\x01\x00\x01#\x00")  # follows everything and reads nothing
            clients.enter_context(half_a_request(where))
            websocket = clients.enter_context(connect(where.http.replace("http", "ws") + "/websocket"))
            waiting = {"method": "printer.gcode.script", "params": {"script": "M109 S250"}, "id": "heat"}
            websocket.send(json.dumps({"jsonrpc": "2.0", **waiting}))
            for _ in range(60):
                Socket(websocket).ask("rpc.discover")
            began = time.monotonic()
            assert program.stop(number) == 0
            assert time.monotonic() - began < STOP_SECONDS
    finally:
        program.stop()
    assert not [line for line in program.errors if "Traceback" in line or "ERROR" in line], "".join(program.errors)


def socket_of(where: Addresses, clients: ExitStack) -> socket.socket:
    """A connection to the MQTT listener."""
    return clients.enter_context(socket.create_connection((where.mqtt_host, where.mqtt_port)))


def without(folder: Path, *modules: str) -> dict[str, str]:
    """The environment of a program that does not find these modules."""
    absent = folder / "absent"
    absent.mkdir()
    for name in modules:
        absent.joinpath(f"{name}.py").write_text(f"raise ImportError('no {name} here')\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(absent), os.environ.get("PYTHONPATH")]))}


def half_a_request(where: Addresses) -> socket.socket:
    """An HTTP client that never says the rest."""
    url = urlsplit(where.http)
    client = socket.create_connection((url.hostname, url.port))
    client.sendall(b"POST /server/jsonrpc HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
    return client


def test_a_signal_ends_broker_agent_and_bridge(tmp_path: Path) -> None:
    common = ["--data", str(tmp_path), "--instance", "test"]
    broker = Program("broker", "--mqtt", "127.0.0.1:0", *common)
    url = broker.ready_line().split()[-1]
    agent = Program("agent", "klippy", "--broker", url, *common)
    bridge = Program("bridge", "--broker", url, "--http", "127.0.0.1:0", *common)
    programs = (agent, bridge, broker)
    try:
        agent.ready_line()
        bridge.ready_line()
        for program in programs:
            began = time.monotonic()
            assert program.stop() == 0, "".join(program.errors)
            assert time.monotonic() - began < STOP_SECONDS
    finally:
        for program in programs:
            program.stop()


def test_a_bridge_without_the_key_is_refused_in_one_line(tmp_path: Path) -> None:
    broker = Program("broker", "--mqtt", "127.0.0.1:0", "--data", str(tmp_path / "one"), "--instance", "test")
    try:
        url = broker.ready_line().split()[-1]
        stranger = ["--data", str(tmp_path / "two"), "--instance", "test"]
        done = printbus("bridge", "--broker", url, "--http", "127.0.0.1:0", *stranger)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("printbus: ")
    finally:
        broker.stop()


@pytest.fixture
def lamp(tmp_path: Path) -> dict[str, str]:
    """The environment of a program for which an optional agent of somebody else is installed."""
    folder = tmp_path / "lamp"
    metadata = folder / "lamp-1.0.dist-info"
    metadata.mkdir(parents=True)
    folder.joinpath("lamp_agent.py").write_text(LAMP)
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: lamp\nVersion: 1.0\n")
    metadata.joinpath("entry_points.txt").write_text("[printbus.agents]\nlamp = lamp_agent:Lamp\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def server_info(data: Path, env: dict[str, str]) -> dict[str, Any]:
    program = Program(*up_arguments(data, "--virtual"), env=env)
    try:
        found: dict[str, Any] = get(addresses(program.ready_line()), "/server/info")
    finally:
        assert program.stop() == 0, "".join(program.errors)
    return found


@pytest.mark.parametrize(
    ("section", "running", "failed", "said"),
    [
        ("", False, False, None),
        ("lamp: {pin: 4}", True, False, None),
        ("lamp: {pin: 4, color: red}", False, True, "unknown key 'lamp.color', did you mean 'colour'?"),
        ("lamp: {pin: low}", False, True, "'lamp.pin': input should be a valid integer"),
        ("lamp: {}", False, True, "'lamp.pin': is required"),
        ("lamp: 4", False, True, "'lamp': expected a mapping of options, found 4"),
    ],
)
def test_a_broken_optional_section_costs_only_its_component(
    section: str, running: bool, failed: bool, said: str | None, lamp: dict[str, str], tmp_path: Path
) -> None:
    config = tmp_path / "config" / "printer.yaml"
    config.parent.mkdir()
    config.write_text(section)
    info = server_info(tmp_path, lamp)
    assert ("lamp" in info["components"], "lamp" in info["failed_components"]) == (running, failed)
    assert [said in warning and str(config) in warning for warning in info["warnings"]] == ([True] if said else [])


def test_a_check_names_the_optional_components_that_would_not_run(lamp: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config" / "printer.yaml"
    config.parent.mkdir()
    config.write_text("lamp: {pin: low}")
    command = [sys.executable, "-m", "bus", "config", "check", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, **lamp})
    assert done.returncode == 0
    first, last = done.stdout.splitlines()
    assert first.startswith(f"lamp: {config}: 'lamp.pin'") and last == "usable, without the components above"


def test_it_runs_without_uvloop_and_httptools(tmp_path: Path) -> None:
    """There are none for armv7."""
    program = Program(*up_arguments(tmp_path / "data", "--virtual"), env=without(tmp_path, "uvloop", "httptools"))
    try:
        where = addresses(program.ready_line())
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        assert get(where, "/printer/gcode/script?script=M117%20hello", post=True) == "ok"
        with connect(where.http.replace("http", "ws") + "/websocket") as websocket:
            assert Socket(websocket).ask("printer.info")["result"]["state"] == "ready"
    finally:
        assert program.stop() == 0, "".join(program.errors)


def test_a_package_from_elsewhere_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "elsewhere" / "agents"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from bus.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, str(package.parent), *up_arguments(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and not done.stdout
    assert f"the package 'agents' comes from {package}/__init__.py, not from " in done.stderr
    assert not (tmp_path / "data").exists()


def test_help_names_every_command() -> None:
    done = printbus("--help")
    assert done.returncode == 0
    assert all(f"\n    {name} " in done.stdout for name in ("up", "broker", "bridge", "agent", "log", "config"))
