"""Recent temperatures and console lines of a running program, over three transports and two kinds of end."""

import json
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from tests.e2e.test_print import Socket, fast_printer, get, publish, until
from tests.program import Addresses, Program, addresses, running, up_arguments

# What the reference server answers for the printer that the virtual one is modelled on.
HEATER = {"temperatures", "targets", "powers"}
SENSOR = {"temperatures"}
RECORDED = {
    "heater_bed": HEATER,
    "heater_generic chamber_heater": HEATER,
    "temperature_fan host_fan": {"temperatures", "targets", "speeds"},
    "temperature_sensor chamber": SENSOR,
    "temperature_sensor ambient_combined": SENSOR,
    "temperature_sensor host": SENSOR,
    "z_thermal_adjust": SENSOR,
    "extruder": HEATER,
}


def is_ready(where: Addresses) -> bool:
    return bool(get(where, "/server/info")["klippy_state"] == "ready")


def bed(where: Addresses) -> list[float]:
    store = get(where, "/server/temperature_store")
    return list(store["heater_bed"]["temperatures"]) if store else []


def samples(where: Addresses) -> int:
    return sum(value != 0 for value in bed(where))


def lines(where: Addresses) -> list[tuple[str, str]]:
    return [(line["type"], line["message"]) for line in get(where, "/server/gcode_store")["gcode_store"]]


def test_the_stores_of_a_running_printer_have_the_recorded_shape(tmp_path: Path) -> None:
    with running(tmp_path / "data", *fast_printer(tmp_path)) as (_, where):
        until(lambda: is_ready(where) and samples(where) > 1)
        store = get(where, "/server/temperature_store")
        assert {name: set(fields) for name, fields in store.items()} == RECORDED
        assert list(store) == list(RECORDED)
        assert {len(values) for fields in store.values() for values in fields.values()} == {1200}
        assert all(type(value) is float for value in store["extruder"]["temperatures"])
        assert get(where, "/server/temperature_store?include_monitors=true").keys() == RECORDED.keys()


def test_commands_of_all_transports_stand_before_their_responses(tmp_path: Path) -> None:
    with running(tmp_path / "data", *fast_printer(tmp_path)) as (_, where):
        until(lambda: is_ready(where))
        get(where, "/printer/gcode/script?script=M118%20http", post=True)
        with connect(where.http.replace("http", "ws") + "/websocket") as connection:
            Socket(connection).ask("printer.gcode.script", script="M118 websocket")
        request = {"jsonrpc": "2.0", "method": "printer.gcode.script", "params": {"script": "M118 mqtt"}, "id": 1}
        publish(where, "test/moonraker/api/request", json.dumps(request))
        until(lambda: ("response", "echo: mqtt") in lines(where))
        get(where, "/printer/print/start?filename=/demo.gcode", post=True)
        expected: list[Any] = []
        for transport in ("http", "websocket", "mqtt"):
            expected += [("command", f"M118 {transport}"), ("response", f"echo: {transport}")]
        expected += [("command", 'SDCARD_PRINT_FILE FILENAME="demo.gcode"')]
        shown = [line for line in lines(where) if "Klipper state" not in line[1]]
        assert shown[: len(expected)] == expected


def test_the_stores_survive_a_clean_stop_and_then_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, *fast_printer(tmp_path)) as (_, where):
        until(lambda: is_ready(where) and samples(where) > 2)
        get(where, "/printer/gcode/script?script=M118%20first", post=True)
        known = samples(where)
    killed = Program(*up_arguments(data, *fast_printer(tmp_path)))
    try:
        where = addresses(killed.ready_line())
        assert samples(where) >= known
        assert ("response", "echo: first") in lines(where)
        until(lambda: is_ready(where))
    finally:
        killed.process.kill()
        killed.stop()
    with running(data, *fast_printer(tmp_path)) as (_, where):
        assert samples(where) >= known
        assert ("response", "echo: first") in lines(where)
