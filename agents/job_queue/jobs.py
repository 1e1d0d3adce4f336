"""Decides about what waits, and writes it to the log."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from bus.agent import Bus
from bus.clock import Clock
from bus.errors import Conflict, InvalidParams
from bus.log import JSON, NewEvent
from schemas import files, job_queue

from .waiting import ADDED, JUMPED, REMOVED, STREAM, Json, Waiting

Fact = tuple[str, dict[str, JSON]]
By = dict[str, Any] | None  # who asked, as events keep it


def new_id() -> str:
    """16 hexadecimal digits that nothing else has."""
    return secrets.token_hex(8).upper()


class Jobs:
    """The queue; raises BusError, and then nothing has changed."""

    def __init__(self, bus: Bus, waiting: Waiting, clock: Clock) -> None:
        self._bus = bus
        self._waiting = waiting
        self._clock = clock
        self._changing = asyncio.Lock()  # whoever decides by the queue and appends holds it

    def next(self) -> str | None:
        """The id of the job at the front."""
        return next(iter(self._waiting.jobs), None)

    def waiting(self) -> list[Json]:
        """All jobs in their order (schemas.job_queue.WaitingJob)."""
        return [{name: job[name] for name in job_queue.WaitingJob.model_fields} for job in self._waiting.jobs.values()]

    def shown(self) -> list[Json]:
        """The same with the time that they have waited (schemas.job_queue.QueuedJob)."""
        now = self._clock.wall()
        return [{**job, "time_in_queue": max(now - job["time_added"], 0.0)} for job in self.waiting()]

    async def checked(self, filenames: Sequence[str]) -> list[str]:
        """The names without a leading slash; raises InvalidParams unless there is a file of each."""
        names = [name.lstrip("/") for name in filenames]
        if not names:
            raise InvalidParams("No files were named")
        there = await self.existing()
        for name in names:
            if name not in there:
                raise InvalidParams(f"There is no gcode file {name}")
        return names

    async def existing(self) -> set[str]:
        """The gcode files that there are."""
        listed = await self._bus.call(files.LIST.name, {"root": files.GCODES})
        return {each["path"] for each in listed}

    async def add(self, names: Sequence[str], by: By, *, reset: bool = False, also: Sequence[Fact] = ()) -> None:
        """Adds files at the end, together with other facts; raises Conflict where they are too many."""
        async with self._changing:
            kept = 0 if reset else len(self._waiting.jobs)
            if kept + len(names) > job_queue.MAX_JOBS:
                raise Conflict(f"The queue would have more than {job_queue.MAX_JOBS} jobs")
            now = self._clock.wall()
            jobs: list[JSON] = [{"job_id": new_id(), "filename": name, "time_added": now} for name in names]
            await self.append(*also, (ADDED, {"jobs": jobs, "reset": reset}), by=by)

    async def remove(self, wanted: Sequence[str] | None, by: By) -> bool:
        """Takes jobs out, None for all; whether there were any."""
        async with self._changing:
            chosen = self._waiting.jobs if wanted is None else dict.fromkeys(wanted)
            found: list[JSON] = [job for job in chosen if job in self._waiting.jobs]
            if found:
                await self.append((REMOVED, {"job_ids": found}), by=by)
        return bool(found)

    async def jump(self, job_id: str, by: By) -> None:
        """Puts a job to the front; raises InvalidParams for an unknown one."""
        async with self._changing:
            if job_id not in self._waiting.jobs:
                raise InvalidParams(f"No job has the id {job_id}")
            await self.append((JUMPED, {"job_id": job_id}), by=by)

    async def append(self, *facts: Fact, by: By = None) -> None:
        """Puts facts into the log; they show in what waits when it has them."""
        await self._bus.append(STREAM, [NewEvent(kind, data, by) for kind, data in facts])
