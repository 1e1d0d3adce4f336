"""The last values of all temperature sensors, one a second, in rings of hundredths."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from math import isfinite
from typing import Any

FIELDS: Mapping[str, str] = {  # of a sensor, and what its values are called
    "temperature": "temperatures",
    "target": "targets",
    "power": "powers",
    "speed": "speeds",
}
NOTHING = -(1 << 31)  # stands for null
LARGEST = (1 << 31) - 1

Status = Mapping[str, Mapping[str, Any]]
Series = dict[str, dict[str, list[int]]]  # differences, by sensor and field


class Temperatures:
    """Values by sensor and field; all rings have the same size and the same newest place."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.monitors: frozenset[str] = frozenset()
        self._rings: dict[str, dict[str, array[int]]] = {}
        self._place = 0  # of the oldest values, which the next ones replace

    def offer(self, sensors: Mapping[str, Sequence[str]], monitors: Sequence[str]) -> None:
        """Keeps exactly these sensors with these fields, new ones filled with zeros."""
        self.monitors = frozenset(monitors)
        known, self._rings = self._rings, {}
        for name, fields in sensors.items():
            rings = known.get(name, {})
            self._rings[name] = {field: rings.get(field) or self._empty() for field in fields}

    def sample(self, status: Status) -> None:
        """Takes the present values; a field that is not known keeps its last one."""
        for name, rings in self._rings.items():
            values = status.get(name, {})
            for field, ring in rings.items():
                ring[self._place] = _hundredths(values[field]) if field in values else ring[self._place - 1]
        self._advance()

    def hold(self) -> None:
        """A second of which nothing is known yet: the last values stay."""
        self.sample({})

    def blank(self) -> None:
        """A second of which nothing is known."""
        for ring in self._all():
            ring[self._place] = 0
        self._advance()

    def shown(self, *, monitors: bool) -> dict[str, dict[str, list[float | None]]]:
        """Oldest first."""
        return {
            name: {FIELDS[field]: self._values(ring) for field, ring in rings.items()}
            for name, rings in self._rings.items()
            if monitors or name not in self.monitors
        }

    def saved(self) -> Series:
        """As differences, which are small numbers."""
        return {
            name: {field: _differences(self._ordered(ring)) for field, ring in rings.items()}
            for name, rings in self._rings.items()
        }

    def restore(self, series: Series, monitors: Sequence[str]) -> None:
        """Takes what was saved, the newest of what does not fit; raises whatever wrong content makes it raise."""
        rings = {
            name: {field: self._ring(list(accumulate(steps))) for field, steps in fields.items() if FIELDS[field]}
            for name, fields in series.items()
        }
        self._rings, self._place, self.monitors = rings, 0, frozenset(monitors)

    def _ring(self, values: list[int]) -> "array[int]":
        newest = values[-self.size :]
        return array("i", [*[0] * (self.size - len(newest)), *newest])

    def _all(self) -> Iterator["array[int]"]:
        return (ring for rings in self._rings.values() for ring in rings.values())

    def _empty(self) -> "array[int]":
        return array("i", bytes(self.size * array("i").itemsize))

    def _advance(self) -> None:
        self._place = (self._place + 1) % self.size

    def _ordered(self, ring: "array[int]") -> "array[int]":
        return ring[self._place :] + ring[: self._place]

    def _values(self, ring: "array[int]") -> list[float | None]:
        if NOTHING in ring:
            return [None if value == NOTHING else value / 100 for value in self._ordered(ring)]
        return [value / 100 for value in self._ordered(ring)]


def _hundredths(value: Any) -> int:
    if not isinstance(value, (int, float)) or not isfinite(value):
        return NOTHING
    return max(-LARGEST, min(LARGEST, round(value * 100)))


def _differences(values: "array[int]") -> list[int]:
    return [value - before for value, before in zip(values, [0, *values[:-1]], strict=True)]
