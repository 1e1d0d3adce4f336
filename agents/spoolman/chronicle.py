"""The facts about spools, and what they amount to: which is in use, what was drawn from it, what has been reported."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from bus.fold import Fold
from bus.log import StoredEvent
from schemas.spoolman import Mark, PrintMoment

from .extrusion import same_print

STREAM = "spoolman"
SELECTED, USED = "spool.selected.1", "spool.used.1"
SENT, TAKEN, RETURNED, DROPPED = "report.sent.1", "report.taken.1", "report.returned.1", "report.dropped.1"

Known = Mapping[str, Any]


class Report(NamedTuple):
    """What Spoolman was told: a length, and the `used_length` (both in mm) that the spool had before it."""

    spool_id: int
    length: float
    used_before: float


class Ledger(Fold):
    """What is owed to Spoolman: lengths (mm) by spool that wait, and one report of which nothing has been heard yet."""

    name = "spoolman"
    version = 1
    streams = frozenset((STREAM,))
    published = False  # the agent shows it as clients know it

    def __init__(self) -> None:
        self.active: int | None = None
        self.mark: Mark | None = None
        self.waiting: dict[int, float] = {}  # in the order in which it began to wait
        self.sent: Report | None = None
        self.print: PrintMoment | None = None  # the last one that has drawn filament, when it did
        self.print_spools: list[int] = []  # from which it has

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact."""
        data: Known = event.data
        if event.type == SELECTED:
            self.active, self.mark = data["spool_id"], _mark(data["mark"])
        elif event.type == USED:
            self._used(data["spool_id"], data["length"], Mark.model_validate(data["mark"]))
        elif event.type == SENT:
            self.sent = Report(data["spool_id"], self.waiting.pop(data["spool_id"], 0.0), data["used_before"])
        elif event.type == TAKEN:
            self.sent = None
        elif event.type == RETURNED and self.sent is not None:
            spool_id, length = self.sent.spool_id, self.sent.length
            self.waiting[spool_id] = self.waiting.get(spool_id, 0.0) + length
            self.sent = None
        elif event.type == DROPPED:
            self._drop(data["spool_id"])

    def _used(self, spool_id: int, length: float, mark: Mark) -> None:
        self.waiting[spool_id] = self.waiting.get(spool_id, 0.0) + length
        self.mark = mark
        if mark.print is None:
            return
        if not same_print(self.print, mark.print):
            self.print_spools = []
        self.print = mark.print
        if spool_id not in self.print_spools:
            self.print_spools.append(spool_id)

    def _drop(self, spool_id: int) -> None:
        self.waiting.pop(spool_id, None)
        if self.sent is not None and self.sent.spool_id == spool_id:
            self.sent = None

    def state(self) -> Any:
        """All of it as JSON."""
        return {
            "active": self.active,
            "mark": self.mark and self.mark.model_dump(),
            "waiting": list(self.waiting.items()),
            "sent": self.sent and list(self.sent),
            "print": self.print and self.print.model_dump(),
            "print_spools": self.print_spools,
        }

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With that state."""
        made = cls()
        made.active, made.mark = state["active"], _mark(state["mark"])
        made.waiting = {spool_id: length for spool_id, length in state["waiting"]}
        made.sent = state["sent"] and Report(*state["sent"])
        made.print = state["print"] and PrintMoment(**state["print"])
        made.print_spools = list(state["print_spools"])
        return made

    def pending(self) -> dict[int, float]:
        """Millimetres by spool that Spoolman has not confirmed."""
        found = dict(self.waiting)
        if self.sent is not None:
            found[self.sent.spool_id] = found.get(self.sent.spool_id, 0.0) + self.sent.length
        return found


def _mark(known: Known | None) -> Mark | None:
    return None if known is None else Mark.model_validate(known)
