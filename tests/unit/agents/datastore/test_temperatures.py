"""Rings of samples: order, zeros, nulls, what is dropped, and what survives."""

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.datastore.agent import DAMAGED
from agents.datastore.temperatures import Temperatures

EXTRUDER = {"extruder": ["temperature", "target", "power"]}


def of_one(size: int, values: list[Any]) -> Temperatures:
    made = Temperatures(size)
    made.offer({"x": ["temperature"]}, [])
    for value in values:
        made.sample({"x": {"temperature": value}})
    return made


def shown(store: Temperatures) -> list[float | None]:
    return store.shown(monitors=True)["x"]["temperatures"]


def test_values_are_zero_at_first_and_newest_last() -> None:
    store = Temperatures(4)
    store.offer(EXTRUDER, [])
    store.sample({"extruder": {"temperature": 21.987, "target": 210, "power": 0.3333, "can_extrude": False}})
    assert store.shown(monitors=False) == {
        "extruder": {"temperatures": [0, 0, 0, 21.99], "targets": [0, 0, 0, 210.0], "powers": [0, 0, 0, 0.33]}
    }


@given(st.lists(st.integers(-30_000, 60_000)), st.integers(1, 20))
def test_the_newest_values_are_kept_with_two_decimals(values: list[int], size: int) -> None:
    kept = [0.0] * max(size - len(values), 0) + [value / 100 for value in values[-size:]]
    assert shown(of_one(size, [value / 100 for value in values])) == kept


@pytest.mark.parametrize("value", [None, nan, inf, "warm", [1]])
def test_what_is_no_number_is_null(value: Any) -> None:
    assert shown(of_one(2, [1, value])) == [1.0, None]


def test_a_number_beyond_all_measure_does_no_harm() -> None:
    assert shown(of_one(1, [1e300])) == [21474836.47]


def test_a_field_that_is_missing_keeps_its_last_value() -> None:
    store = of_one(3, [5])
    store.sample({"x": {}})
    store.sample({})
    assert shown(store) == [5.0, 5.0, 5.0]


def test_seconds_of_which_nothing_is_known() -> None:
    store = of_one(4, [5])
    store.hold()
    store.blank()
    assert shown(store) == [0.0, 5.0, 5.0, 0.0]


def test_monitors_are_shown_on_request_only() -> None:
    store = Temperatures(1)
    store.offer({"extruder": ["temperature"], "tmc2240 stepper_x": ["temperature"]}, ["tmc2240 stepper_x"])
    assert [*store.shown(monitors=False)] == ["extruder"]
    assert [*store.shown(monitors=True)] == ["extruder", "tmc2240 stepper_x"]


def test_other_sensors_take_the_place_of_those_that_are_gone() -> None:
    store = of_one(2, [5, 6])
    store.offer({"y": ["temperature"], "x": ["temperature", "target"]}, [])
    store.sample({"x": {"temperature": 7, "target": 8}, "y": {"temperature": 9}})
    assert store.shown(monitors=True) == {
        "y": {"temperatures": [0.0, 9.0]},
        "x": {"temperatures": [6.0, 7.0], "targets": [0.0, 8.0]},
    }


@given(st.lists(st.none() | st.integers(-30_000, 60_000)), st.integers(1, 12), st.integers(1, 12))
def test_what_was_saved_comes_back_whatever_the_size_is_then(values: list[int | None], before: int, after: int) -> None:
    store = of_one(before, [None if value is None else value / 100 for value in values])
    restored = Temperatures(after)
    restored.restore(store.saved(), [])
    expected = [0.0] * max(after - before, 0) + shown(store)[-after:]
    assert shown(restored) == expected
    restored.sample({"x": {"temperature": 1}})
    assert shown(restored) == [*expected[1:], 1.0]


@pytest.mark.parametrize(
    "saved",
    [
        {"x": {"humidity": [1]}},
        {"x": {"temperature": ["a"]}},
        {"x": {"temperature": 5}},
        {"x": {"temperature": [1 << 40]}},
        {"x": [1]},
        [1],
        5,
    ],
)
def test_what_cannot_have_been_saved_is_refused_and_changes_nothing(saved: Any) -> None:
    store = of_one(2, [5, 6])
    with pytest.raises(DAMAGED):
        store.restore(saved, [])
    assert shown(store) == [5.0, 6.0]
