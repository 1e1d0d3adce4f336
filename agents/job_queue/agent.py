"""The job queue agent: what is asked and told about files that wait to be printed."""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Set
from typing import NamedTuple

from bus.agent import Agent, Bus, Call, Host, Raw, after, implements
from bus.clock import SYSTEM, Clock
from bus.envelope import dumps, loads
from bus.errors import BusError, InvalidParams
from bus.macros import Macros
from schemas import NoParams, job_queue, printer

from .jobs import Jobs
from .klipper import Klipper
from .loader import Loader
from .settings import JobQueueSettings
from .timetable import GRACE, Timetable
from .waiting import STARTED, Waiting

log = logging.getLogger(__name__)

FAILED = ("shutdown", "error")  # states of Klipper that somebody has to look into
GONE = (*FAILED, "disconnected")  # in which nothing can be loaded
ENDED = "print.ended.1"
DOCUMENT = "queue"  # of its state


class Wanted(NamedTuple):
    """A scheduled start that waits for Klipper: for these jobs, until that moment (monotonic seconds)."""

    jobs: Set[str] = frozenset()
    until: float = 0.0


class JobQueue(Agent):
    """The queue; it decides by the log itself, so it runs beside it only."""

    name = job_queue.OWNER
    components = ("job_queue",)
    beside_broker = True
    folds = (Waiting,)
    settings_model = JobQueueSettings
    settings: JobQueueSettings

    def __init__(self, bus: Bus, settings: JobQueueSettings, host: Host | None = None, clock: Clock = SYSTEM) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("the job queue agent runs beside the broker only")
        waiting = host.fold(Waiting)
        self._jobs = Jobs(bus, waiting, clock)
        self._klipper = Klipper(bus, self._jobs, waiting)
        self._loader = Loader(settings, self._klipper, self._moved)
        self._timetable = Timetable(self._jobs, waiting, clock, self._on_due)
        self._clock = clock
        self._became_ready = asyncio.Event()
        self._wanted = Wanted()
        self._showing = False  # the topic of the queue is about to be renewed

    async def run(self) -> None:
        """Loads jobs until cancelled."""
        topics = self.bus.topics
        for kind in (STARTED, ENDED):
            self.bus.subscribe(topics.event("print", kind), self._on_print)
        self.bus.subscribe(topics.state(printer.OWNER, "server"), self._on_klippy)
        self._jobs.start()
        self._show()
        async with Macros(self.bus, self.name) as macros, asyncio.TaskGroup() as tasks:
            macros.offer("pause_job_queue", lambda _: self._loader.pause())
            macros.offer("start_job_queue", lambda _: self._loader.start())
            tasks.create_task(self._loader.run(), name="job_queue: loader")
            tasks.create_task(self._timetable.run(), name="job_queue: timetable")
            tasks.create_task(self._follow_klipper(), name="job_queue: klipper")

    # -- what happens

    def _on_print(self, _topic: str, payload: bytes) -> None:
        event = loads(payload)
        if event["type"] == STARTED:
            self._loader.print_started()
        else:
            self._loader.print_ended(event["data"]["how"])

    def _on_klippy(self, _topic: str, payload: bytes) -> None:
        state = loads(payload)["klippy_state"] if payload else "disconnected"
        before, self._klipper.state = self._klipper.ready, state
        if state in FAILED:
            self._wanted = Wanted()  # what begins behind that, somebody has to begin
        if state in GONE:
            self._loader.pause()
        elif self._klipper.ready and not before:
            self._became_ready.set()

    async def _follow_klipper(self) -> None:
        while True:
            await self._became_ready.wait()
            self._became_ready.clear()
            try:
                if await self._klipper.settle():
                    self._moved(loaded=True)
                await self._loader.klipper_ready()
                if self._is_start_due():
                    await self._loader.start()
            except BusError as error:
                log.warning("the queue does not go on: %s", error)

    async def _on_due(self, jobs: Collection[str]) -> None:
        self._announce("jobs_added")
        if self._klipper.ready:
            await self._loader.start()
        elif self._klipper.state in FAILED:
            log.warning("a scheduled start was missed: Klipper has stopped")
        else:
            self._wanted = Wanted({*jobs, *self._wanted.jobs}, self._clock.monotonic() + GRACE)

    def _is_start_due(self) -> bool:
        """Whether a scheduled start has waited for Klipper, which is there now, and its jobs are there still."""
        wanted, self._wanted = self._wanted, Wanted()
        if wanted.jobs.isdisjoint(job["job_id"] for job in self._jobs.waiting()):
            return False
        if wanted.until < self._clock.monotonic():
            log.warning("a scheduled start was missed: Klipper has not been ready in time")
            return False
        return True

    # -- what is told

    def _moved(self, *, loaded: bool) -> None:
        self._announce("job_loaded" if loaded else "state_changed")

    def _announce(self, action: str) -> None:
        jobs = None if action == "state_changed" else self._jobs.shown()
        self.notify(job_queue.CHANGED, [{"action": action, "updated_queue": jobs, "queue_state": self._loader.state}])
        if not self._showing:  # changes that come together are shown together
            self._showing = True
            asyncio.get_running_loop().call_soon(self._show)

    def _show(self) -> None:
        self._showing = False
        queue = {"queued_jobs": self._jobs.waiting(), "queue_state": self._loader.state}
        self.bus.publish(self.bus.topics.state(self.name, DOCUMENT), dumps(queue), retain=True)

    async def _settled_status(self) -> Raw:
        await self._jobs.settled()
        return self._status()

    def _status(self) -> Raw:
        return Raw(dumps({"queued_jobs": self._jobs.shown(), "queue_state": self._loader.state}))

    # -- what is asked

    @implements(job_queue.STATUS)
    def status(self, params: NoParams, call: Call) -> Raw | Awaitable[Raw]:
        """From memory; after changes that were asked for before."""
        return self._settled_status() if self.under_way or self._jobs.unsettled else self._status()

    @implements(job_queue.ADD)
    def post_job(self, params: job_queue.AddParams, call: Call) -> Awaitable[Raw]:
        """All of them or none."""

        def answer() -> Raw:
            call.then.append(lambda: self._announce("jobs_added"))
            return self._status()

        posted = self._jobs.post(params.filenames, call.actor.as_dict(), reset=params.reset, at_once=not self.under_way)
        return after(posted, answer)

    @implements(job_queue.DELETE)
    async def delete_job(self, params: job_queue.DeleteParams, call: Call) -> Raw:
        """Those that are there."""
        if params.job_ids is None and not params.all:
            raise InvalidParams("Either job_ids or all must be given")
        if await self._jobs.remove(None if params.all else params.job_ids, call.actor.as_dict()):
            call.then.append(lambda: self._announce("jobs_removed"))
        return self._status()

    @implements(job_queue.PAUSE)
    async def pause(self, params: NoParams, call: Call) -> Raw:
        """A turn later, so that it takes back a start that was asked for before."""
        self._wanted = Wanted()
        self._loader.pause()
        return self._status()

    @implements(job_queue.START)
    async def start(self, params: NoParams, call: Call) -> Raw:
        """Loads, if the printer is free."""
        await self._loader.start()
        return self._status()

    @implements(job_queue.JUMP)
    async def jump(self, params: job_queue.JumpParams, call: Call) -> Raw:
        """To the front, which is announced as if it had been added there."""
        await self._jobs.jump(params.job_id, call.actor.as_dict())
        call.then.append(lambda: self._announce("jobs_added"))
        return self._status()

    @implements(job_queue.SCHEDULES)
    async def schedules(self, params: NoParams, call: Call) -> Raw:
        """In the order in which they were made."""
        return Raw(dumps({"schedules": await self._timetable.shown()}))

    @implements(job_queue.SCHEDULE)
    async def schedule(self, params: job_queue.ScheduleParams, call: Call) -> Raw:
        """Once or again and again."""
        return Raw(dumps({"schedule": await self._timetable.add(params, call.actor.as_dict())}))

    @implements(job_queue.UNSCHEDULE)
    async def unschedule(self, params: job_queue.UnscheduleParams, call: Call) -> job_queue.Unscheduled:
        """Jobs that it has added stay."""
        await self._timetable.remove(params.schedule_id, call.actor.as_dict())
        return job_queue.Unscheduled(schedule_id=params.schedule_id)
