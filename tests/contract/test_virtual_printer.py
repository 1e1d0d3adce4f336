"""The virtual printer against a real Klipper's recorded traffic, and the behaviour that clients rely on."""

import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.virtual_printer import END, Client, Message, VirtualPrinter, virtual_printer

RECORDINGS = Path(__file__).parent.parent / "data" / "klippy"
OURS = ("commands", "settings", "config", "/help")
"""Where our printer's own, smaller content stands: only the types of the values are compared."""
TEN_MEGABYTES = 10_000_000
UNHURRIED = 30.0  # times as fast as a printer: a print lasts for seconds, in which something can be done about it


@pytest.fixture(scope="module")
def shared() -> Iterator[VirtualPrinter]:
    """A printer for tests that leave it as they found it."""
    with virtual_printer() as printer:
        printer.ready().__exit__()
        yield printer


@pytest.fixture
def printer() -> Iterator[VirtualPrinter]:
    with virtual_printer() as started:
        yield started


def recording(name: str) -> list[Message]:
    with (RECORDINGS / name).open() as lines:
        return [json.loads(line) for line in lines]


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Where the actual value is not of the shape of the expected one; None is of any shape."""
    if expected is None or actual is None:
        return []
    if type(expected) is not type(actual):
        return [f"{path}: {type(actual).__name__} instead of {type(expected).__name__}"]
    if isinstance(expected, dict):
        return dict_differences(expected, actual, path)
    if isinstance(expected, list) and expected:
        pairs = zip(expected if len(expected) == len(actual) else [expected[0]] * len(actual), actual, strict=True)
        return [found for like, each in pairs for found in differences(like, each, f"{path}[]")]
    return []


def dict_differences(expected: Message, actual: Message, path: str) -> list[str]:
    if path.rpartition(".")[2] in OURS:
        foreign = {type(each) for each in actual.values()} - {type(each) for each in expected.values()}
        return [f"{path}: values are {found.__name__}" for found in foreign]
    missing = [f"{path}: no {name}" for name in expected if name not in actual]
    added = [f"{path}: unexpected {name}" for name in actual if name not in expected]
    common = (name for name in expected if name in actual)
    return missing + added + [d for name in common for d in differences(expected[name], actual[name], f"{path}.{name}")]


class Replay:
    """Sends what a recording sent and compares the answers; `before` may act before a request goes out."""

    def __init__(self, printer: VirtualPrinter, before: Callable[[Message], None] = lambda _: None) -> None:
        self._printer = printer
        self._before = before
        self._client: Client | None = None
        self._methods: dict[str, str] = {}
        self.said: list[str] = []

    @property
    def client(self) -> Client:
        assert self._client is not None
        return self._client

    def run(self, lines: list[Message]) -> None:
        """The recorder hung up by itself at the end, whatever its last line says."""
        try:
            for line in lines[:-1]:
                self._step(line)
        finally:
            self._hang_up()

    def _step(self, line: Message) -> None:
        if line["dir"] == "event":
            self._event(line["event"])
        elif line["dir"] == "send":
            self._send(line)
        elif "id" in line["msg"]:
            self._compare(line["msg"])

    def _event(self, event: str) -> None:
        if event.startswith("connected"):
            self._hang_up()
            self._client = self._printer.connect()
        elif event.startswith("socket closed"):
            assert self.client.at_end()

    def _hang_up(self) -> None:
        if self._client is not None:
            said = (each["params"].get("response") for each in self._client.notifications)
            self.said += [line for line in said if line is not None]
            self._client.__exit__()

    def _send(self, line: Message) -> None:
        if "raw" in line:
            self.client.write(line["raw"].encode())
            return
        self._before(line["msg"])
        self._methods[json.dumps(line["msg"]["id"])] = line["msg"]["method"]
        self.client.send(line["msg"])

    def _compare(self, recorded: Message) -> None:
        method = self._methods.get(json.dumps(recorded["id"]), "")
        answer = self.client.wait_for(recorded["id"])
        if recorded.get("result", {}).get("state") == "ready":
            self._poll_until_ready()
        if "error" in recorded:
            assert answer == recorded
        else:
            assert differences(recorded["result"], answer["result"], f"/{method.rpartition('/')[2]}") == []
        if method == "list_endpoints":
            assert answer == recorded

    def _poll_until_ready(self) -> None:
        while self.client.call("info")["state"] != "ready":
            time.sleep(0.01)


def test_requests_and_errors_are_answered_as_recorded() -> None:
    with virtual_printer(speed=20.0) as printer:
        printer.ready().__exit__()
        replay = Replay(printer)
        replay.run(recording("01_basic_requests.jsonl"))
    order = replay.client.order
    assert order.index('"str-id"') < order.index('{"a": 1}')
    assert order.index("31") < order.index("30")
    assert not {"900", "901", "902", "null"} & set(order)


def test_emergency_stop_and_restarts_go_as_recorded() -> None:
    with virtual_printer(restart_factor=0.25) as printer:
        printer.ready().__exit__()
        replay = Replay(printer)
        lines = recording("03_estop_firmware_restart.jsonl")
        replay.run(lines)
        told = [line["msg"] for line in lines if line["dir"] == "recv" and "id" not in line["msg"]]
        assert replay.said == [each["params"]["response"] for each in told if "response" in each["params"]]


def test_a_broken_configuration_goes_as_recorded(tmp_path: Path) -> None:
    config = tmp_path / "printer.cfg"
    config.write_text("[printer]\nkinematics: cartesian\n")
    contents = iter(["[printer]\n[nosuchsection]\n", "[printer]\n"])

    def change(request: Message) -> None:
        if request["method"] == "gcode/restart":
            config.write_text(next(contents))

    with virtual_printer("--config", str(config)) as printer:
        printer.ready().__exit__()
        Replay(printer, change).run(recording("04_config_error.jsonl"))


def test_an_unreadable_configuration_leaves_few_objects(tmp_path: Path) -> None:
    with virtual_printer("--config", str(tmp_path / "missing.cfg")) as printer, printer.connect() as client:
        assert client.call("info")["state"] == "error"
        assert client.call("objects/list")["objects"] == ["gcode", "webhooks", "configfile"]


def test_every_object_has_the_recorded_fields(shared: VirtualPrinter) -> None:
    lines = recording("02_subscribe_print.jsonl")
    results = [line["msg"]["result"] for line in lines if "result" in line.get("msg", {})]
    listed = next(result["objects"] for result in results if "objects" in result)
    recorded = next(result for result in results if len(result.get("status", {})) > 50)
    with shared.connect() as client:
        assert client.call("objects/list")["objects"] == listed
        client.call("query_endstops/status")
        answer = client.call("objects/query", objects=dict.fromkeys(listed))
    assert differences(recorded, answer) == []


def test_the_lost_micro_controller_is_told_as_recorded(printer: VirtualPrinter) -> None:
    lines = recording("05_mcu_lost.jsonl")
    recorded = next(m["msg"]["result"] for m in lines if m.get("msg", {}).get("result", {}).get("state") == "shutdown")
    with printer.ready() as client:
        client.follow(webhooks=None)
        printer.process.send_signal(signal.SIGUSR1)
        client.pump_until(lambda: client.saw("webhooks", "state_message") == [recorded["state_message"]])
        assert client.console() == ["// Klipper state: Shutdown"]
        client.script("M105")
        assert client.console()[1].startswith("B:22.0 /0.0 C:22.0 /0.0 CH:22.0 /0.0 T0:")


def test_a_file_prints_through_pause_and_resume() -> None:
    with virtual_printer(speed=UNHURRIED) as printer, printer.ready() as client:
        client.follow(print_stats=None, virtual_sdcard=None, pause_resume=None, idle_timeout=["state"])
        client.script("SDCARD_PRINT_FILE FILENAME=demo.gcode")
        client.pump_until(lambda: any(client.saw("print_stats", "filament_used")))
        assert client.call("pause_resume/pause") == {}
        client.pump_until(lambda: client.saw("print_stats", "state")[-1:] == ["paused"])
        client.pump_until(lambda: client.saw("idle_timeout", "state")[-1:] == ["Ready"])
        assert client.saw("virtual_sdcard", "is_active") == [True, False]
        assert client.call("pause_resume/resume") == {}
        client.pump_until(lambda: client.saw("print_stats", "state")[-1:] == ["complete"])
        assert client.saw("pause_resume", "is_paused") == [True, False]
        assert client.saw("virtual_sdcard", "progress")[-1] == 1.0
        assert client.saw("virtual_sdcard", "file_path")[-1] is None
        assert client.saw("print_stats", "info")[-1] == {"total_layer": 8, "current_layer": 8}
        assert client.saw("print_stats", "filament_used")[-1] == pytest.approx(114.23, abs=0.01)
        said = [line for line in client.console() if not line.startswith("B:")]
        size = (printer.gcodes / "demo.gcode").stat().st_size
        opened = [f"File opened:demo.gcode Size:{size}", "File selected"]
        assert said == [*opened, "// action:paused", "Done printing file"]
        durations = client.call("objects/query", objects={"print_stats": None})["status"]["print_stats"]
        assert 0 < durations["print_duration"] < durations["total_duration"] - 0.5


def test_a_second_print_is_refused_while_one_runs() -> None:
    with virtual_printer(speed=UNHURRIED) as printer, printer.ready() as client:
        client.script("SDCARD_PRINT_FILE FILENAME=demo.gcode")
        assert client.refusal("gcode/script", script="SDCARD_PRINT_FILE FILENAME=demo.gcode") == "SD busy"
        client.script("CANCEL_PRINT")
        stats = client.call("objects/query", objects={"print_stats": ["state"]})["status"]["print_stats"]
        assert stats == {"state": "cancelled"}


def test_an_error_in_the_file_ends_the_print_with_its_text(printer: VirtualPrinter) -> None:
    printer.write("bad.gcode", "M117 so far", "G1 X10", "M117 never")
    with printer.ready() as client:
        client.follow(print_stats=None, display_status=["message"])
        client.script("SDCARD_PRINT_FILE FILENAME=bad.gcode")
        client.pump_until(lambda: client.saw("print_stats", "state")[-1:] == ["error"])
        problem = "Must home axis first: 10.000 0.000 0.000 [0.000]"
        assert client.saw("print_stats", "message") == [problem]
        assert client.console()[-1] == f"!! {problem}"
        assert client.saw("display_status", "message") == ["so far"]


def test_emergency_stop_overtakes_a_wait_for_a_heater() -> None:
    with virtual_printer(speed=1.0) as printer, printer.ready() as client:
        waiting = client.start("gcode/script", script="M109 S250")
        behind = client.start("pause_resume/cancel")
        client.call("info")
        assert client.call("emergency_stop") == {}
        assert client.wait_for(waiting) == {"id": waiting, "result": {}}
        assert client.wait_for(behind)["error"]["message"].startswith("Shutdown due to webhooks request\n")
        heater = client.call("objects/query", objects={"extruder": ["target"]})["status"]["extruder"]
        assert heater == {"target": 0.0}


def test_emergency_stop_ends_a_print() -> None:
    with virtual_printer(speed=1.0) as printer, printer.ready() as client:
        printer.write("hot.gcode", "M109 S250", "M117 never")
        client.follow(print_stats=["state"], virtual_sdcard=["is_active"], display_status=["message"])
        client.script("SDCARD_PRINT_FILE FILENAME=hot.gcode")
        client.pump_until(lambda: client.saw("virtual_sdcard", "is_active") == [True])
        client.call("emergency_stop")
        client.pump_until(lambda: client.saw("virtual_sdcard", "is_active") == [True, False])
        assert client.saw("print_stats", "state") == ["printing", "paused"]
        assert client.saw("display_status", "message") == []


def test_macros_call_remote_methods_of_those_who_registered(shared: VirtualPrinter) -> None:
    with shared.connect() as listener, shared.connect() as caller:
        problem = caller.refusal("gcode/script", script="CALL_REMOTE METHOD=absent")
        assert problem == "Remote method 'absent' not registered"
        listener.call("register_remote_method", remote_method="rig_method", response_template={"method": "rig_method"})
        caller.script("CALL_REMOTE\nCALL_REMOTE METHOD=rig_method TEXT='x y'")
        listener.pump_until(lambda: len(listener.notifications) == 2)
    assert listener.notifications[0] == {"method": "rig_method", "params": {"a": 1, "b": "two"}}
    assert listener.notifications[1]["params"] == {"text": "x y"}


def test_updates_carry_only_changes_and_a_new_subscription_replaces_the_old(shared: VirtualPrinter) -> None:
    with shared.connect() as client:
        first = client.follow(**{"output_pin relay": None, "webhooks": None, "nosuch": None, "toolhead": ["nosuch"]})
        assert first["output_pin relay"] == {"value": 0.0}
        assert first["nosuch"] == {} and first["toolhead"] == {"nosuch": None}
        client.script("SET_PIN PIN=relay VALUE=1")
        client.pump_until(lambda: client.saw("output_pin relay", "value") == [1.0])
        assert len(client.notifications) == 1
        client.call("objects/subscribe", objects={}, response_template={"method": "status"})
        client.script("SET_PIN PIN=relay VALUE=0")
        client.pump_for(0.6)
        assert len(client.notifications) == 1


def test_queries_wait_for_the_tick_once_somebody_subscribed(shared: VirtualPrinter) -> None:
    with shared.connect() as client:
        client.follow(toolhead=["estimated_print_time"])
        times = [client.call("objects/query", objects={"webhooks": None})["eventtime"] for _ in range(6)]
        apart = sorted(b - a for a, b in pairwise(times))
        assert apart[0] == pytest.approx(0.25, abs=0.05) and apart[-1] < 2  # on a busy machine, some come late


def test_motion_dumps_have_header_and_batches(printer: VirtualPrinter) -> None:
    with printer.ready() as client:
        header = client.call("motion_report/dump_trapq", name="toolhead", response_template={"method": "trapq"})
        assert header["header"][:2] == ["time", "duration"]
        stepper = client.call("motion_report/dump_stepper", name="stepper_x", response_template={"method": "stepper"})
        assert stepper["header"] == ["interval", "count", "add"]
        assert client.refusal("motion_report/dump_trapq", name="nosuch") == "The value 'nosuch' is not valid for name"
        client.script("G28\nG1 X50 F6000\nM400")
        client.pump_until(lambda: {each["method"] for each in client.notifications} == {"trapq", "stepper"})
        rows = [row for each in client.notifications if each["method"] == "trapq" for row in each["params"]["data"]]
        assert all(len(row) == 6 and len(row[4]) == len(row[5]) == 3 for row in rows)


def test_a_client_that_leaves_takes_its_subscriptions_along(printer: VirtualPrinter) -> None:
    with printer.ready() as client:
        client.follow(toolhead=None)
        client.call("motion_report/dump_trapq", name="toolhead")
        client.call("register_remote_method", remote_method="gone", response_template={})
    with printer.connect() as client:
        assert client.refusal("gcode/script", script="CALL_REMOTE METHOD=gone") == "Remote method 'gone' not registered"
        client.script("G28\nM400")


def test_a_ten_megabyte_frame_is_taken(shared: VirtualPrinter) -> None:
    with shared.connect() as client:
        client.script("; " + "x" * TEN_MEGABYTES)
        assert client.call("info")["state"] == "ready"


def test_the_process_announces_itself_and_ends_cleanly() -> None:
    printer = VirtualPrinter("--log", os.devnull)
    assert printer.ready_line == f"virtual printer ready {printer.socket}"
    assert stat.S_IMODE(printer.socket.stat().st_mode) == 0o600
    assert (printer.gcodes / "demo.gcode").exists()
    with printer.ready() as client:
        printer.process.send_signal(signal.SIGTERM)
        assert client.at_end()
    assert printer.process.wait(5) == 0
    assert not printer.socket.exists()
    printer.stop()


def test_the_process_ends_with_its_parent_if_asked_to() -> None:
    printer = VirtualPrinter("--exit-with-parent")
    assert printer.process.stdin is not None
    printer.process.stdin.close()
    assert printer.process.wait(5) == 0
    printer.stop()


VALID = st.sampled_from(["info", "list_endpoints", "gcode/help", "nosuch/method", "objects/list"])
GARBAGE = st.one_of(
    st.binary(max_size=20).map(lambda data: data.replace(END, b"")),
    st.sampled_from(
        [b"[1,2]", b'{"id":901}', b'{"id":1,"method":7}', b'{"id":2,"method":"info","params":[]}', b"[" * 5000]
    ),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(st.one_of(VALID, GARBAGE), max_size=12), data=st.data())
def test_any_split_of_frames_and_any_garbage_between(
    shared: VirtualPrinter, frames: list[str | bytes], data: st.DataObject
) -> None:
    stream, expected = b"", []
    for number, frame in enumerate([*frames, "info"], 1000):
        if isinstance(frame, str):
            expected.append(str(number))
            frame = json.dumps({"id": number, "method": frame}).encode()
        stream += frame + END
    with shared.connect() as client:
        while stream:
            cut = data.draw(st.integers(1, len(stream)))
            client.write(stream[:cut])
            stream = stream[cut:]
        client.pump_until(lambda: client.order[-1:] == expected[-1:])
        assert client.order == expected
