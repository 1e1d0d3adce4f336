"""What counts as used filament, whatever Klipper's toolhead does and however often it is out of sight."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.spoolman.extrusion import Extrusion
from schemas.spoolman import Mark, PrintMoment

PRINT: dict[str, Any] = {"state": "printing", "filename": "a.gcode", "total_duration": 5.0}


def at(e: float, extruder: str = "extruder", **stats: Any) -> dict[str, dict[str, Any]]:
    status: dict[str, dict[str, Any]] = {"toolhead": {"position": [1.0, 2.0, 3.0, e], "extruder": extruder}}
    return status | ({"print_stats": stats} if stats else {})


def moved(e: float, extruder: str | None = None) -> dict[str, dict[str, Any]]:
    changed: dict[str, Any] = {"position": [1.0, 2.0, 3.0, e]}
    return {"toolhead": changed if extruder is None else {**changed, "extruder": extruder}}


def watching(*positions: float, mark: Mark | None = None) -> Extrusion:
    """In a print, in which the extruder was at these positions."""
    extrusion = Extrusion(mark)
    first, *rest = positions
    extrusion.seen(at(first, **PRINT))
    for position in rest:
        extrusion.seen(moved(position))
    return extrusion


def test_what_goes_beyond_the_furthest_point_counts() -> None:
    assert watching(20.0, 25.0, 22.0, 25.0, 27.5).used() == pytest.approx(7.5)


@given(st.lists(st.floats(-50, 500), min_size=1, max_size=30))
def test_all_together_it_is_the_way_from_the_first_to_the_furthest(positions: list[float]) -> None:
    extrusion, taken = watching(positions[0]), 0.0
    for position in positions[1:]:
        extrusion.seen(moved(position))
        taken += extrusion.used()
        extrusion.take(extrusion.used())
    assert taken == pytest.approx(max(positions) - positions[0])


def test_each_extruder_has_its_own_furthest_point() -> None:
    extrusion = watching(100.0, 110.0)
    extrusion.seen(moved(30.0, "extruder1"))
    extrusion.seen(moved(31.0))
    extrusion.seen(moved(108.0, "extruder"))
    extrusion.seen(moved(112.0))
    assert extrusion.used() == pytest.approx(10 + 1 + 2)


def test_nothing_counts_until_position_and_extruder_are_known() -> None:
    extrusion = Extrusion()
    for status in ({}, moved(50.0), at(5.0, "") | {"toolhead": {"position": None, "extruder": None}}):
        extrusion.seen(status)
        assert not extrusion.complete and extrusion.mark() is None
    extrusion.seen(at(60.0))
    assert extrusion.complete and extrusion.used() == 0
    extrusion.seen(moved(61.0))
    assert extrusion.used() == 1.0


def test_a_toolhead_without_an_extruder_uses_nothing() -> None:
    extrusion = Extrusion()
    extrusion.seen(at(0.0, ""))
    extrusion.seen(moved(10.0))
    assert (extrusion.used(), extrusion.mark()) == (0.0, None)


@pytest.mark.parametrize("state", ["printing", "paused", "complete", "cancelled", "error"])
def test_out_of_sight_with_a_print_nothing_is_missed(state: str) -> None:
    extrusion = watching(20.0, 30.0)
    extrusion.lost()
    extrusion.seen(at(45.0, **PRINT | {"state": state, "total_duration": 60.0}))
    assert extrusion.used() == pytest.approx(25.0)
    again = Extrusion(extrusion.mark())
    again.seen(at(80.0, **PRINT | {"state": "complete", "total_duration": 60.0}))
    assert again.used() == pytest.approx(35.0)


LATER = PRINT | {"total_duration": 60.0}
OTHERS = [
    (at(45.0), "nothing is printed"),
    (at(45.0, **LATER | {"state": "standby"}), "nothing was printed"),
    (at(45.0, **LATER | {"filename": "b.gcode"}), "another file"),
    (at(45.0, **LATER | {"total_duration": 4.0}), "another print of it"),
    (at(45.0, "extruder1", **LATER), "another extruder"),
    (at(12.0, **LATER), "Klipper has begun anew"),
]


@pytest.mark.parametrize("status", [status for status, _ in OTHERS], ids=[why for _, why in OTHERS])
def test_otherwise_counting_goes_on_from_where_the_extruder_is(status: dict[str, dict[str, Any]]) -> None:
    extrusion = watching(20.0, 30.0)
    extrusion.lost()
    extrusion.seen(status)
    assert extrusion.used() == pytest.approx(10.0)
    extrusion.seen(moved(status["toolhead"]["position"][3] + 1))
    assert extrusion.used() == pytest.approx(11.0)


def test_a_mark_holds_while_klipper_is_out_of_sight_for_long() -> None:
    extrusion = watching(20.0, 30.0)
    mark = extrusion.mark()
    extrusion.lost()
    extrusion.lost()
    moment = PrintMoment(filename="a.gcode", total_duration=5.0)
    assert extrusion.mark() == mark == Mark(extruder="extruder", position=30.0, print=moment)


def test_a_print_goes_on_until_it_ends() -> None:
    extrusion = Extrusion()
    extrusion.seen(at(0.0, state="standby", filename="", total_duration=0.0))
    assert extrusion.going_on() is None
    for changed in ({"state": "printing", "filename": "a.gcode"}, {"state": "paused"}, {"total_duration": 9.0}):
        extrusion.seen({"print_stats": changed})
        assert extrusion.going_on() is not None
    assert extrusion.going_on() == PrintMoment(filename="a.gcode", total_duration=9.0)
    extrusion.seen({"print_stats": {"state": "complete"}})
    assert extrusion.going_on() is None
