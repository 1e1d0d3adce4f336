"""The job queue: files that wait to be printed, one after the other, and when some of them are added."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .base import CHANGES, Bool, Float, Method, Model, NoParams, Notification, Params, Permission

OWNER = "job_queue"
MAX_JOBS = 1000
MAX_SCHEDULES = 100
State = Literal["ready", "loading", "starting", "paused"]


def _to_list(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_to_list)]


class AddParams(Params):
    """Files to add at the end."""

    filenames: Texts = Field(description="Relative to gcodes; also as one text with commas.")
    reset: Bool = Field(False, description="Whether the queue is emptied first.")


class DeleteParams(Params):
    """Which jobs to take out; unknown ones are ignored."""

    job_ids: Texts | None = Field(None, description="Needed unless `all` is true; also as one text with commas.")
    all: Bool = False


class JumpParams(Params):
    """Which job goes to the front."""

    job_id: str


class ScheduleParams(Params):
    """Which files are added, and when: once, or again and again. The queue is started then."""

    filenames: Texts = Field(description="Relative to gcodes; also as one text with commas.")
    at: Annotated[Float | None, Field(allow_inf_nan=False, description="Unix seconds; either this or `cron`.")] = None
    cron: str | None = Field(
        None, max_length=200, description="Minute, hour, day, month, weekday (0 or 7: Sunday), in the host's time zone."
    )


class UnscheduleParams(Params):
    """Which schedule ends."""

    schedule_id: str


class WaitingJob(Model):
    """A file that waits."""

    filename: str
    job_id: str = Field(description="16 hexadecimal digits.")
    time_added: float = Field(description="Unix seconds.")


class QueuedJob(WaitingJob):
    """A file that waits, and for how long."""

    time_in_queue: float = Field(description="Seconds until now.")


QueueState = Annotated[
    State,
    Field(
        description="`ready`: the next job is loaded when the present one is completed; `loading`: delay and gcode "
        "between jobs; `starting`: Klipper is asked to print; `paused`: nothing is loaded."
    ),
]


class Queue(Model):
    """The queue as its topic holds it."""

    queued_jobs: list[WaitingJob] = Field(description="The next one first.")
    queue_state: QueueState


class Status(Model):
    """The queue as it is."""

    queued_jobs: list[QueuedJob] = Field(description="The next one first.")
    queue_state: QueueState


class Changed(Model):
    """What happened to the queue."""

    action: Literal["state_changed", "jobs_added", "jobs_removed", "job_loaded"]
    updated_queue: list[QueuedJob] | None = Field(description="Null where only the state has changed.")
    queue_state: QueueState


class Schedule(Model):
    """Files that are added at a time, or whenever a cron expression says."""

    schedule_id: str
    filenames: list[str]
    at: float | None
    cron: str | None
    next_run: float | None = Field(description="Unix seconds; null for one that will not come any more.")


class Schedules(Model):
    """All that is scheduled."""

    schedules: list[Schedule]


class OneSchedule(Model):
    """What was scheduled."""

    schedule: Schedule


class Unscheduled(Model):
    """What is not scheduled any more."""

    schedule_id: str


STATUS = Method(
    "server.job_queue.status",
    NoParams,
    Status,
    OWNER,
    Permission.READ,
    ("GET /server/job_queue/status",),
    summary="What waits, and whether it goes on.",
)
ADD = Method(
    "server.job_queue.post_job",
    AddParams,
    Status,
    OWNER,
    Permission.CONTROL,
    ("POST /server/job_queue/job",),
    flags=CHANGES,
    summary="Adds files, which may be in the queue already; none where one does not exist.",
)
DELETE = Method(
    "server.job_queue.delete_job",
    DeleteParams,
    Status,
    OWNER,
    Permission.CONTROL,
    ("DELETE /server/job_queue/job",),
    flags=CHANGES,
    summary="Takes jobs out.",
)
PAUSE = Method(
    "server.job_queue.pause",
    NoParams,
    Status,
    OWNER,
    Permission.CONTROL,
    ("POST /server/job_queue/pause",),
    flags=CHANGES,
    summary="Loads nothing more; a load that has begun is given up.",
)
START = Method(
    "server.job_queue.start",
    NoParams,
    Status,
    OWNER,
    Permission.CONTROL,
    ("POST /server/job_queue/start",),
    flags=CHANGES,
    summary="Loads the next job, or becomes ready where something is being printed.",
)
JUMP = Method(
    "server.job_queue.jump",
    JumpParams,
    Status,
    OWNER,
    Permission.CONTROL,
    ("POST /server/job_queue/jump",),
    flags=CHANGES,
    summary="Puts a job to the front.",
)
SCHEDULE = Method(
    "server.job_queue.schedule",
    ScheduleParams,
    OneSchedule,
    OWNER,
    Permission.CONTROL,
    ("POST /server/job_queue/schedule",),
    flags=CHANGES,
    summary="Adds files and starts the queue at a time, or whenever a cron expression says.",
)
SCHEDULES = Method(
    "server.job_queue.schedules",
    NoParams,
    Schedules,
    OWNER,
    Permission.READ,
    ("GET /server/job_queue/schedules",),
    summary="What is scheduled.",
)
UNSCHEDULE = Method(
    "server.job_queue.unschedule",
    UnscheduleParams,
    Unscheduled,
    OWNER,
    Permission.CONTROL,
    ("DELETE /server/job_queue/schedule",),
    flags=CHANGES,
    summary="Ends a schedule.",
)
CHANGED = Notification("notify_job_queue_changed", "The queue, or whether it goes on, has changed.", tuple[Changed])
