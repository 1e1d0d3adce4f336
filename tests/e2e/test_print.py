"""The main job: a print over three transports, and its whole story in the log."""

import asyncio
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.commands import command
from tests.mqtt_wire import WireClient
from tests.program import Addresses, Program, addresses, running, up_arguments

PATIENCE = 30.0  # seconds for anything that has to happen
OFTEN = 0.0005  # seconds between two looks for something that is soon over
FAST = "klippy: {virtual: true, speed: 40}\n"

Json = dict[str, Any]


def fast_printer(folder: Path) -> list[str]:
    """Options for a virtual printer that works quickly."""
    config = folder / "fast.yaml"
    config.write_text(FAST)
    return ["--config", str(config)]


@pytest.fixture
def printer(tmp_path: Path) -> Iterator[tuple[Path, Addresses]]:
    data = tmp_path / "data"
    with running(data, *fast_printer(tmp_path)) as (_, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        yield data, where


def until(met: Callable[[], bool], every: float = 0.02) -> None:
    """Waits for a condition that another process brings about, looking at it so often."""
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(every)


def get(where: Addresses, path: str, *, post: bool = False) -> Any:
    """The result of an HTTP request."""
    request = urllib.request.Request(where.http + path, method="POST" if post else "GET")  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
        return json.load(answer)["result"]


def publish(where: Addresses, topic: str, payload: str) -> None:
    """One message from another program: mosquitto_pub where it is installed, otherwise a client of our own."""
    if shutil.which("mosquitto_pub"):
        words = ["mosquitto_pub", "-h", where.mqtt_host, "-p", str(where.mqtt_port), "-t", topic, "-m", payload]
        subprocess.run(words, check=True, timeout=PATIENCE)
        return

    async def send() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("publisher")
        await client.publish(topic, payload.encode(), qos=1)
        await client.disconnect()

    asyncio.run(send())


class Socket:
    """A websocket client that keeps what it was told."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._requests = 0
        self.heard: list[Json] = []

    def ask(self, method: str, /, **params: Any) -> Json:
        """The answer to a request; everything before it goes to `heard`."""
        self._requests += 1
        self._connection.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": self._requests}))
        return self.hear(lambda message: message.get("id") == self._requests)

    def hear(self, wanted: Callable[[Json], bool]) -> Json:
        """The next message that is wanted."""
        while True:
            message: Json = json.loads(self._connection.recv(PATIENCE))
            self.heard.append(message)
            if wanted(message):
                return message

    def hear_state(self, state: str) -> Json:
        """The next status update in which print_stats.state is this."""
        return self.hear(
            lambda message: (
                message.get("method") == "notify_status_update"
                and message["params"][0].get("print_stats", {}).get("state") == state
            )
        )


def log_read(data: Path) -> list[Json]:
    """The events that the command prints."""
    done = command("log", "read", "--json", "--data", str(data))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_print_is_started_followed_paused_resumed_and_told(printer: tuple[Path, Addresses]) -> None:
    data, where = printer
    subscriber = subscribe(where)
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        socket = Socket(connection)
        identity = socket.ask("server.connection.identify", client_name="e2e", version="1", type="web", url="u")
        assert identity["result"]["connection_id"] == socket.ask("server.websocket.id")["result"]["websocket_id"] > 0
        status = socket.ask("printer.objects.subscribe", objects={"print_stats": None, "virtual_sdcard": ["progress"]})
        assert status["result"]["status"]["print_stats"]["state"] == "standby"
        request = {"jsonrpc": "2.0", "method": "printer.print.start", "params": {"filename": "demo.gcode"}, "id": 1}
        publish(where, "test/moonraker/api/request", json.dumps(request))
        socket.hear_state("printing")
        assert get(where, "/printer/print/pause", post=True) == "ok"
        socket.hear_state("paused")
        assert get(where, "/printer/objects/query?print_stats=state")["status"] == {"print_stats": {"state": "paused"}}
        assert socket.ask("printer.print.resume")["result"] == "ok"
        socket.hear_state("complete")
    until(lambda: "print.ended.1" in [event["type"] for event in get(where, "/events/read?stream=print")["events"]])
    topics = [line.split(" ", 1)[0] for line in subscriber()]
    for topic in ("test/klipper/state/print_stats/state", "test/moonraker/notify/notify_gcode_response"):
        assert topic in topics
    assert "test/event/print/print.started.1" in topics
    story = [event for event in log_read(data) if event["stream"] in ("print", "commands")]
    assert [event["seq"] for event in story] == sorted(event["seq"] for event in story)
    told = [(event["type"], (event["actor"] or {}).get("transport")) for event in story]
    expected = [
        ("command.accepted.1", "mqtt"),
        ("print.started.1", "mqtt"),
        ("command.accepted.1", "http"),
        ("print.paused.1", "http"),
        ("command.accepted.1", "websocket"),
        ("print.resumed.1", "websocket"),
        ("print.ended.1", None),
    ]
    assert [entry for entry in told if entry[0] != "command.ended.1"] == expected
    assert story[-1]["data"]["how"] == "completed" or "completed" in [event["data"].get("how") for event in story]


def subscribe(where: Addresses) -> Callable[[], list[str]]:
    """Listens as another program would; the call ends it and answers its lines, `topic payload`."""
    if shutil.which("mosquitto_sub"):
        words = ["mosquitto_sub", "-v", "-h", where.mqtt_host, "-p", str(where.mqtt_port), "-t", "test/#"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

        def lines() -> list[str]:
            process.terminate()
            return process.communicate(timeout=PATIENCE)[0].splitlines()

        assert process.stdout is not None
        process.stdout.readline()
        return lines
    return _listen_in_thread(where)


def _listen_in_thread(where: Addresses) -> Callable[[], list[str]]:
    import threading

    heard: list[str] = []
    ended = threading.Event()

    async def listen() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("listener")
        await client.subscribe(("test/#", 0))
        while not ended.is_set():
            try:
                message = await client.published(0.5)
            except TimeoutError:
                continue
            heard.append(f"{message.topic} {message.payload.decode(errors='replace')}")
        await client.disconnect()

    thread = threading.Thread(target=lambda: asyncio.run(listen()), name="listener")
    thread.start()
    until(lambda: bool(heard))

    def lines() -> list[str]:
        ended.set()
        thread.join()
        return heard

    return lines


def test_kill_at_any_moment_keeps_every_acknowledged_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = up_arguments(data, *fast_printer(tmp_path))
    acknowledged: list[str] = []
    for life in range(3):
        program = Program(*arguments)
        where = addresses(program.ready_line())
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")  # noqa: B023
        end = time.monotonic() + 0.2 + 0.3 * life
        while time.monotonic() < end:
            script = f"M117 life {life} number {len(acknowledged)}"
            assert get(where, f"/printer/gcode/script?script={script.replace(' ', '%20')}", post=True) == "ok"
            acknowledged.append(script)
        program.process.kill()
        program.stop()
    with running(data, *fast_printer(tmp_path)) as (_, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        assert get(where, "/printer/gcode/script?script=M117%20alive", post=True) == "ok"
    events = log_read(data)
    scripts = [event["data"]["params"]["script"] for event in events if event["type"] == "command.accepted.1"]
    assert [script for script in scripts if script in acknowledged] == acknowledged
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_an_emergency_stop_passes_a_script_that_waits_for_a_heater(printer: tuple[Path, Addresses]) -> None:
    _, where = printer
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        socket = Socket(connection)
        connection.send(
            json.dumps(
                {"jsonrpc": "2.0", "method": "printer.gcode.script", "params": {"script": "M109 S280"}, "id": "heat"}
            )
        )
        began = time.monotonic()
        assert get(where, "/printer/emergency_stop", post=True) == "ok"
        assert time.monotonic() - began < 5
        socket.hear(lambda message: message.get("method") == "notify_klippy_shutdown")
        assert any(message.get("id") == "heat" for message in socket.heard) or socket.hear(
            lambda message: message.get("id") == "heat"
        )
        assert get(where, "/printer/firmware_restart", post=True) == "ok"
        socket.hear(lambda message: message.get("method") == "notify_klippy_ready")
        assert socket.ask("printer.info")["result"]["state"] == "ready"


def test_a_klipper_that_is_not_there_is_503_and_never_404(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--klippy", str(tmp_path / "none.sock")) as (_, where):
        assert get(where, "/server/info")["klippy_state"] == "disconnected"
        for verb, path in (
            ("GET", "/printer/info"),
            ("GET", "/printer/objects/list"),
            ("GET", "/printer/objects/query?toolhead"),
            ("POST", "/printer/emergency_stop"),
            ("POST", "/printer/print/start?filename=x"),
        ):
            request = urllib.request.Request(where.http + path, method=verb)  # noqa: S310
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=PATIENCE)  # noqa: S310
            body = json.load(refused.value)
            assert (refused.value.code, body["error"]["code"]) == (503, 503)
