"""The live cache of all printer objects, from which queries are answered without asking Klipper."""

from collections.abc import Mapping
from typing import Any

Status = dict[str, dict[str, Any]]
Wanted = Mapping[str, list[str] | None]


class Cache:
    """Values by object and field; `revision` counts the changes and never goes back."""

    def __init__(self) -> None:
        self.status: Status = {}
        self.eventtime: float | None = None
        self.revision = 0

    def replace(self, eventtime: float, status: Status) -> None:
        """Takes over a full state."""
        self.status = status
        self._changed(eventtime)

    def merge(self, eventtime: float, status: Status) -> None:
        """Takes in changed fields."""
        for name, fields in status.items():
            known = self.status.get(name)
            if known is None:
                self.status[name] = dict(fields)
            else:
                known.update(fields)
        self._changed(eventtime)

    def clear(self) -> None:
        """Forgets all values, not the revision."""
        self.status = {}
        self.eventtime = None

    def query(self, wanted: Wanted) -> Status:
        """What Klipper would answer: {} for an unknown object, null for an unknown field."""
        found: Status = {}
        for name, names in wanted.items():
            fields = self.status.get(name, {})
            found[name] = fields if names is None else {field: fields.get(field) for field in names}
        return found

    def field(self, name: str, field: str) -> Any:
        """One value, None when unknown."""
        return self.status.get(name, {}).get(field)

    def _changed(self, eventtime: float) -> None:
        self.eventtime = eventtime
        self.revision += 1


def read_status(message: Any) -> tuple[float, Status]:
    """Eventtime and status of an update or of a subscription's answer; raises ValueError."""
    if not isinstance(message, dict):
        raise ValueError("a status that is not an object")
    eventtime, status = message.get("eventtime"), message.get("status")
    if isinstance(eventtime, bool) or not isinstance(eventtime, (int, float)) or not isinstance(status, dict):
        raise ValueError("a status without eventtime and objects")
    if not all(isinstance(fields, dict) for fields in status.values()):
        raise ValueError("an object whose status is not fields")
    return float(eventtime), status
