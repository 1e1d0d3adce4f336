"""Schedules: files that are queued at a time, or again and again, and what becomes of runs that were missed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

from bus import schedule
from bus.clock import Clock
from bus.errors import BusError, Conflict, InvalidParams, NotFound
from bus.log import JSON
from bus.schedule import Schedule
from schemas import job_queue

from .jobs import By, Jobs, new_id
from .waiting import RAN, SCHEDULED, UNSCHEDULED, Json, Waiting

log = logging.getLogger(__name__)

GRACE = 600.0  # seconds by which a run may be late: the program or the host was off, or the clock was set
AHEAD = 10 * 365 * 86400.0  # seconds by which it may lie in the future
LOOK = 60.0  # seconds until the clock is looked at again, which may have been set
RETRY = 5.0  # seconds until the filestore is asked again, which may be starting


class Timetable:
    """All schedules; `due` is called with the ids of the jobs when one of them has queued its files."""

    def __init__(
        self, jobs: Jobs, waiting: Waiting, clock: Clock, due: Callable[[Collection[str]], Awaitable[None]]
    ) -> None:
        self._jobs = jobs
        self._waiting = waiting
        self._clock = clock
        self._due = due
        self._schedule = Schedule()
        self._armed = asyncio.Event()

    async def run(self) -> None:
        """Keeps them until cancelled."""
        try:
            if self._waiting.schedules:
                await schedule.load()
            for name in self._waiting.schedules:
                try:
                    self._arm(name)
                except (InvalidParams, ValueError, OverflowError) as error:  # the others are kept
                    log.warning("schedule %s never comes true: %s", name, error)
            self._armed.set()
            while True:
                await asyncio.sleep(LOOK)
                self._schedule.look()
        finally:
            self._schedule.close()

    async def add(self, params: job_queue.ScheduleParams, by: By) -> Json:
        """Adds one; raises InvalidParams, and Conflict where they are too many."""
        await schedule.load()
        await self._armed.wait()
        await self._require_future(params)
        names = await self._jobs.checked(params.filenames)
        if len(self._waiting.schedules) >= job_queue.MAX_SCHEDULES:
            raise Conflict(f"There are {job_queue.MAX_SCHEDULES} schedules already")
        name, now = new_id(), self._clock.wall()
        data: dict[str, JSON] = {"schedule_id": name, "filenames": [*names], "at": params.at, "cron": params.cron}
        await self._jobs.append((SCHEDULED, {**data, "time_added": now}), by=by)
        self._arm(name)
        return self._shown(name)

    async def remove(self, name: str, by: By) -> None:
        """Ends one; raises NotFound."""
        await self._armed.wait()
        if name not in self._waiting.schedules:
            raise NotFound(f"No schedule has the id {name}")
        await self._jobs.append((UNSCHEDULED, {"schedule_id": name}), by=by)
        self._schedule.remove(name)

    async def shown(self) -> list[Json]:
        """All, in the order in which they were made (schemas.job_queue.Schedule)."""
        await self._armed.wait()
        return [self._shown(name) for name in self._waiting.schedules]

    def _shown(self, name: str) -> Json:
        known = self._waiting.schedules[name]
        shown = {key: known[key] for key in ("schedule_id", "filenames", "at", "cron")}
        return {**shown, "next_run": self._schedule.next_run(name)}

    async def _require_future(self, params: job_queue.ScheduleParams) -> None:
        if (params.at is None) == (params.cron is None):
            raise InvalidParams("Either at or cron says when")
        if params.at is not None and params.at <= self._clock.wall():
            raise InvalidParams("This time is past")
        if params.at is not None and params.at > self._clock.wall() + AHEAD:
            raise InvalidParams("This time is more than ten years ahead: at is in seconds, not milliseconds")
        if params.cron is not None:
            await asyncio.to_thread(schedule.check, params.cron)

    def _arm(self, name: str) -> None:
        known, act = self._waiting.schedules[name], partial(self._run, name)
        if known["cron"] is None:
            self._schedule.at(name, known["at"], act)
        else:
            since = max(known["last"], self._clock.wall() - GRACE)
            self._schedule.cron(name, known["cron"], act, since=since, grace=GRACE)

    async def _run(self, name: str) -> None:
        """Queues the files that are still there, in one fact with having run."""
        known, now = self._waiting.schedules.get(name), self._clock.wall()
        if known is None:
            return
        if known["at"] is not None and known["at"] + GRACE < now:
            return await self._missed(known, "it is too late")
        try:
            gone = await self._gone(known["filenames"], now + GRACE)
            names = [each for each in known["filenames"] if each not in gone]
            if gone:
                log.warning("scheduled, but not there any more: %s", ", ".join(gone))
            ran: dict[str, JSON] = {"schedule_id": name, "time": now, "missed": not names}
            added = await self._jobs.add(names, known["by"], (RAN, ran))
        except BusError as error:
            return await self._missed(known, str(error))
        if names:
            await self._due(added)
        return None

    async def _gone(self, filenames: Sequence[str], until: float) -> list[str]:
        while True:
            try:
                return await self._jobs.missing(filenames)
            except BusError:
                if self._clock.wall() >= until:
                    raise
            await asyncio.sleep(RETRY)

    async def _missed(self, known: Json, why: str) -> None:
        log.warning("the scheduled start of %s was missed: %s", ", ".join(known["filenames"]), why)
        ran: dict[str, JSON] = {"schedule_id": known["schedule_id"], "time": self._clock.wall(), "missed": True}
        await self._jobs.append((RAN, ran))
