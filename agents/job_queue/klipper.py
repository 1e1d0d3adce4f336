"""Asks Klipper to print what is at the front of the queue, so that a job is printed once whatever happens meanwhile."""

from bus.agent import Bus
from bus.errors import BusError
from bus.mandate import Mandate
from schemas import job_queue, klippy, printer

from .jobs import Jobs
from .waiting import LOADED, NOT_STARTED, STARTING, Json, Waiting

BUSY = ("printing", "paused")
SEEN = ("state", "filename", "total_duration")  # members of print_stats that tell one print from another


class Klipper:
    """The printer as loading needs it (loader.Printer)."""

    def __init__(self, bus: Bus, jobs: Jobs, waiting: Waiting) -> None:
        self._bus = bus
        self._jobs = jobs
        self._waiting = waiting
        self._asked: str | None = None  # the job that Klipper is being asked to print
        self.state = "disconnected"

    @property
    def ready(self) -> bool:
        """Whether it takes gcode."""
        return self.state == "ready"

    async def all_known(self) -> None:
        """Waits until the queue has what has been added so far."""
        await self._jobs.settled()

    def next_job(self) -> str | None:
        """The id of the job at the front."""
        return self._jobs.next()

    async def is_free(self) -> bool:
        """Whether Klipper is there and prints nothing."""
        try:
            return self.ready and (await self._seen())["state"] not in BUSY
        except BusError:
            return False

    async def run_gcode(self, script: str) -> None:
        """Runs gcode to its end."""
        await self._bus.call(printer.GCODE_SCRIPT.name, {"script": script})

    async def print_job(self, job_id: str) -> None:
        """Asks in the name of whoever has queued the job; it has left the queue when this returns."""
        job = self._waiting.jobs[job_id]
        mandate = Mandate(job_queue.OWNER, actor=job["by"]) if job["by"] else None
        self._asked = job_id
        try:
            await self._jobs.append((STARTING, {"job_id": job_id, "seen": await self._seen()}))
            await self._bus.call(printer.PRINT_START.name, {"filename": job["filename"]}, mandate=mandate)
        except BusError:
            await self._jobs.append((NOT_STARTED, {"job_id": job_id}))
            raise
        finally:
            self._asked = None
        await self._jobs.append((LOADED, {"job_id": job_id}))

    async def settle(self) -> bool:
        """Whether a job has left that Klipper was asked for as an earlier run ended; else it goes on waiting."""
        left = self._waiting.starting
        if left is None or left["job_id"] == self._asked:
            return False
        begun = self._has_begun(left, await self._seen())
        await self._jobs.append((LOADED if begun else NOT_STARTED, {"job_id": left["job_id"]}))
        return begun

    def _has_begun(self, left: Json, now: Json) -> bool:
        """Whether print_stats shows its print, or how that ended."""
        job = self._waiting.jobs.get(left["job_id"])
        told = now["state"] not in (None, "standby") and now != left["seen"]
        return told and job is not None and now["filename"] == job["filename"]

    async def _seen(self) -> Json:
        """What Klipper says now: its last update, a quarter of a second old, may be of before a print."""
        asked = {"objects": {"print_stats": SEEN}}
        stats = (await self._bus.call(klippy.OBJECTS_NOW.name, asked))["status"].get("print_stats", {})
        return {name: stats.get(name) for name in SEEN}
