"""What strategies make of the values of a job."""

from typing import Any

import pytest

from agents.sensors.settings import HistoryFieldSettings
from agents.sensors.tracking import MAX_COLLECTED, Tracker
from schemas.sensors import Value

VALUES: list[Value] = [3, 2.5, 7]


def tracker(strategy: str, **options: Any) -> Tracker:
    settings = HistoryFieldSettings.model_validate({"parameter": "power", "strategy": strategy, **options})
    return Tracker("sensor meter", "field", settings)


@pytest.mark.parametrize(
    ("strategy", "value", "nothing"),
    [
        ("basic", 7, None),
        ("delta", 4, 0),
        ("accumulate", 12.5, 0),
        ("average", 12.5 / 3, 0),
        ("maximum", 7, 0),
        ("minimum", 2.5, 0),
        ("collect", VALUES, []),
    ],
)
def test_each_strategy_has_its_value(strategy: str, value: Any, nothing: Any) -> None:
    made = tracker(strategy)
    assert made.shown().value == nothing
    made.begin(100)  # without init_tracker, what was known before is not part of the job
    for each in VALUES:
        made.take(each, paused=False)
    assert made.shown().value == pytest.approx(value)
    made.begin(None)
    assert made.shown().value == nothing


@pytest.mark.parametrize(("strategy", "value"), [("delta", -93.0), ("maximum", 100), ("average", 112.5 / 4)])
def test_the_value_known_at_the_beginning_is_the_first_where_that_is_configured(strategy: str, value: float) -> None:
    made = tracker(strategy, init_tracker=True)
    made.begin(100)
    for each in VALUES:
        made.take(each, paused=False)
    assert made.shown().value == pytest.approx(value)


def test_values_of_a_pause_count_unless_they_are_excluded() -> None:
    for excluded, total in ((True, 4.0), (False, 7.0)):
        made = tracker("accumulate", exclude_paused=excluded)
        for value, paused in ((1, False), (3, True), (3, False)):
            made.take(value, paused=paused)
        assert made.shown().value == total


def test_only_what_is_a_number_is_counted() -> None:
    made = tracker("accumulate")
    for value in ("on", 1.5, True, "off"):
        made.take(value, paused=False)
    assert made.shown().value == 2.5
    last = tracker("basic")
    last.take("off", paused=False)
    assert last.shown().value == "off"


def test_a_fraction_is_rounded_and_totals_are_asked_for() -> None:
    made = tracker("average", precision=2, report_total=True, units="W", desc="Power")
    for value in (1, 1, 2):
        made.take(value, paused=False)
    shown = made.shown()
    assert (shown.value, shown.total, shown.maximum, shown.units, shown.description) == (
        1.33,
        True,
        False,
        "W",
        "Power",
    )
    assert (shown.provider, shown.name) == ("sensor meter", "field")


def test_a_collection_keeps_the_newest() -> None:
    made = tracker("collect")
    for value in range(MAX_COLLECTED + 3):
        made.take(value, paused=False)
    kept = made.shown().value
    assert (len(kept), kept[0], kept[-1]) == (MAX_COLLECTED, 3, MAX_COLLECTED + 2)
