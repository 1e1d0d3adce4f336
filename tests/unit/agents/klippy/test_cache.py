"""The cache answers as Klipper does, and its revision only goes forward."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.klippy.cache import Cache, Status, read_status

statuses = st.dictionaries(
    st.sampled_from(["toolhead", "fan", "extruder"]), st.dictionaries(st.sampled_from("abc"), st.integers())
)


def test_query_answers_like_klipper() -> None:
    cache = Cache()
    cache.replace(1.0, {"toolhead": {"position": [0, 0, 0, 0], "homed_axes": ""}, "extruder": {"target": 0.0}})
    wanted: dict[str, list[str] | None] = {"toolhead": ["position", "nosuch"], "nosuchobj": None, "extruder": []}
    assert cache.query(wanted) == {
        "toolhead": {"position": [0, 0, 0, 0], "nosuch": None},
        "nosuchobj": {},
        "extruder": {},
    }
    assert cache.query({"extruder": None}) == {"extruder": {"target": 0.0}}
    assert cache.query({"nosuchobj": ["field"]}) == {"nosuchobj": {"field": None}}


@given(statuses, st.lists(statuses, max_size=5))
def test_merging_gives_the_latest_value_of_each_field(first: Status, updates: list[Status]) -> None:
    cache, expected = Cache(), {name: dict(fields) for name, fields in first.items()}
    cache.replace(0.0, {name: dict(fields) for name, fields in first.items()})
    for number, update in enumerate(updates, 1):
        cache.merge(float(number), update)
        for name, fields in update.items():
            expected.setdefault(name, {}).update(fields)
    assert cache.status == expected
    assert (cache.revision, cache.eventtime) == (1 + len(updates), float(len(updates)))


def test_merging_never_changes_the_update_itself() -> None:
    cache, update = Cache(), {"fan": {"speed": 0.0}}
    cache.merge(1.0, update)
    cache.merge(2.0, {"fan": {"speed": 1.0}})
    assert update == {"fan": {"speed": 0.0}}


def test_clearing_keeps_the_revision() -> None:
    cache = Cache()
    cache.replace(1.0, {"fan": {"speed": 1}})
    cache.clear()
    assert (cache.status, cache.eventtime, cache.revision) == ({}, None, 1)


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {"eventtime": 1.0},
        {"eventtime": "1", "status": {}},
        {"eventtime": True, "status": {}},
        {"eventtime": 1, "status": []},
        {"eventtime": 1, "status": {"fan": 1}},
    ],
)
def test_a_status_of_the_wrong_shape_is_refused(message: Any) -> None:
    with pytest.raises(ValueError):
        read_status(message)
