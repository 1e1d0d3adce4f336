"""Decides about what waits, and writes it to the log."""

import asyncio
import random
from collections.abc import Awaitable, Collection, Sequence
from typing import Any

from bus.agent import Bus
from bus.clock import Clock
from bus.errors import Conflict, InvalidParams
from bus.gcode_files import GcodeFiles
from bus.log import JSON, NewEvent
from schemas import job_queue

from .waiting import ADDED, JUMPED, REMOVED, STREAM, Json, Waiting

Fact = tuple[str, dict[str, JSON]]
By = dict[str, Any] | None  # who asked, as events keep it
SHOWN = tuple(job_queue.WaitingJob.model_fields)


def new_id() -> str:
    """16 hexadecimal digits that nothing else has."""
    return f"{random.getrandbits(64):016X}"


class Jobs:
    """The queue; raises BusError, and then nothing has changed.

    Changes are decided in the order in which they were asked for, by what those before them make of the queue. They do
    not wait for each other's commit, so that many are one.
    """

    def __init__(self, bus: Bus, waiting: Waiting, clock: Clock) -> None:
        self._bus = bus
        self._waiting = waiting
        self._clock = clock
        self._files = GcodeFiles(bus)
        self._turn = asyncio.Lock()  # whoever decides holds it
        self._coming: set[str] = set()  # jobs that the log does not have yet
        self._going: set[str] = set()  # jobs that it still has
        self._last: asyncio.Future[int] | None = None  # the change that was asked for last, until it is durable

    def start(self) -> None:
        """Follows which files there are."""
        self._files.start()

    def next(self) -> str | None:
        """The id of the job at the front."""
        return next(iter(self._waiting.jobs), None)

    def waiting(self) -> list[Json]:
        """All jobs in their order (schemas.job_queue.WaitingJob)."""
        return [{name: job[name] for name in SHOWN} for job in self._waiting.jobs.values()]

    def shown(self) -> list[Json]:
        """The same with the time that they have waited (schemas.job_queue.QueuedJob)."""
        now = self._clock.wall()
        return [{**job, "time_in_queue": max(now - job["time_added"], 0.0)} for job in self.waiting()]

    async def missing(self, filenames: Sequence[str]) -> list[str]:
        """Those of which there is no file."""
        return await self._files.missing(filenames)

    async def checked(self, filenames: Sequence[str]) -> list[str]:
        """The names without a leading slash; raises InvalidParams unless there is a file of each."""
        names = _named(filenames)
        for name in await self.missing(names):
            raise InvalidParams(f"There is no gcode file {name}")
        return names

    def post(self, filenames: Sequence[str], by: By, *, reset: bool, at_once: bool) -> Awaitable[int]:
        """Adds files, all or none; with `reset` to an empty queue. `at_once` where it overtakes nobody by that."""
        names = _named(filenames)
        if not at_once or self._turn.locked() or not self._files.has_all(names):
            return self._post_in_turn(names, by, reset=reset)
        return self._add(names, by, reset=reset)

    async def _post_in_turn(self, names: Sequence[str], by: By, *, reset: bool) -> int:
        async with self._turn:
            done = self._add(await self.checked(names), by, reset=reset)
        return await done

    async def add(self, names: Sequence[str], by: By, also: Fact) -> list[str]:
        """Adds files together with another fact; their ids."""
        ids = [new_id() for _ in names]
        async with self._turn:
            done = self._add(names, by, also=[also], ids=ids)
        await done
        return ids

    async def remove(self, wanted: Sequence[str] | None, by: By) -> bool:
        """Takes jobs out, None for all; whether there were any."""
        async with self._turn:
            known = self._known()
            found = [*known] if wanted is None else [job for job in dict.fromkeys(wanted) if job in known]
            if not found:
                return False
            done = self._change([(REMOVED, {"job_ids": [*found]})], by, going=found)
        await done
        return True

    async def jump(self, job_id: str, by: By) -> None:
        """Puts a job to the front; raises InvalidParams for an unknown one."""
        async with self._turn:
            if job_id not in self._known():
                raise InvalidParams(f"No job has the id {job_id}")
            done = self._change([(JUMPED, {"job_id": job_id})], by)
        await done

    def append(self, *facts: Fact, by: By = None) -> "asyncio.Future[int]":
        """Puts facts into the log; they show in what waits when it has them."""
        return self._bus.append(STREAM, [NewEvent(kind, data, by) for kind, data in facts])

    @property
    def unsettled(self) -> bool:
        """Whether a change is not durable yet."""
        return self._last is not None

    async def settled(self) -> None:
        """Waits until what has been asked for so far is in what waits, or has failed."""
        async with self._turn:
            last = self._last
        if last is not None:
            await asyncio.wait([last])

    def _known(self) -> set[str]:
        """What waits once the log has everything."""
        return {*self._waiting.jobs, *self._coming} - self._going

    def _add(
        self,
        names: Sequence[str],
        by: By,
        *,
        reset: bool = False,
        also: Sequence[Fact] = (),
        ids: Sequence[str] | None = None,
    ) -> "asyncio.Future[int]":
        known = self._known()
        if len(names) + (0 if reset else len(known)) > job_queue.MAX_JOBS:
            raise Conflict(f"The queue would have more than {job_queue.MAX_JOBS} jobs")
        now, ids = self._clock.wall(), ids or [new_id() for _ in names]
        jobs: list[JSON] = [
            {"job_id": each, "filename": name, "time_added": now} for each, name in zip(ids, names, strict=True)
        ]
        facts: list[Fact] = [*also, (ADDED, {"jobs": jobs, "reset": reset})]
        return self._change(facts, by, coming=ids, going=known if reset else ())

    def _change(
        self, facts: Sequence[Fact], by: By, coming: Collection[str] = (), going: Collection[str] = ()
    ) -> "asyncio.Future[int]":
        """Appends at once; what comes back ends when that is durable."""
        self._coming.update(coming)
        self._going.update(going)

        def settled(_: "asyncio.Future[int]") -> None:
            self._coming.difference_update(coming)
            self._going.difference_update(going)
            if self._last is done:
                self._last = None

        done = self._last = self.append(*facts, by=by)
        done.add_done_callback(settled)
        return done


def _named(filenames: Sequence[str]) -> list[str]:
    """The names without a leading slash; raises InvalidParams where there is none."""
    names = [name.lstrip("/") for name in filenames]
    if not names:
        raise InvalidParams("No files were named")
    return names
