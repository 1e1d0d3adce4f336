"""What a model refuses is left out, item by item, and the rest stays."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, model_validator

from bus.moonraker.fitting import fitted


class Inner(BaseModel):
    """A part."""

    model_config = ConfigDict(extra="forbid")

    needed: str
    number: int = 0


class Outer(BaseModel):
    """The whole."""

    model_config = ConfigDict(extra="forbid")

    numbers: list[int] = []
    parts: dict[str, Inner] = {}
    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def _ordered(self) -> "Outer":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@pytest.mark.parametrize(
    ("given", "left", "refused"),
    [
        ({"numbers": ["1", "x", "3", "y"]}, {"numbers": [1, 3]}, {("numbers", 1), ("numbers", 3)}),
        ({"numbers": "\n1\n2"}, {"numbers": [1, 2]}, set()),
        ({"odd": 1, "low": "2"}, {"low": 2}, {("odd",)}),
        (
            {"parts": {"a": {"number": 1}, "b": {"needed": "", "odd": 1}}},
            {"parts": {"b": {"needed": ""}}},
            {("parts", "a"), ("parts", "b", "odd")},
        ),
        ({"low": 3, "high": 1, "numbers": [2]}, {"low": 3, "numbers": [2]}, {("high",)}),
        ({"low": 30, "high": 20}, {"high": 20}, {("low",)}),
        ({}, {}, set()),
    ],
)
def test_what_fits_stays(given: dict[str, Any], left: dict[str, Any], refused: set[tuple[str | int, ...]]) -> None:
    before = repr(given)
    found, why = fitted(Outer, given)
    assert (found, {*why}) == (left, refused)
    assert repr(given) == before


def test_reasons_are_for_people() -> None:
    _, why = fitted(Outer, {"numbers": ["x"], "odd": 1, "parts": {"a": {}}, "low": "x"})
    assert why == {
        ("numbers", 0): "'x': input should be a valid integer, unable to parse string as an integer",
        ("odd",): "printbus has no such option",
        ("parts", "a"): "'needed' is required",
        ("low",): "input should be a valid integer, unable to parse string as an integer",
    }
