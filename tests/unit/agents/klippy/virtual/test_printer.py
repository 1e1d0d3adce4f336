"""The modules together: responses, macros, waiting, shutdown, idleness, restarts."""

import json

import pytest

from agents.klippy.virtual.command import Command, CommandError

from .bench import Bench


def test_responses_are_worded_as_klippers(bench: Bench) -> None:
    bench.run(
        "NOSUCH A=1\nM118 hi\nRESPOND MSG=hello\nRESPOND TYPE=command MSG=action:x\nRESPOND TYPE=error MSG=bad\nM115"
    )
    said = ['// Unknown command:"NOSUCH"', "echo: hi", "echo: hello", "// action:x", "!! bad"]
    assert bench.console[:-1] == said
    assert bench.console[-1].startswith("// FIRMWARE_VERSION:v0.13.0")
    bench.run("STATUS")
    assert bench.console[-1] == "// Klipper state: Ready"


def test_an_error_of_several_lines_is_said_whole_then_in_short(bench: Bench) -> None:
    bench.run("G28")
    with pytest.raises(CommandError):
        bench.run("G1 E1")
    assert bench.console[0].startswith("// Extrude below minimum temp\n// See the 'min_extrude_temp'")
    assert bench.console[1] == "!! Extrude below minimum temp"


def test_malformed_parameters_fail_only_for_known_commands(bench: Bench) -> None:
    bench.run("NOSUCH 'open")
    with pytest.raises(CommandError, match=r"^Malformed command 'SET_PIN PIN='open'$"):
        bench.run("SET_PIN PIN='open")


def test_waiting_for_a_heater_reports_once_a_second(bench: Bench) -> None:
    before = bench.clock.moment
    bench.run("M109 S100")
    took = bench.clock.moment - before
    assert 5 < took < 30
    reports = [line for line in bench.console if line.startswith("B:")]
    assert len(reports) == pytest.approx(took, abs=2)
    assert reports[-1].endswith("/100.0")


def test_a_shutdown_ends_waits_and_fails_what_follows(bench: Bench) -> None:
    outcomes: list[CommandError | None] = []
    bench.printer.run("M190 S100", outcomes.append)
    bench.printer.run("M117 later", outcomes.append)
    bench.loop.pass_time(1.0)
    assert bench.status("idle_timeout")["state"] == "Printing"
    bench.printer.state.shut_down("Shutdown due to test")
    bench.loop.pass_time(0.1)
    assert outcomes[0] is None and "Shutdown due to test" in str(outcomes[1])
    assert bench.printer.heat.heaters["heater_bed"].target == 0.0
    bench.run("M105")
    assert bench.console[-1].startswith("B:")


def test_a_broken_handler_shuts_the_printer_down(bench: Bench) -> None:
    def broken(_command: Command) -> None:
        raise ZeroDivisionError

    bench.printer.gcode.register("BROKEN", broken)
    with pytest.raises(CommandError, match=r'^Internal error on command:"BROKEN"$'):
        bench.run("BROKEN")
    assert bench.printer.state.name == "shutdown" and "ZeroDivisionError" in bench.log[0]


def test_macros(bench: Bench) -> None:
    bench.run("CALL_REMOTE")
    assert bench.remote_calls == [("rig_method", {"a": 1, "b": "two"})]
    with pytest.raises(
        CommandError, match=r"^Error evaluating 'gcode_macro RAISE:gcode': gcode.CommandError: custom error\n$"
    ):
        bench.run("RAISE")
    bench.run("EMERGENCY")
    assert bench.printer.state.message.startswith("Shutdown due to macro estop\n")


def test_print_start_homes_and_heats(bench: Bench) -> None:
    bench.run("PRINT_START BED=40 EXTRUDER=180")
    heaters = bench.printer.heat.heaters
    assert heaters["extruder"].temperature >= 177 and heaters["heater_bed"].temperature >= 37
    assert bench.printer.macros.status("PRINT_START")["bed"] == 40.0


@pytest.mark.parametrize("value", ["{1,2}", "b'x'", "nope", "1e999", "("])
def test_macro_variables_hold_only_what_json_can(bench: Bench, value: str) -> None:
    with pytest.raises(CommandError):
        bench.run(f'SET_GCODE_VARIABLE MACRO=PRINT_START VARIABLE=note VALUE="{value}"')
    bench.run("SET_GCODE_VARIABLE MACRO=PRINT_START VARIABLE=note VALUE=[1,None]")
    assert json.dumps(bench.printer.macros.status("PRINT_START")["note"]) == "[1, null]"


def test_still_for_an_hour_the_machine_goes_idle(bench: Bench) -> None:
    bench.run("G28\nM104 S100")
    bench.loop.pass_time(10.0)
    assert bench.status("idle_timeout")["state"] == "Ready"
    bench.loop.pass_time(3700.0)
    assert bench.status("idle_timeout")["state"] == "Idle"
    assert bench.printer.heat.heaters["extruder"].target == 0.0 and not bench.printer.toolhead.homed


def test_a_restart_waits_for_the_machine_and_runs_nothing_after(bench: Bench) -> None:
    bench.run("G28\nM400")
    before = bench.clock.moment
    bench.run("RESTART\nM117 lost")
    assert bench.restarts == 1 and bench.clock.moment - before == pytest.approx(0.8, abs=0.1)
    bench.printer.run("RESTART", lambda _: None)
    bench.loop.pass_time(5.0)
    assert bench.restarts == 1


def test_outputs(bench: Bench) -> None:
    bench.run(
        "M106 S127.5\nSET_FAN_SPEED FAN=aux_fan SPEED=0.3\nSET_PIN PIN=caselight VALUE=1\nSET_SERVO SERVO=arm ANGLE=90"
    )
    outputs = bench.printer.outputs
    assert outputs.fan_status("fan") == {"speed": 0.5, "rpm": 2400.0}
    assert outputs.fan_status("fan_generic aux_fan")["speed"] == 0.3
    assert outputs.pin_status("caselight") == {"value": 1.0}
    assert outputs.pin_status("arm") == {"value": pytest.approx(0.075)}
    bench.run("M107\nSET_LED LED=strip RED=1 INDEX=2\nSET_FILAMENT_SENSOR SENSOR=fila ENABLE=0")
    assert outputs.fan_status("fan")["speed"] == 0.0
    assert outputs.light_status("strip")["color_data"] == [[0.0] * 4, [1.0, 0.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4]
    assert outputs.filament_status("fila")["enabled"] is False
    with pytest.raises(CommandError, match=r"^The value 'nosuch' is not valid for PIN$"):
        bench.run("SET_PIN PIN=nosuch VALUE=1")


def test_the_hotend_fan_follows_the_hotend(bench: Bench) -> None:
    fan = bench.printer.outputs.fan_status
    assert fan("heater_fan hotend_fan")["speed"] == 0.0
    bench.run("M109 S100\nM104 S0")
    assert fan("heater_fan hotend_fan")["speed"] == 1.0
