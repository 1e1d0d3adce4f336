"""What Klipper says of its sensors at present, put together from changes and states in whatever order they come."""

from collections.abc import Mapping
from typing import Any

from .temperatures import FIELDS

HEATERS, SENSORS = "heaters", "available_sensors"  # the object and field that list all sensors

Status = Mapping[str, Mapping[str, Any]]


class Readings:
    """The newest value of each field of each object that looks like a sensor."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {}
        self.sensors: list[str] = []
        self.monitors: list[str] = []
        self.complete = False  # all sensors are known with all their fields
        self._revisions: dict[tuple[str, str], int] = {}

    def merge(self, revision: int, status: Status) -> None:
        """Takes in values as of a revision."""
        for name, fields in status.items():
            if name == HEATERS:
                self._list(fields)
            for field in fields.keys() & FIELDS.keys():
                self._take(revision, name, field, fields[field])

    def fields(self) -> dict[str, list[str]]:
        """The fields of each sensor that reports any."""
        known = {name: self.values.get(name, {}) for name in (*self.sensors, *self.monitors)}
        return {name: [field for field in FIELDS if field in fields] for name, fields in known.items() if fields}

    def _take(self, revision: int, name: str, field: str, value: Any) -> None:
        if self._revisions.get((name, field), -1) <= revision:
            self._revisions[name, field] = revision
            self.values.setdefault(name, {})[field] = value

    def _list(self, fields: Mapping[str, Any]) -> None:
        if SENSORS in fields:
            heaters = _names(fields.get("available_heaters"))
            self.sensors = list(dict.fromkeys((*_names(fields[SENSORS]), *heaters)))
            self.monitors = _names(fields.get("available_monitors"))


def is_whole(status: Status) -> bool:
    """Whether a change is a full state, which Klipper's first answer is."""
    return SENSORS in status.get(HEATERS, {})


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
