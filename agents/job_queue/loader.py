"""Takes jobs from the queue to the printer: when, in which order of steps, and what stops it."""

import asyncio
import logging
from typing import Protocol

from bus.errors import BusError, Conflict
from schemas import job_queue

from .settings import JobQueueSettings

log = logging.getLogger(__name__)

COMPLETED = "completed"


class Printer(Protocol):
    """What loading needs of the queue and the printer; `run_gcode` and `print_job` raise BusError."""

    async def all_known(self) -> None:
        """Waits until the queue has what has been added so far."""

    def next_job(self) -> str | None:
        """The id of the job at the front."""

    async def is_free(self) -> bool:
        """Whether a print can be started now."""

    async def run_gcode(self, script: str) -> None:
        """Runs gcode to its end."""

    async def print_job(self, job_id: str) -> None:
        """Starts a job, which then leaves the queue."""


class Moved(Protocol):
    """Who is told that the state is another one, or, where `loaded`, that a job has left."""

    def __call__(self, *, loaded: bool) -> None: ...


class Loader:
    """The state of the queue and what changes it; one load at a time."""

    def __init__(self, settings: JobQueueSettings, printer: Printer, moved: Moved) -> None:
        self.state: job_queue.State = "paused"
        self._settings = settings
        self._printer = printer
        self._moved = moved
        self._tasks: asyncio.TaskGroup | None = None
        self._loading: asyncio.Task[None] | None = None
        self._pauses = 0  # how often it was paused
        self._asking = False  # Klipper is being asked to print, which cannot be taken back
        self._began = False  # a print has started since then
        self._ended: str | None = None  # how that ended, before the answer came

    async def run(self) -> None:
        """Gives loads a place to run in, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await asyncio.Event().wait()

    async def start(self) -> None:
        """Loads the next job now, or lets it follow what is being printed; a pause meanwhile takes that back."""
        pauses = self._pauses
        await self._printer.all_known()
        free = await self._printer.is_free()
        if self._pauses != pauses or self._printer.next_job() is None:
            return
        if self._asking:
            self._become("starting")  # a pause is taken back
        elif free:
            self._load(transition=False)
        elif self.state != "loading":
            self._become(self._between())

    def pause(self) -> None:
        """Nothing more is loaded; what Klipper was asked to start, it starts."""
        self._pauses += 1
        if self.state == "loading" and self._loading is not None:
            self._loading.cancel()
        self._become("paused")

    async def klipper_ready(self) -> None:
        """Klipper has just become ready."""
        waiting = self.state in ("paused", "ready") and self._printer.next_job() is not None
        if not (self._settings.load_on_startup and waiting):
            return
        if await self._printer.is_free():
            self._load(transition=False)
        else:  # something has been printed since before this program began
            self._become(self._between())

    def print_started(self) -> None:
        """A print has begun."""
        self._began = True

    def print_ended(self, how: str) -> None:
        """A print is over."""
        if self._asking:
            self._ended = how if self._began else None
        elif self.state == "ready":
            self._follow(how)

    def _follow(self, how: str) -> None:
        if how != COMPLETED or self._printer.next_job() is None:
            self._become("paused")
        else:
            self._load(transition=True)

    def _load(self, *, transition: bool) -> None:
        if self._tasks is None or self._asking or self.state == "loading":
            return
        self._become("loading")
        self._loading = self._tasks.create_task(self._try(transition), name="job_queue: load")

    async def _try(self, transition: bool) -> None:
        try:
            if transition:
                await self._pass_over()
            job = self._printer.next_job()
            if job is None:
                return self._become("paused")
            await self._ask(job)
        except BusError as error:
            log.warning("the next job is not started: %s", error)
            self._become("paused")
        return None

    async def _pass_over(self) -> None:
        """What comes between two jobs; Conflict where somebody has used the time for a print."""
        await asyncio.sleep(self._settings.job_transition_delay)
        await self._require_free()
        if self._settings.job_transition_gcode.strip():
            await self._printer.run_gcode(self._settings.job_transition_gcode)
            await self._require_free()

    async def _require_free(self) -> None:
        if not await self._printer.is_free():
            raise Conflict("the printer is not free any more")

    async def _ask(self, job: str) -> None:
        self._asking, self._began, self._ended = True, False, None
        self._become("starting")
        try:
            await self._printer.print_job(job)
        finally:
            self._asking = False
        if self.state == "starting":
            self.state = self._between()
        self._moved(loaded=True)
        if self.state == "ready" and self._ended is not None:
            self._follow(self._ended)

    def _between(self) -> job_queue.State:
        """The state while something is printed."""
        return "ready" if self._settings.automatic_transition else "paused"

    def _become(self, state: job_queue.State) -> None:
        if state != self.state:
            self.state = state
            self._moved(loaded=False)
