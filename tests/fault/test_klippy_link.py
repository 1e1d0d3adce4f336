"""Klipper may vanish, stall or talk nonsense at any stage: calls end at once, the agent stays, and comes back."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agents.klippy import Klippy, agent, startup
from agents.klippy.agent import KlippySettings
from agents.klippy.link import MAX_PENDING, MAX_UNSENT
from bus.errors import Unavailable
from bus.framing import MAX_FRAME
from schemas import METHODS, AnyMethod, klippy, printer
from tests.agent_bus import RecordingBus, running, start_call
from tests.klipper_wire import PARAMS, Answer, Connection, KlipperWire, Message, hang_up, never

STATE_TOPIC = "rig/moonraker/klippy"
DISCONNECTED = ("notify_klippy_disconnected", None)
START_UP = ["info", "list_endpoints", "gcode/subscribe_output", "objects/list", "objects/subscribe"]
ASKED: dict[str, Any] = {"printer.gcode.script": {"script": "G28"}, "printer.print.start": {"filename": "a.gcode"}}
FORWARDED = [
    row
    for row in METHODS.values()
    if row.owner == "klippy"
    and "objects" not in row.name
    and row not in (printer.RESTART, printer.FIRMWARE_RESTART, printer.ENDPOINT, klippy.LOADED_FILE, klippy.TUNNEL_OPEN)
]


RETRY = 0.02  # seconds
PROMPT = 10.0  # seconds, on a busy machine


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects quickly."""
    monkeypatch.setattr(agent, "RETRY_FIRST", RETRY)


class Scene:
    """An agent, its bus, and its Klipper."""

    def __init__(self, folder: Path) -> None:
        self.bus = RecordingBus(folder)
        self.wire = KlipperWire(folder / "klippy.sock")
        self.agent = Klippy(self.bus, KlippySettings(socket=self.wire.path))

    async def shown(self, state: str) -> None:
        """Waits for a state."""
        await self.bus.until(lambda: self.bus.retained.get(STATE_TOPIC, {}).get("state") == state)

    async def works(self) -> None:
        """Waits until the agent is ready, and queries something."""
        await self.shown("ready")
        answer = await start_call(self.agent, printer.OBJECTS_QUERY, {"objects": {"extruder": ["target"]}})
        assert answer["status"] == {"extruder": {"target": 0.0}}

    def call(self, row: AnyMethod) -> "asyncio.Future[Any]":
        """Starts a call."""
        return start_call(self.agent, row, ASKED.get(row.name))


def play(folder: Path, body: Callable[[Scene], Coroutine[Any, Any, None]], *, listening: bool = True) -> None:
    """Runs a test body beside a running agent; the agent must outlive it."""

    async def main() -> None:
        here = Scene(folder)
        if listening:
            await here.wire.listen()
        try:
            async with running(here.agent):
                if listening:
                    await here.shown("ready")
                await body(here)
        finally:
            await here.wire.stop()
        assert not here.wire.faults

    asyncio.run(main())


async def ends_unavailable(calls: "list[asyncio.Future[Any]]") -> None:
    """Each of the calls ends as 503, and none by its time-out."""
    outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PROMPT)
    assert [type(outcome) for outcome in outcomes] == [Unavailable] * len(calls)


def status_of(status: bytes) -> bytes:
    """The frame of an update."""
    return b'{"method": "process_status_update", "params": {"eventtime": 1, "status": %b}}\x03' % status


def test_a_refused_connection_is_tried_again(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.wire.listen()
        await here.works()
        await here.wire.stop()
        await here.shown("disconnected")
        await asyncio.sleep(2 * RETRY)
        await here.wire.listen()
        await here.works()

    (tmp_path / "klippy.sock").write_text("not a socket")
    play(tmp_path, body, listening=False)


def test_accept_then_close_is_no_connection(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        accepted: list[float] = []

        def accept(connection: Connection) -> bool:
            accepted.append(time.monotonic())
            return len(accepted) > 3

        here.wire.accept = accept
        await here.wire.listen()
        await here.works()
        assert [message["state"] for message in here.bus.messages(STATE_TOPIC)] == ["disconnected", "startup", "ready"]
        assert min(later - earlier for earlier, later in pairwise(accepted)) > 0.9 * RETRY

    play(tmp_path, body, listening=False)


@pytest.mark.parametrize("method", START_UP)
@pytest.mark.parametrize("state", ["ready", "startup"])
def test_close_at_each_request_of_the_start_up(tmp_path: Path, method: str, state: str) -> None:
    async def body(here: Scene) -> None:
        def once(connection: Connection, request: Message) -> None:
            del here.wire.script[method]
            here.wire.become("ready", "")
            connection.close()

        here.wire.script[method] = once
        here.wire.become(state, "")
        await here.wire.listen()
        await here.works()
        assert method not in here.wire.script
        assert here.wire.methods().count("info") >= 2

    play(tmp_path, body, listening=False)


@pytest.mark.parametrize("method", ["objects/list", "objects/subscribe"])
def test_a_restart_between_startup_and_ready(tmp_path: Path, method: str) -> None:
    async def body(here: Scene) -> None:
        here.wire.become("startup", "")
        await here.wire.listen()
        await here.bus.until(lambda: here.bus.messages("rig/klipper/delta"))
        here.wire.script[method] = hang_up
        here.wire.become("ready", "")
        await here.shown("disconnected")
        assert here.bus.notifications() == [DISCONNECTED]
        here.wire.script.clear()
        await here.works()

    play(tmp_path, body, listening=False)


@pytest.mark.parametrize("row", FORWARDED, ids=lambda row: row.name)
@pytest.mark.parametrize("answer", [hang_up, never], ids=["closed", "unanswered"])
def test_a_pending_call_ends_with_the_link(tmp_path: Path, row: AnyMethod, answer: Answer) -> None:
    async def body(here: Scene) -> None:
        here.wire.script = dict.fromkeys(PARAMS, answer)
        asked = len(here.wire.requests)
        call = here.call(row)
        await here.wire.asked(asked + 1)
        await here.wire.stop()
        await ends_unavailable([call])
        here.wire.script = {}
        await here.wire.listen()
        await here.works()

    play(tmp_path, body)


def test_a_klipper_that_never_answers_is_no_printer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "INFO_TIMEOUT", 0.2)

    async def body(here: Scene) -> None:
        here.wire.script["info"] = never
        await here.wire.listen()
        await here.wire.asked(1)
        rows = [row for row in FORWARDED if row is not printer.EMERGENCY_STOP]
        await ends_unavailable([here.call(row) for row in rows])
        assert here.bus.retained[STATE_TOPIC]["state"] == "disconnected"
        here.wire.script = {}
        await here.works()

    play(tmp_path, body, listening=False)


def test_an_emergency_stop_reaches_even_a_klipper_that_has_not_answered_yet(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["info"] = never
        await here.wire.listen()
        await here.wire.asked(1)
        assert await here.call(printer.EMERGENCY_STOP) == "ok"

    play(tmp_path, body, listening=False)


def test_a_klipper_that_falls_silent_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "SILENCE", 1.0)

    async def body(here: Scene) -> None:
        await here.wire.asked(len(here.wire.requests) + 1)  # silent, but it answers when asked
        await asyncio.sleep(1.0)
        assert here.wire.methods()[len(START_UP) :]
        assert here.bus.retained[STATE_TOPIC]["state"] == "ready"
        here.wire.script = dict.fromkeys(PARAMS, never)
        call = here.call(printer.GCODE_SCRIPT)
        await ends_unavailable([call])
        here.wire.script = {}
        await here.works()

    play(tmp_path, body)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x03",
        b"\x03\x03\x03\x03",
        b"not json\x03",
        b"\xff\xfe\x00\x03",
        b"[]\x03 7\x03 null\x03",
        b"[" * 100_000 + b"\x03",
        b'{"id": 99999, "result": {}}\x03',
        b'{"id": [], "result": {}}\x03{"id": true}\x03{"id": "1"}\x03{"id": null}\x03',
        b'{"method": []}\x03{"method": 5, "params": {}}\x03{"method": "nobody", "params": {}}\x03',
        b'{"method": "process_status_update"}\x03{"method": "process_status_update", "params": []}\x03',
        b'{"method": "process_status_update", "params": {"eventtime": "x", "status": {}}}\x03',
        status_of(b'{"fan": 5}'),
        status_of(b'{"webhooks": {"state": "odd"}}'),
        status_of(b'{"print_stats": {"state": 5}}'),
        status_of(b'{"a": {"b": ' + b"[" * 400 + b"]" * 400 + b"}}"),
        b'{"method": "process_gcode_response", "params": {"response": 5}}\x03',
    ],
    ids=range(16),
)
def test_rubbish_is_dropped_and_the_rest_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rubbish: bytes
) -> None:
    async def body(here: Scene) -> None:
        for _ in range(5):
            here.wire.connections[0].write(rubbish)
        here.wire.say("still here")
        await here.bus.until(lambda: ("notify_gcode_response", ["still here"]) in here.bus.notifications())
        assert await here.call(printer.GCODE_SCRIPT) == "ok"
        here.wire.become("ready", "Printer is ready")
        await here.works()
        assert len(here.bus.messages(STATE_TOPIC)) == 3
        whole = await start_call(here.agent, printer.OBJECTS_QUERY, {"objects": {"a": None, "fan": None}})
        assert whole["status"] == {"a": {}, "fan": {}}

    play(tmp_path, body)
    assert len([record for record in caplog.records if record.name == "agents.klippy.link"]) <= 1


@pytest.mark.parametrize("method", ["info", "list_endpoints", "objects/list", "objects/subscribe"])
@pytest.mark.parametrize("wrong", [None, [], 7, {}, {"state": "odd"}, {"eventtime": 1, "status": {"webhooks": 1}}])
def test_answers_of_the_wrong_type_during_start_up(tmp_path: Path, method: str, wrong: Any) -> None:
    async def body(here: Scene) -> None:
        def once(connection: Connection, request: Message) -> None:
            del here.wire.script[method]
            connection.result(request, wrong)

        here.wire.script[method] = once
        await here.wire.listen()
        await here.works()

    play(tmp_path, body, listening=False)


def test_half_a_frame_ends_with_the_link(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["gcode/help"] = lambda connection, request: connection.write(b'{"id": 6, "resul')
        call = here.call(printer.GCODE_HELP)
        await asyncio.sleep(0.05)
        assert not call.done()
        await here.wire.stop()
        await ends_unavailable([call])
        here.wire.script = {}
        await here.wire.listen()
        await here.works()

    play(tmp_path, body)


def test_a_frame_of_ten_megabytes_is_an_answer(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        text = "x" * (10 << 20)
        here.wire.script["gcode/help"] = lambda connection, request: connection.result(request, {"BIG": text})
        assert await here.call(printer.GCODE_HELP) == {"BIG": text}

    play(tmp_path, body)


def test_an_endless_frame_ends_the_connection_and_everything_pending(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["gcode/script"] = never
        call = here.call(printer.GCODE_SCRIPT)
        here.wire.connections[0].write(b"x" * (MAX_FRAME + 1))
        await here.shown("disconnected")
        await ends_unavailable([call])
        here.wire.script = {}
        await here.works()

    play(tmp_path, body)


def test_pending_requests_are_bounded_and_the_emergency_stop_is_not(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["gcode/script"] = never
        calls = [here.call(printer.GCODE_SCRIPT) for _ in range(MAX_PENDING)]
        await ends_unavailable([here.call(printer.GCODE_SCRIPT) for _ in range(100)])
        assert await asyncio.wait_for(here.call(printer.EMERGENCY_STOP), PROMPT) == "ok"
        assert not any(call.done() for call in calls)
        await here.wire.stop()
        await ends_unavailable(calls)

    play(tmp_path, body)


def test_a_klipper_that_does_not_read_is_not_buried(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.reading.clear()
        script = {"script": "M117 " + "x" * 60_000}
        calls = [start_call(here.agent, printer.GCODE_SCRIPT, script) for _ in range(100)]
        refused = [call for call in calls if call.done()]
        assert refused
        await ends_unavailable(refused)
        assert len(calls) - len(refused) <= 2 * (MAX_UNSENT // 60_000) + 10
        stop = here.call(printer.EMERGENCY_STOP)
        here.wire.reading.set()
        assert await asyncio.wait_for(stop, PROMPT) == "ok"
        assert await asyncio.gather(*(call for call in calls if call not in refused))

    play(tmp_path, body)


def test_everything_klipper_says_is_read_while_nobody_listens(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        for number in range(2000):
            here.wire.change({"toolhead": {"position": [number] * 200}})
        await asyncio.wait_for(here.wire.connections[0].drained(), 20.0)
        here.wire.change({"toolhead": {"homed_axes": "xyz"}})
        await here.bus.until(lambda: "homed_axes" in here.bus.messages("rig/klipper/delta")[-1]["status"]["toolhead"])

    play(tmp_path, body)


def test_a_print_start_that_klipper_does_not_survive(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["gcode/script"] = hang_up
        await ends_unavailable([here.call(printer.PRINT_START)])
        here.wire.script = {}
        await here.works()
        assert here.bus.facts("print") == []

    play(tmp_path, body)


def test_a_print_over_a_lost_link_is_interrupted_and_found_again(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.change({"print_stats": {"filename": "a.gcode", "state": "printing", "total_duration": 1.0}})
        await here.bus.until(lambda: len(here.bus.facts("print")) == 1)
        for connection in here.wire.connections:
            connection.close()
        here.wire.connections.clear()
        await here.bus.until(lambda: len(here.bus.facts("print")) == 3)
        told = [(kind, data.get("how"), data.get("found")) for kind, data in here.bus.facts("print")]
        assert told == [
            ("print.started.1", None, None),
            ("print.ended.1", "interrupted", None),
            ("print.started.1", None, True),
        ]

    play(tmp_path, body)


def test_a_storm_of_restarts_leaves_the_agent_working(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        for _ in range(3):
            await here.wire.stop()
            await here.shown("disconnected")
            await here.wire.listen()
            await here.works()
        await here.bus.until(lambda: len(here.bus.facts("printer")) == 11)
        kinds = [kind.split(".")[1] for kind, _ in here.bus.facts("printer")]
        assert kinds == ["connected", "ready", *["disconnected", "connected", "ready"] * 3]

    play(tmp_path, body)
