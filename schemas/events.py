"""The facts that the event log holds: one row per event type, with the model of its data."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from . import spoolman
from .announcements import News
from .base import Model
from .history import AuxiliaryTotal, Measured, Status, Totals
from .job_queue import WaitingJob
from .webcams import Webcam


class Identity(Model):
    """What Klipper said about itself when it was connected; null where it said nothing."""

    software_version: str | None
    hostname: str | None
    process_id: int | None
    config_file: str | None


class Reason(Model):
    """Klipper's state in words."""

    message: str


class Started(Model):
    """A print has begun."""

    filename: str = Field(description="Relative to the gcodes root.")
    found: bool = Field(False, description="It was already going on when Klipper was connected.")
    total_duration: float | None = Field(None, description="Seconds since it began; only of one that was found.")


class Moved(Model):
    """A print goes on or stands still."""

    filename: str


class Ended(Model):
    """A print is over; times in seconds, filament in millimetres."""

    filename: str
    how: Literal["completed", "cancelled", "error", "interrupted"] = Field(
        description="Interrupted: Klipper shut down or went away, and nobody knows more."
    )
    print_duration: float = Field(description="Time spent printing, without pauses.")
    total_duration: float
    filament_used: float
    message: str = Field(description="Klipper's reason, empty for a print that was completed.")
    cause: Literal["shutdown", "disconnected"] | None = Field(
        None, description="What happened to Klipper, where that interrupted the print."
    )
    found: bool = Field(False, description="It ended while this program was not there; times are the last known.")


class Progressed(Model):
    """How far a print is; times in seconds, filament in millimetres."""

    filename: str
    print_duration: float
    total_duration: float
    filament_used: float


class FileChanged(Model):
    """A file or folder of a root is new, different, somewhere else or gone."""

    action: Literal["create_file", "create_dir", "delete_file", "delete_dir", "move_file", "move_dir", "modify_file"]
    root: str
    path: str = Field(description="In the root.")
    source_root: str | None = Field(None, description="Where it was; only of what was moved.")
    source_path: str | None = None


class FileScanned(Model):
    """The metadata of a gcode file was read."""

    path: str = Field(description="In the gcodes root.")
    metadata: dict[str, Any] = Field(description="As `server.files.metadata` has it, without name and last print.")


class WebcamSaved(Model):
    """A webcam was added or changed; all of it."""

    webcam: Webcam


class WebcamRemoved(Model):
    """A webcam was taken away."""

    uid: str


class FeedName(Model):
    """A feed of announcements."""

    feed: str


class EntryId(Model):
    """An announcement."""

    entry_id: str


class EntryDismissed(Model):
    """An announcement was read, or put off."""

    entry_id: str
    date: float = Field(description="When, Unix seconds.")
    wake_at: float | None = Field(description="When it returns, Unix seconds; null where it does not.")


class JobDescribed(Model):
    """What is known of a job's file when the job begins."""

    job: int = Field(description="The number of its `job_id`.")
    filename: str
    start_time: float
    metadata: dict[str, Any] = Field(description="As in the history.")


class JobMeasured(Model):
    """What other agents knew of a job when it ended."""

    job: int
    fields: list[Measured]


class JobsDeleted(Model):
    """Jobs are gone from the history."""

    jobs: list[int] | None = Field(description="Null: all that have ended or are going on.")


class TotalsReset(Model):
    """The totals begin anew, with what another program had counted or with nothing."""

    totals: Totals | None = None


class TotalsAdded(Model):
    """What another program had counted, besides what is counted here."""

    totals: Totals
    auxiliary: list[AuxiliaryTotal]


class JobImported(Model):
    """A job of another program's history."""

    job: int = Field(description="The number that it had; it gets a higher one where that is not above all others.")
    filename: str
    status: Status
    start_time: float
    end_time: float
    print_duration: float
    total_duration: float
    filament_used: float
    metadata: dict[str, Any]
    user: str | None
    auxiliary: list[Measured] = Field([], description="With the totals in which they count.")


class ValueSet(Model):
    """A value of the database is another; what was missing on the way to it was made."""

    namespace: str
    key: list[str] = Field(description="One name per level, at least one.")
    value: Any


class ValueDeleted(Model):
    """A value of the database is gone; so is the namespace, where nothing else was in it."""

    namespace: str
    key: list[str]


class Compacted(Model):
    """A checkpoint stands for everything before it: what values were earlier is not known any more."""


class UserCreated(Model):
    """A user; secrets are named only."""

    username: str
    roles: list[str]
    created_on: float = Field(description="Unix seconds.")
    password: str = Field(description="The name of a secret, which is not in the log.")


class UserName(Model):
    """A user."""

    username: str


class UserPassword(Model):
    """A user's new password."""

    username: str
    password: str = Field(description="The name of a secret.")


class UserRoles(Model):
    """What a user may do."""

    username: str
    roles: list[str]


class UserSignedIn(Model):
    """A user has a key of its own to sign tokens, until it logs out."""

    username: str
    signing: str = Field(description="The name of a secret.")


class KeyCreated(Model):
    """An API key, or a new one under an old name."""

    name: str
    roles: list[str]
    created_on: float = Field(description="Unix seconds.")
    secret: str = Field(description="The name of a secret.")


class KeyName(Model):
    """An API key."""

    name: str


class LoginSucceeded(Model):
    """Who has logged in, and how."""

    username: str
    how: str = Field(description="password, refresh_token.")


class LoginFailed(Model):
    """An attempt; null where there is no such user, as what was typed may be a password."""

    username: str | None
    how: str


class QueueAdded(Model):
    """Files wait at the end of the queue."""

    jobs: list[WaitingJob]
    reset: bool = Field(description="Whether what had waited was taken out.")


class QueueJobs(Model):
    """Jobs have left the queue."""

    job_ids: list[str]


class QueueJob(Model):
    """One job of the queue."""

    job_id: str


class PrintStats(Model):
    """Klipper's print_stats, as far as it tells one print from another."""

    state: str | None
    filename: str | None
    total_duration: float | None


class QueueStarting(QueueJob):
    """One job of the queue, and what Klipper had printed before."""

    seen: PrintStats


class Scheduled(Model):
    """Files will be added at a time, or whenever a cron expression says."""

    schedule_id: str
    filenames: list[str]
    at: float | None
    cron: str | None
    time_added: float


class OfSchedule(Model):
    """A schedule."""

    schedule_id: str


class Ran(OfSchedule):
    """A schedule was due."""

    time: float
    missed: bool = Field(description="Nothing was added: it was too late, or no file was there any more.")


class Nothing(Model):
    """There is no more to be said."""


class Once(Model):
    """What tells a repeated request from a new one: its UUID, or `mqtt_timestamp` and a digest of the message."""

    client: str
    id: str | None = None
    stamp: str | None = None
    digest: int | None = None


class Accepted(Model):
    """A command that changes something, before it is run."""

    method: str
    params: dict[str, Any] = Field(description="As they were sent; empty for methods with secrets.")
    once: Once | None = None


class Finished(Model):
    """How a command ended."""

    command: int = Field(description="The `seq` of its `command.accepted.1`.")
    method: str
    outcome: Literal["ok", "error"]
    code: int | None = Field(None, description="Of the error, as on JSON-RPC.")
    message: str | None = Field(None, description="Of the error.")
    result: Any = Field(None, description="Kept for repeats of the request, where it is short.")


class Device(Model):
    """A device of the host."""

    kind: Literal["usb", "serial", "video"]
    device: str = Field(description="Of USB the bus and device number, else the path.")
    name: str = Field(description="For people.")


class Checkpoint(Model):
    """Earlier events of the stream, repeated because the segments that held them were dropped."""

    part: int = Field(description="From 0.")
    parts: int
    events: list[tuple[int, float, str, dict[str, Any] | None, dict[str, Any]]] = Field(
        description="seq, time, type, actor and data of each."
    )


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event; `stream` is None where it can be in any."""

    name: str
    stream: str | None
    data: type[Model]
    when: str


EVENTS = {
    event.name: event
    for event in (
        EventType("printer.connected.1", "printer", Identity, "Klipper was connected and has said who it is."),
        EventType("printer.ready.1", "printer", Reason, "Klipper is ready to print."),
        EventType("printer.failed.1", "printer", Reason, "Klipper could not start, mostly for its configuration."),
        EventType("printer.shutdown.1", "printer", Reason, "Klipper has shut down: by itself, or an emergency stop."),
        EventType("printer.disconnected.1", "printer", Reason, "The link to Klipper is gone."),
        EventType("print.started.1", "print", Started, "A print has begun."),
        EventType("print.paused.1", "print", Moved, "The print was paused."),
        EventType("print.resumed.1", "print", Moved, "The print goes on."),
        EventType("print.ended.1", "print", Ended, "The print is over, in one way or another."),
        EventType("print.progressed.1", "progress", Progressed, "Once a minute while something is printed."),
        EventType("file.changed.1", "files", FileChanged, "A file or folder was changed, here or by somebody else."),
        EventType("file.scanned.1", "files", FileScanned, "A gcode file's metadata was read."),
        EventType("webcam.saved.1", "webcams", WebcamSaved, "A webcam was added or changed through the API."),
        EventType("webcam.removed.1", "webcams", WebcamRemoved, "Such a webcam was taken away."),
        EventType("announcement.feed_added.1", "announcements", FeedName, "A client has subscribed to a feed."),
        EventType("announcement.feed_removed.1", "announcements", FeedName, "A client has ended that."),
        EventType("announcement.published.1", "announcements", News, "A feed has something new, or says it anew."),
        EventType("announcement.withdrawn.1", "announcements", EntryId, "It is not in the feed any more."),
        EventType("announcement.dismissed.1", "announcements", EntryDismissed, "Somebody has read it, or put it off."),
        EventType("announcement.woken.1", "announcements", EntryId, "What was put off is back."),
        EventType("job.described.1", "history", JobDescribed, "The metadata of a job's file is known."),
        EventType("job.measured.1", "history", JobMeasured, "A job has ended; what others know about it."),
        EventType("job.imported.1", "history", JobImported, "A job came from another program."),
        EventType("jobs.deleted.1", "history", JobsDeleted, "Somebody took jobs out of the history."),
        EventType("totals.added.1", "history", TotalsAdded, "Totals came from another program."),
        EventType("totals.reset.1", "history", TotalsReset, "The totals of the history begin anew."),
        EventType("database.set.1", "database", ValueSet, "A client has written a value."),
        EventType("database.deleted.1", "database", ValueDeleted, "A client has deleted a value."),
        EventType("database.compacted.1", "database", Compacted, "The history of the values was dropped."),
        EventType("user.created.1", "access", UserCreated, "Somebody has created a user."),
        EventType("user.deleted.1", "access", UserName, "A user was deleted."),
        EventType("user.password.1", "access", UserPassword, "A user has a new password; all its logins are void."),
        EventType("user.rehashed.1", "access", UserPassword, "A password is kept in a better way; it is the same one."),
        EventType("user.roles.1", "access", UserRoles, "A user may do something else now."),
        EventType("user.signed_in.1", "access", UserSignedIn, "A user has logged in for the first time, or again."),
        EventType("user.logged_out.1", "access", UserName, "A user has logged out; all its logins are void."),
        EventType("key.created.1", "access", KeyCreated, "An API key was made, or replaced."),
        EventType("key.revoked.1", "access", KeyName, "An API key is void."),
        EventType("login.succeeded.1", "logins", LoginSucceeded, "Somebody has logged in."),
        EventType("login.failed.1", "logins", LoginFailed, "Somebody has tried to, in vain."),
        EventType("queue.added.1", "queue", QueueAdded, "Files were queued."),
        EventType("queue.removed.1", "queue", QueueJobs, "Jobs were taken out of the queue."),
        EventType("queue.jumped.1", "queue", QueueJob, "A job went to the front of the queue."),
        EventType("queue.starting.1", "queue", QueueStarting, "Klipper is asked to print a job of the queue."),
        EventType("queue.not_started.1", "queue", QueueJob, "Klipper did not; the job goes on waiting."),
        EventType("queue.loaded.1", "queue", QueueJob, "Klipper does; the job has left the queue."),
        EventType("queue.scheduled.1", "queue", Scheduled, "A start was scheduled."),
        EventType("queue.unscheduled.1", "queue", OfSchedule, "A schedule was ended."),
        EventType("queue.ran.1", "queue", Ran, "A schedule was due; one for a single time is over."),
        EventType("spool.selected.1", "spoolman", spoolman.Selected, "Another spool is in use, or none."),
        EventType("spool.used.1", "spoolman", spoolman.Used, "Filament was drawn from the spool in use."),
        EventType("report.sent.1", "spoolman", spoolman.Sent, "Spoolman is about to be told of all that waits."),
        EventType("report.taken.1", "spoolman", spoolman.Spool, "Spoolman has it."),
        EventType("report.returned.1", "spoolman", spoolman.Spool, "Spoolman has it not: it waits again."),
        EventType("report.dropped.1", "spoolman", spoolman.Dropped, "What waits for a spool is given up."),
        EventType("rules.reloaded.1", "rules", Nothing, "Access rules were read again and are in force."),
        EventType("command.accepted.1", "commands", Accepted, "Somebody asked for a change, and was let."),
        EventType("command.ended.1", "commands", Finished, "The change was made, or failed."),
        EventType("device.plugged.1", "devices", Device, "A USB device, serial port or camera has come."),
        EventType("device.unplugged.1", "devices", Device, "It has gone."),
        EventType("log.checkpoint.1", None, Checkpoint, "Old events of a stream were carried forward."),
    )
}
STREAMS = sorted({event.stream for event in EVENTS.values() if event.stream})
