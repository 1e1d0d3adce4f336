"""What clients are told while five recordings of a real Klipper are played through the klippy agent."""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_klippy_agent import DISCONNECTED, READY, SHUTDOWN, STATE_TOPIC, Scene, events_of, play_scene
from tests.klipper_recording import console_lines, play, read

STARTS = ["disconnected", "startup", "ready"]
AGAIN = ["disconnected", "startup", "ready"]
RECORDINGS: dict[str, list[str]] = {
    "01_basic_requests.jsonl": [*STARTS, "disconnected"],
    "02_subscribe_print.jsonl": [*STARTS, "disconnected"],
    "03_estop_firmware_restart.jsonl": [*STARTS, "shutdown", *AGAIN, *AGAIN, *AGAIN, "disconnected"],
    "04_config_error.jsonl": [*STARTS, "disconnected", "error", *AGAIN, "disconnected"],
    "05_mcu_lost.jsonl": [*STARTS, "shutdown", *AGAIN, "disconnected"],
}
ANNOUNCED = {"ready": READY, "shutdown": SHUTDOWN, "disconnected": DISCONNECTED}


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_shows_its_states_and_every_console_line(tmp_path: Path, name: str) -> None:
    async def body(here: Scene) -> None:
        await play(here.wire, name, here.shown)
        assert here.states() == RECORDINGS[name]
        notified = here.bus.notifications()
        assert [params[0] for method, params in notified if method == "notify_gcode_response"] == console_lines(name)
        expected = [ANNOUNCED[state] for state in RECORDINGS[name][1:] if state in ANNOUNCED]
        assert [entry for entry in notified if entry in ANNOUNCED.values()] == expected

    play_scene(tmp_path, body, listening=False)


def test_the_recorded_shutdown_is_announced_between_its_console_lines(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await play(here.wire, "03_estop_firmware_restart.jsonl", here.shown)
        brief = [params[0][:26] if params else method for method, params in here.bus.notifications()][:10]
        assert brief == [
            "notify_klippy_ready",
            "// Klipper state: Shutdown",
            "notify_klippy_shutdown",
            "// Shutdown due to webhook",
            "!! Shutdown due to webhook",
            "// Shutdown due to webhook",
            "!! Shutdown due to webhook",
            "// Klipper state: Disconne",
            "notify_klippy_disconnected",
            "notify_klippy_ready",
        ]

    play_scene(tmp_path, body, listening=False)


def test_the_recorded_prints_are_told(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await play(here.wire, "02_subscribe_print.jsonl", here.shown)
        told = await here.facts("print", 6)
        assert [(kind, data["filename"], data.get("how")) for kind, data in told] == [
            ("print.started.1", "short.gcode", None),
            ("print.paused.1", "short.gcode", None),
            ("print.resumed.1", "short.gcode", None),
            ("print.ended.1", "short.gcode", "completed"),
            ("print.started.1", "short.gcode", None),
            ("print.ended.1", "short.gcode", "cancelled"),
        ]
        assert told[3][1]["total_duration"] == pytest.approx(51.2, abs=0.01)
        assert told[3][1]["filament_used"] > 20

    play_scene(tmp_path, body, listening=False)


def updates(name: str) -> list[dict[str, Any]]:
    """All changes that Klipper told in a recording."""
    messages = [message for connection in read(name) for message in connection]
    return [message["params"] for message in messages if message.get("method") == "process_status_update"]


def test_all_that_was_recorded_of_a_print_reaches_its_followers(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await play(here.wire, "02_subscribe_print.jsonl", here.shown)
        said = updates("02_subscribe_print.jsonl")
        told = here.bus.messages("rig/klipper/status")
        assert told[told.index(said[0]) :] == said
        prints = [each["status"].get("print_stats", {}) for each in said]
        states = [fields["state"] for fields in prints if "state" in fields]
        assert states == ["printing", "paused", "printing", "complete", "standby", "printing", "standby"]

    play_scene(tmp_path, body, listening=False)


def test_the_recorded_broken_configuration_is_explained(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await play(here.wire, "04_config_error.jsonl", here.shown)
        (reason,) = {each["message"] for each in here.bus.messages(STATE_TOPIC) if each["state"] == "error"}
        assert reason.startswith("Section 'nosuchsection' is not a valid config section\n\nOnce the underlying issue")
        server = [each for each in here.bus.messages("rig/state/klippy/server") if each["klippy_state"] == "error"]
        assert {(each["klippy_connected"], each["state_message"]) for each in server} == {(True, reason)}
        failed = [data for kind, data in here.bus.facts("printer") if kind == "printer.failed.1"]
        assert failed == [{"message": reason}]

    play_scene(tmp_path, body, listening=False)


def test_the_recorded_loss_of_the_micro_controller_is_explained(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await play(here.wire, "05_mcu_lost.jsonl", here.shown)
        reasons = [each["message"] for each in here.bus.messages(STATE_TOPIC) if each["state"] == "shutdown"]
        assert reasons and all(reason.startswith("Lost communication with MCU 'mcu'\n") for reason in reasons)
        brief = [params[0] if params else method for method, params in here.bus.notifications()]
        shutdown = brief.index("// Klipper state: Shutdown")
        assert brief[shutdown + 1] == "notify_klippy_shutdown"
        assert brief[-4:] == [
            "// Klipper state: Disconnect",
            "notify_klippy_disconnected",
            "notify_klippy_ready",
            "notify_klippy_disconnected",
        ]

    play_scene(tmp_path, body, listening=False)


def test_the_recorded_restarts_are_told_in_order(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await play(here.wire, "03_estop_firmware_restart.jsonl", here.shown)
        again = ["printer.disconnected.1", "printer.connected.1", "printer.ready.1"]
        await here.facts("printer", 13)
        assert [kind for kind, _ in events_of(here, "printer")] == [
            "printer.connected.1",
            "printer.ready.1",
            "printer.shutdown.1",
            *again,
            *again,
            *again,
            "printer.disconnected.1",
        ]

    play_scene(tmp_path, body, listening=False)
