"""What waits, as the log tells it: jobs in their order, and schedules."""

from collections.abc import Mapping
from typing import Any, Self

from bus.fold import Fold
from bus.log import StoredEvent

STREAM = "queue"
ADDED, REMOVED, JUMPED = "queue.added.1", "queue.removed.1", "queue.jumped.1"
STARTING, LOADED, NOT_STARTED = "queue.starting.1", "queue.loaded.1", "queue.not_started.1"
SCHEDULED, UNSCHEDULED, RAN = "queue.scheduled.1", "queue.unscheduled.1", "queue.ran.1"
STARTED = "print.started.1"

Json = dict[str, Any]


class Waiting(Fold):
    """Jobs and schedules, each with who made it (`by`), and when a schedule was due `last`.

    A job leaves with the fact that its print has started, whoever wrote that: so it is printed once, even if this
    program is killed between asking Klipper and noting the answer.
    """

    name = "job_queue"
    version = 1
    streams = frozenset((STREAM, "print"))
    published = False  # the agent shows jobs together with the state of the queue

    def __init__(self) -> None:
        self.jobs: dict[str, Json] = {}  # by id, in order
        self.starting: Json | None = None  # the job that Klipper was asked to print, and print_stats before that
        self.schedules: dict[str, Json] = {}

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact."""
        takes = _TAKES.get(event.type)
        if takes is not None:
            takes(self, event, event.data)

    def state(self) -> Json:
        """As JSON."""
        return {"jobs": list(self.jobs.values()), "starting": self.starting, "schedules": list(self.schedules.values())}

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With that state."""
        made = cls()
        made.jobs = {job["job_id"]: job for job in state["jobs"]}
        made.starting = state["starting"]
        made.schedules = {each["schedule_id"]: each for each in state["schedules"]}
        return made

    def _added(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        if data["reset"]:
            self.jobs.clear()
        self.jobs |= {job["job_id"]: {**job, "by": event.actor} for job in data["jobs"]}

    def _removed(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        for job_id in data["job_ids"]:
            self._leave(job_id)

    def _jumped(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        if data["job_id"] in self.jobs:
            self.jobs = {data["job_id"]: self.jobs.pop(data["job_id"]), **self.jobs}

    def _starting(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        self.starting = dict(data)

    def _loaded(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        self._leave(data["job_id"])

    def _not_started(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        self.starting = None

    def _printing(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        asked = None if self.starting is None else self.jobs.get(self.starting["job_id"])
        if asked is not None and asked["filename"] == data["filename"]:
            self._leave(asked["job_id"])

    def _scheduled(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        self.schedules[data["schedule_id"]] = {**data, "by": event.actor, "last": data["time_added"]}

    def _unscheduled(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        self.schedules.pop(data["schedule_id"], None)

    def _ran(self, event: StoredEvent, data: Mapping[str, Any]) -> None:
        known = self.schedules.get(data["schedule_id"])
        if known is not None and known["cron"] is not None:
            self.schedules[data["schedule_id"]] = {**known, "last": data["time"]}
        elif known is not None:
            del self.schedules[data["schedule_id"]]

    def _leave(self, job_id: str) -> None:
        self.jobs.pop(job_id, None)
        if self.starting is not None and self.starting["job_id"] == job_id:
            self.starting = None


_TAKES = {
    ADDED: Waiting._added,
    REMOVED: Waiting._removed,
    JUMPED: Waiting._jumped,
    STARTING: Waiting._starting,
    LOADED: Waiting._loaded,
    NOT_STARTED: Waiting._not_started,
    STARTED: Waiting._printing,
    SCHEDULED: Waiting._scheduled,
    UNSCHEDULED: Waiting._unscheduled,
    RAN: Waiting._ran,
}
