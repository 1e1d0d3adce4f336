"""The history of prints: jobs, totals, and what is known about both."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .base import CHANGES, Bool, Float, Int, Method, Model, NoParams, Notification, Params, Permission

OWNER = "history"
JOB_DATA = "job_data"  # the state document in which an agent shows what belongs to the running job
Status = Literal[
    "in_progress",
    "completed",
    "cancelled",
    "error",
    "klippy_shutdown",
    "klippy_disconnect",
    "interrupted",
    "server_exit",
]
Moment = Annotated[Float | None, Field(allow_inf_nan=False)]
Statuses = Annotated[list[Status] | None, BeforeValidator(lambda value: _parts(value))]


def _parts(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Period(Params):
    """Jobs that began after `since` and ended before `before`; those that have not ended are before nothing."""

    since: Annotated[Moment, Field(description="Unix seconds.")] = None
    before: Annotated[Moment, Field(description="Unix seconds.")] = None


class Selection(Period):
    """Which jobs, in which order."""

    status: Statuses = Field(None, description="One or more; also as one text with commas.")
    filename: str | None = Field(None, description="Relative to gcodes.")
    user: str | None = Field(None, description="Who started it.")
    order: Literal["asc", "desc"] = Field("desc", description="By age: `desc` is newest first.")
    start: Annotated[Int, Field(ge=0, description="Jobs to leave out at the beginning.")] = 0


class ListParams(Selection):
    """A page of jobs."""

    limit: Int = Field(50, description="Zero or less: all that fit into an answer, which has 16 MiB or 20 000 jobs.")


class ExportParams(Selection):
    """A page of jobs as text; `next` of the answer is the `start` of the page behind it."""

    format: Literal["csv", "jsonl"] = Field("csv", description="`csv` without metadata, `jsonl` with everything.")
    limit: Annotated[Int, Field(ge=1, le=5000, description="Jobs of a page, fewer where they are large.")] = 500


class JobParams(Params):
    """Which job."""

    uid: str = Field(description="A `job_id`.")


class DeleteParams(Params):
    """Which job, or all of them."""

    uid: str | None = Field(None, description="A `job_id`; needed unless `all` is true.")
    all: Bool = False


class Auxiliary(Model):
    """A value that another part of the program has for a job, such as what a sensor measured."""

    provider: str
    name: str
    value: Any
    description: str
    units: str | None


class Measured(Auxiliary):
    """The same as its provider shows it, and in which totals it counts."""

    total: bool = Field(False, description="Whether values of all jobs are added up.")
    maximum: bool = Field(False, description="Whether the greatest of all jobs is kept.")


class JobData(Model):
    """What an agent knows about the running job; it is taken over when the job ends."""

    fields: list[Measured] = Field(max_length=100)


class Starter(Model):
    """Who asked for a print."""

    user: str | None
    transport: str
    client: str = Field(description="An address, or the id of an MQTT client.")
    address: str = Field("", description="That of an MQTT client.")


class Job(Model):
    """One print; durations in seconds, times in Unix seconds, filament in millimetres."""

    job_id: str = Field(description="Six or more hexadecimal digits, counting up.")
    exists: bool = Field(description="Whether the file is still there as it was printed.")
    filename: str = Field(description="Relative to gcodes.")
    status: Status = Field(description="`interrupted`: the power was lost, or nobody saw how it ended.")
    start_time: float
    end_time: float | None = Field(description="Null while it is going on.")
    print_duration: float = Field(description="Without pauses and heating up.")
    total_duration: float
    filament_used: float
    metadata: dict[str, Any] = Field(description="Of the file, as it was when the print began; empty without any.")
    user: str | None = Field(description="Who started it, where that is known by name.")
    started_by: Starter | None = Field(description="From where it was started; null: not through this program.")
    auxiliary_data: list[Auxiliary]


class Jobs(Model):
    """A page of the history."""

    count: int = Field(description="Jobs in this answer.")
    jobs: list[Job]


class Totals(Model):
    """Sums over jobs that have ended."""

    total_jobs: int
    total_time: float = Field(description="Seconds, with pauses.")
    total_print_time: float = Field(description="Seconds.")
    total_filament_used: float = Field(description="Millimetres.")
    longest_job: float = Field(description="Seconds, with pauses.")
    longest_print: float = Field(description="Seconds.")


class AuxiliaryTotal(Model):
    """What the values of one auxiliary field come to; null where that is not kept."""

    provider: str
    field: str
    maximum: float | None
    total: float | None


class AllTotals(Model):
    """The totals since they were reset, or of the period that was asked for."""

    job_totals: Totals
    auxiliary_totals: list[AuxiliaryTotal]


class LastTotals(Model):
    """The totals as they were before they were reset."""

    last_totals: Totals
    last_auxiliary_totals: list[AuxiliaryTotal]


class OneJob(Model):
    """One job."""

    job: Job


class Deleted(Model):
    """What is gone."""

    deleted_jobs: list[str]


class Exported(Model):
    """A page of jobs as text."""

    text: str = Field(description="Lines; the first page of `csv` begins with the names of its columns.")
    count: int = Field(description="Jobs in it.")
    next: int | None = Field(description="`start` of the next page; null: this was the last one.")


class Changed(Model):
    """A job has begun or ended."""

    action: Literal["added", "finished"]
    job: Job


LIST = Method(
    "server.history.list",
    ListParams,
    Jobs,
    OWNER,
    Permission.READ,
    ("GET /server/history/list",),
    summary="Jobs, a page at a time.",
)
TOTALS = Method(
    "server.history.totals",
    Period,
    AllTotals,
    OWNER,
    Permission.READ,
    ("GET /server/history/totals",),
    summary="Sums over jobs: since the last reset, or of a period. Deleted jobs count.",
)
RESET_TOTALS = Method(
    "server.history.reset_totals",
    NoParams,
    LastTotals,
    OWNER,
    Permission.CONTROL,
    ("POST /server/history/reset_totals",),
    flags=CHANGES,
    summary="Has totals begin anew; not while something is printed.",
)
GET_JOB = Method(
    "server.history.get_job",
    JobParams,
    OneJob,
    OWNER,
    Permission.READ,
    ("GET /server/history/job",),
    summary="One job.",
)
DELETE_JOB = Method(
    "server.history.delete_job",
    DeleteParams,
    Deleted,
    OWNER,
    Permission.CONTROL,
    ("DELETE /server/history/job",),
    flags=CHANGES,
    summary="Takes a job out of the history, or all; totals stay.",
)
EXPORT = Method(
    "server.history.export",
    ExportParams,
    Exported,
    OWNER,
    Permission.READ,
    ("GET /server/history/export",),
    summary="Jobs as CSV or JSON lines, a page at a time.",
)
CHANGED = Notification("notify_history_changed", "A job has begun or ended.", tuple[Changed])
