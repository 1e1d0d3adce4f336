"""Moves: limits, time, coordinates, homing, arcs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.klippy.virtual.command import CommandError
from agents.klippy.virtual.motion import LOOK_AHEAD, START_DELAY, Position, Toolhead

from .bench import Bench


def position(bench: Bench) -> list[float]:
    found = bench.status("gcode_move")["gcode_position"]
    assert isinstance(found, list)
    return found


def live(bench: Bench) -> list[float]:
    found = bench.status("motion_report")["live_position"]
    assert isinstance(found, list)
    return found


def test_a_move_takes_its_distance_over_its_speed(bench: Bench) -> None:
    bench.run("G28\nM400\nG1 X0 Y0 F6000\nM400")
    before = bench.clock.moment
    bench.run("G1 X200 F6000\nM400")
    assert bench.clock.moment - before == pytest.approx(200 / 100 + START_DELAY, abs=0.1)


def test_the_tool_is_on_its_way_while_the_plan_is_ahead(bench: Bench) -> None:
    bench.run("G28\nG1 X0 Y0 F6000\nM400\nG1 X50 F3000")
    assert position(bench)[0] == 50.0
    bench.loop.pass_time(0.5)
    report = bench.status("motion_report")
    assert 5 < live(bench)[0] < 45 and report["live_velocity"] == pytest.approx(50.0)
    bench.loop.pass_time(2.0)
    assert live(bench)[0] == 50.0 and bench.status("motion_report")["live_velocity"] == 0.0


def test_g_code_waits_when_it_is_too_far_ahead(bench: Bench) -> None:
    bench.run("G28\nG1 X0 Y0 F6000\nM400")
    before = bench.clock.moment
    bench.run("\n".join(f"G1 X{x} F600" for x in (10, 20, 30, 40, 50)))
    assert bench.clock.moment - before == pytest.approx(5.0 + START_DELAY - LOOK_AHEAD, abs=0.1)


def test_axes_must_be_homed_and_targets_in_reach(bench: Bench) -> None:
    with pytest.raises(CommandError, match=r"^Must home axis first: 10.000 0.000 0.000 \[0.000\]$"):
        bench.run("G1 X10")
    bench.run("G28")
    with pytest.raises(CommandError, match=r"^Move out of range: 9999.000 100.000 5.000 \[0.000\]$"):
        bench.run("G1 X9999")
    assert position(bench)[0] == 100.0
    assert bench.console[-1] == "!! Move out of range: 9999.000 100.000 5.000 [0.000]"


@pytest.mark.parametrize("line", ["G1 Xten", "G1 Xnan", "G1 X"])
def test_a_move_that_makes_no_sense_is_refused(bench: Bench, line: str) -> None:
    with pytest.raises(CommandError, match=f"^Unable to parse move '{line}'$"):
        bench.run(line)


def test_homing_finds_every_axis_and_switches_the_motors_on(bench: Bench) -> None:
    bench.run("G28 X")
    assert bench.status("toolhead")["homed_axes"] == "x"
    bench.run("G28\nM400")
    assert bench.status("toolhead")["homed_axes"] == "xyz"
    assert position(bench) == [100.0, 100.0, 5.0, 0.0]
    assert bench.printer.toolhead.enabled == {"stepper_x", "stepper_y", "stepper_z"}
    bench.run("M84")
    assert bench.status("toolhead")["homed_axes"] == "" and not bench.printer.toolhead.enabled


def test_cold_filament_is_not_fed(bench: Bench) -> None:
    bench.run("G28")
    with pytest.raises(CommandError, match=r"^Extrude below minimum temp\nSee the 'min_extrude_temp'"):
        bench.run("G1 E5 F60")
    bench.heat_up()
    with pytest.raises(CommandError, match=r"^Extrude only move too long \(150.000mm vs 100.000mm\)"):
        bench.run("G1 E150 F600")


def test_relative_moves_offsets_and_g92(bench: Bench) -> None:
    bench.run("G28\nG91\nG1 X5 F6000\nG1 X5\nG90")
    assert position(bench)[0] == 110.0
    bench.run("G92 X0\nG1 X10")
    assert position(bench)[0] == 10.0 and bench.printer.toolhead.position[0] == 120.0
    bench.run("SET_GCODE_OFFSET Z=0.5 MOVE=1\nG1 Z10")
    assert bench.printer.toolhead.position[2] == 10.5
    assert bench.status("gcode_move")["homing_origin"] == [0.0, 0.0, 0.5, 0.0]


def test_factors_change_speed_and_flow(bench: Bench) -> None:
    bench.heat_up()
    bench.run("G1 F6000\nM220 S50\nM221 S200\nM83\nG1 X110 E1")
    status = bench.status("gcode_move")
    assert (status["speed"], status["speed_factor"]) == (pytest.approx(6000), pytest.approx(0.5))
    assert status["extrude_factor"] == 2.0
    assert bench.printer.coordinates.frame.speed == pytest.approx(50.0)
    assert bench.printer.toolhead.position[3] == pytest.approx(2.0)


def test_states_are_saved_and_restored(bench: Bench) -> None:
    bench.run("G28\nG1 X20 F6000\nSAVE_GCODE_STATE NAME=here\nG91\nG1 X30\nRESTORE_GCODE_STATE NAME=here MOVE=1")
    assert position(bench)[0] == 20.0 and bench.status("gcode_move")["absolute_coordinates"] is True
    with pytest.raises(CommandError, match=r"^Unknown g-code state: nosuch$"):
        bench.run("RESTORE_GCODE_STATE NAME=nosuch")


def test_limits_slow_a_move_down(bench: Bench) -> None:
    bench.run("G28\nM400\nSET_VELOCITY_LIMIT VELOCITY=20 ACCEL=500")
    status = bench.status("toolhead")
    assert (status["max_velocity"], status["max_accel"]) == (20.0, 500.0)
    before = bench.clock.moment
    bench.run("G1 X0 F12000\nM400")
    assert bench.clock.moment - before == pytest.approx(100 / 20 + START_DELAY, abs=0.1)


def test_an_excluded_object_is_not_printed(bench: Bench) -> None:
    bench.heat_up()
    bench.run("EXCLUDE_OBJECT_DEFINE NAME=cube CENTER=10,10 POLYGON=[[0,0],[20,20]]\nM83\nG1 X10 Y10 F6000")
    bench.run("EXCLUDE_OBJECT NAME=cube\nEXCLUDE_OBJECT_START NAME=cube\nG1 X15 E2\nG1 X18 E2")
    assert bench.printer.toolhead.position[0] == 10.0
    status = bench.status("exclude_object")
    assert status["objects"] == [{"name": "CUBE", "center": [10, 10], "polygon": [[0, 0], [20, 20]]}]
    assert (status["excluded_objects"], status["current_object"]) == (["CUBE"], "CUBE")
    bench.run("EXCLUDE_OBJECT_END NAME=cube\nG1 X40 E1")
    assert bench.printer.toolhead.position[0] == 40.0 and position(bench)[3] == pytest.approx(5.0)


@pytest.mark.parametrize(("code", "lowest"), [("G2", 100.0), ("G3", 90.0)])
def test_an_arc_ends_where_it_should_on_the_right_side(bench: Bench, code: str, lowest: float) -> None:
    bench.run("G28\nG1 X100 Y100 F6000")
    seen: list[Position] = []
    bench.printer.toolhead.observers.append(lambda segment: seen.append(segment.target))
    bench.run(f"{code} X120 Y100 I10 J0")
    assert seen[-1][:2] == (120.0, 100.0)
    assert min(place[1] for place in seen) == pytest.approx(lowest, abs=0.1)
    assert all(math.dist(place[:2], (110.0, 100.0)) == pytest.approx(10.0, abs=0.01) for place in seen)


def test_firmware_retraction_feeds_back_and_forth(bench: Bench) -> None:
    bench.heat_up()
    bench.run("SET_RETRACTION RETRACT_LENGTH=1.5 RETRACT_SPEED=30\nG10\nG10")
    assert bench.printer.toolhead.position[3] == pytest.approx(-1.5)
    bench.run("G11\nG11")
    assert bench.printer.toolhead.position[3] == pytest.approx(0.0)
    assert bench.status("firmware_retraction")["retract_speed"] == 30.0


@given(st.lists(st.tuples(st.floats(0, 250), st.floats(0, 210), st.floats(1, 500)), min_size=1, max_size=20))
def test_time_and_place_only_go_forward(moves: list[tuple[float, float, float]]) -> None:
    now = [0.0]
    toolhead = Toolhead(lambda: now[0], lambda _: None)
    for x, y, speed in moves:
        toolhead.move((x, y, 0.0, 0.0), speed)
    end = toolhead.print_time
    for step in range(21):
        now[0] = end * step / 20
        place, velocity, _ = toolhead.live()
        assert -0.001 <= place[0] <= 250.001 and 0 <= velocity <= toolhead.max_velocity + 0.001
    now[0] = end + 1
    assert toolhead.live()[0] == toolhead.position
