"""How much filament the extruders have drawn in, as Klipper's toolhead tells."""

from collections.abc import Mapping
from typing import Any

from schemas.spoolman import Mark, PrintMoment

Status = Mapping[str, Mapping[str, Any]]

GOING_ON = ("printing", "paused")
ENDED = ("complete", "cancelled", "error")
OBJECTS = {"toolhead": ["position", "extruder"], "print_stats": ["state", "filename", "total_duration"]}


class Extrusion:
    """Counts what went beyond the furthest point that each extruder had reached: pulling back and priming is no use.

    Positions begin anew with Klipper. Where it was out of sight, counting goes on from the mark if it is still with
    the same print, and otherwise from where the extruder is now.
    """

    def __init__(self, mark: Mark | None = None) -> None:
        self.complete = False  # everything is known
        self._mark = mark  # from before it was out of sight
        self._furthest: dict[str, float] = {}
        self._extruder = ""
        self._position = 0.0
        self._stats: dict[str, Any] = {}
        self._used = 0.0

    def lost(self) -> None:
        """Klipper is out of sight; what was used stays."""
        if self.complete:
            self._mark = self.mark()
        self.complete, self._furthest, self._extruder, self._stats = False, {}, "", {}

    def seen(self, status: Status) -> None:
        """Takes what has changed; until it knows everything, only what tells everything."""
        toolhead = _known(status, "toolhead")
        if not self.complete and not {"position", "extruder"} <= toolhead.keys():
            return
        self._stats |= _known(status, "print_stats")
        self._extruder = toolhead.get("extruder", self._extruder)
        if "position" in toolhead:
            self._position = float(toolhead["position"][3])
        self.complete = True
        if self._extruder:
            self._count()

    def used(self) -> float:
        """Millimetres since `take`."""
        return self._used

    def take(self, length: float) -> None:
        """So much of it is accounted for."""
        self._used -= length

    def mark(self) -> Mark | None:
        """Up to where `used` counts; None while nothing is known."""
        if not self.complete or not self._extruder:
            return self._mark
        return Mark(extruder=self._extruder, position=self._furthest[self._extruder], print=self._last_print())

    def going_on(self) -> PrintMoment | None:
        """The print that is not over."""
        return self._last_print() if self._stats.get("state") in GOING_ON else None

    def _last_print(self) -> PrintMoment | None:
        if self._stats.get("state") not in GOING_ON + ENDED:
            return None
        return PrintMoment(
            filename=self._stats.get("filename", ""), total_duration=self._stats.get("total_duration", 0.0)
        )

    def _count(self) -> None:
        furthest = self._furthest.get(self._extruder)
        if furthest is None:
            furthest = self._start()
        self._used += max(self._position - furthest, 0.0)
        self._furthest[self._extruder] = max(self._position, furthest)

    def _start(self) -> float:
        mark, self._mark = self._mark, None
        goes_on = mark is not None and mark.extruder == self._extruder and same_print(mark.print, self._last_print())
        return mark.position if mark is not None and goes_on and mark.position <= self._position else self._position


def same_print(earlier: PrintMoment | None, later: PrintMoment | None) -> bool:
    """Whether one can be a later moment of the other's print."""
    if earlier is None or later is None:
        return False
    return earlier.filename == later.filename and earlier.total_duration <= later.total_duration


def _known(status: Status, name: str) -> dict[str, Any]:
    """The fields of an object; those that Klipper has not yet are null."""
    return {field: value for field, value in status.get(name, {}).items() if value is not None}
