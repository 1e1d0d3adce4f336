"""What the log says about jobs: a fold over prints, and over what was learnt or done about them afterwards."""

from collections.abc import Mapping
from math import nan
from typing import Any, Self

from bus.envelope import dumps
from bus.fold import Fold
from bus.log import StoredEvent

from .packing import pack
from .table import RUNNING, STATUSES, Table
from .totals import Json, Totals

STREAM = "history"
DESCRIBED, MEASURED, IMPORTED = "job.described.1", "job.measured.1", "job.imported.1"
DELETED, ADDED, RESET = "jobs.deleted.1", "totals.added.1", "totals.reset.1"
STARTED, ENDED = "print.started.1", "print.ended.1"
CANCELLED = STATUSES.index("cancelled")
CAUSES = {"shutdown": "klippy_shutdown", "disconnected": "klippy_disconnect"}


class Jobs(Fold):
    """All jobs, the one that is going on, and the totals since they were reset."""

    name = "jobs"
    version = 1
    streams = frozenset(("print", STREAM))
    published = False  # it only grows

    def __init__(self) -> None:
        self.table = Table()
        self.totals = Totals()
        self.open: int | None = None  # the row of the job that is going on
        self.next_id = 1

    def apply(self, event: StoredEvent) -> None:
        """Takes an event of a print or of the history."""
        takes = _TAKES.get(event.type)
        if takes is not None:
            takes(self, event, event.data)

    def state(self) -> Json:
        """The state as JSON."""
        return {
            "table": self.table.state(),
            "totals": [self.totals.job_totals(), self.totals.auxiliary_totals()],
            "open": self.open,
            "next_id": self.next_id,
        }

    @classmethod
    def restored(cls, state: Any) -> Self:
        """A fold with that state."""
        made = cls()
        made.table, made.totals = Table.restored(state["table"]), Totals.of(*state["totals"])
        made.open, made.next_id = state["open"], state["next_id"]
        return made

    def _started(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        if self.open is not None:
            if data.get("found") and self.table.filename(self.open) == data["filename"]:
                return  # the same print, seen anew
            self._close(self.open, CANCELLED, event.time, (0.0, 0.0, 0.0))
        start = event.time - (data.get("total_duration") or 0.0)
        starter = dumps(event.actor).decode() if event.actor else ""
        self.open = self._add(event.seq, data["filename"], starter, self.next_id, start=start)

    def _ended(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        if self.open is None:
            return
        status = CAUSES.get(data.get("cause") or "", data["how"])
        numbers = (data["print_duration"], data["total_duration"], data["filament_used"])
        end = event.time
        if data.get("found"):  # nobody was there when it ended
            end = self.table.columns["start"][self.open] + data["total_duration"]
        self._close(self.open, STATUSES.index(status), end, numbers)

    def _described(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        row = self.table.row_of(data["job"])
        if row is not None:
            self.table.describe(row, pack(data["metadata"]))

    def _measured(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        row = self.table.find(data["job"])
        if row is not None:
            self.totals.measured(data["fields"])
            self.table.measure(row, data["fields"])

    def _imported(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        starter = dumps({"user": data["user"], "transport": "", "client": ""}).decode() if data["user"] else ""
        row = self._add(
            event.seq,
            data["filename"],
            starter,
            max(data["job"], self.next_id),
            start=data["start_time"],
            end=data["end_time"],
            status=STATUSES.index(data["status"]),
            print=data["print_duration"],
            total=data["total_duration"],
            filament=data["filament_used"],
        )
        self.table.describe(row, pack(data["metadata"]))
        if data.get("auxiliary"):
            self.table.measure(row, data["auxiliary"])

    def _deleted(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        wanted = self.table.columns["id"] if data["jobs"] is None else data["jobs"]
        for row in map(self.table.row_of, wanted):
            if row is not None:
                self.table.delete(row)

    def _added(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        self.totals.merge(Totals.of(data["totals"], data["auxiliary"]))

    def _reset(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        known = data.get("totals")
        self.totals = Totals() if known is None else Totals.of(known)

    def _add(self, seq: int, filename: str, starter: str, job: int, **known: Any) -> int:
        self.next_id = job + 1
        table = self.table
        row = {"status": RUNNING, "end": nan, "print": 0.0, "total": 0.0, "filament": 0.0, "deleted": 0}
        file, starter_number = table.files.number(filename), table.starters.number(starter)
        return table.add(id=job, seq=seq, file=file, starter=starter_number, **{**row, **known})

    def _close(self, row: int, status: int, end: float, numbers: tuple[float, float, float]) -> None:
        self.table.end(row, status, end, numbers)
        self.totals.add(*numbers)
        self.open = None


_TAKES = {
    STARTED: Jobs._started,
    ENDED: Jobs._ended,
    DESCRIBED: Jobs._described,
    MEASURED: Jobs._measured,
    IMPORTED: Jobs._imported,
    DELETED: Jobs._deleted,
    ADDED: Jobs._added,
    RESET: Jobs._reset,
}
