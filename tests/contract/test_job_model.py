"""Queue and history on a bus against plain lists: any calls and prints, with restarts and kills between them."""

import asyncio
import os
import shutil
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from agents.history import History
from agents.job_queue import JobQueue
from bus.agent import Call, Raw, implements
from bus.clock import SYSTEM, Clock
from bus.errors import NotFound
from bus.log import MemoryLog, NewEvent
from schemas import METHODS, files
from tests.bus_rig import bus_with

from .test_job_queue import FILES, ROWS, Scene, Shelf, Story, press

T = TypeVar("T")
Json = dict[str, Any]
CAMPAIGN = bool(os.environ.get("PRINTBUS_CAMPAIGN"))
ALL_ROWS = ROWS | {name: row for name, row in METHODS.items() if row.owner == "history" or row is files.METADATA}
HOW = ["completed", "cancelled", "error"]
NAMES = st.lists(st.sampled_from(FILES), min_size=1, max_size=3)
PLACE = st.integers(0, 5)
SUMS = ("total_jobs", "total_time")
LASTS = 9.0  # seconds of each print, as Scene.over says


class Library(Shelf):
    """The same files, without metadata."""

    @implements(files.METADATA)
    def metadata(self, params: files.FilenameParams, call: Call) -> Raw:
        """None."""
        raise NotFound("The file has no metadata")


class Dated(Clock):
    """The time of an event that is copied, else the present."""

    event: float | None = None

    def wall(self) -> float:
        """Seconds since 1970."""
        return SYSTEM.wall() if self.event is None else self.event


class LastingLog(MemoryLog):
    """One that can be opened again."""

    def close(self) -> None:
        """It stays as it is."""


def copied(log: MemoryLog) -> MemoryLog:
    """What is on the disk at this moment."""
    clock = Dated()
    found = LastingLog(clock)
    found.epoch = log.epoch
    for event in log.read(limit=100_000):
        clock.event = event.time
        found.append(event.stream, [NewEvent(event.type, event.data, event.actor)], append_id=uuid4())
    clock.event = None
    return found


class JobsMachine(RuleBasedStateMachine):
    """One program after the other on the same data; `queue` and `jobs` are what clients have to be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.data, self.lives = Path(self.folder.name) / "0", 0
        self.data.mkdir()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.log: MemoryLog = LastingLog()
        self.queue: list[str] = []
        self.jobs: list[Json] = []
        self.ended, self.kept, self.made = 0, 0, 0
        self.it = self.begin()

    def run_in(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def begin(self) -> Scene:
        story = Story()
        agents = (Library, press(story), JobQueue, History)
        rig = self.run_in(self.stack.enter_async_context(bus_with(ALL_ROWS, *agents, data=self.data, log=self.log)))
        return Scene(rig, story)

    def ask(self, method: str, **params: Any) -> Json:
        answer: Json = self.run_in(self.it.desk.ask(f"server.{method}", params))
        return answer

    def check(self) -> None:
        status = self.ask("job_queue.status")["result"]
        assert [job["filename"] for job in status["queued_jobs"]] == self.queue
        found = self.ask("history.list", order="asc", limit=0)["result"]["jobs"]
        assert [{key: job[key] for key in ("job_id", "filename", "status")} for job in found] == self.jobs
        sums = self.ask("history.totals")["result"]["job_totals"]
        assert [sums[name] for name in SUMS] == [self.ended, self.ended * LASTS]
        sums = self.ask("history.totals", since=1.0)["result"]["job_totals"]
        assert [sums[name] for name in SUMS] == [self.kept, self.kept * LASTS]

    @rule(names=NAMES, reset=st.booleans())
    def add(self, names: list[str], reset: bool) -> None:
        answer = self.ask("job_queue.post_job", filenames=names, reset=reset)
        self.queue = ([] if reset else self.queue) + names
        assert [job["filename"] for job in answer["result"]["queued_jobs"]] == self.queue

    @rule(names=NAMES)
    def add_what_is_not_there(self, names: list[str]) -> None:
        assert self.ask("job_queue.post_job", filenames=[*names, "nosuch.gcode"])["error"]["code"] == 400

    @rule(names=NAMES, then=st.sampled_from(["delete_job", "post_job"]))
    def burst(self, names: list[str], then: str) -> None:
        """Sent one behind the other without waiting; the outcome is as if each had waited."""

        async def together() -> None:
            for number, method in enumerate(("post_job", then)):
                params = {"filenames": names, "all": True}
                request = {"jsonrpc": "2.0", "method": f"server.job_queue.{method}", "params": params, "id": number}
                self.it.desk.send("test/moonraker/api/request/desk", request)
            for _ in range(2):
                assert "result" in await self.it.desk.next()

        self.run_in(together())
        self.queue = [] if then == "delete_job" else [*self.queue, *names, *names]
        self.check()

    @rule(places=st.lists(PLACE, max_size=3))
    def remove(self, places: list[int]) -> None:
        known = [job["job_id"] for job in self.ask("job_queue.status")["result"]["queued_jobs"]]
        wanted = [known[place] for place in places if place < len(known)]
        self.ask("job_queue.delete_job", job_ids=[*wanted, "unknown"])
        self.queue = [name for name, job in zip(self.queue, known, strict=True) if job not in wanted]

    @rule(place=PLACE)
    def jump(self, place: int) -> None:
        known = [job["job_id"] for job in self.ask("job_queue.status")["result"]["queued_jobs"]]
        if place >= len(known):
            assert self.ask("job_queue.jump", job_id="unknown")["error"]["code"] == 400
            return
        self.ask("job_queue.jump", job_id=known[place])
        self.queue.insert(0, self.queue.pop(place))

    @rule(how=st.sampled_from(HOW))
    def print_next(self, how: str) -> None:
        if not self.queue:
            return
        filename = self.queue.pop(0)
        self.run_in(self.started())
        self.print(filename, how)

    async def started(self) -> None:
        """The queue is started, and has loaded a job."""
        seen = len(self.it.story.asked)
        await self.it.result("start")
        while (await self.it.heard())[0] != "job_loaded" or len(self.it.story.asked) == seen:
            continue

    @rule(filename=st.sampled_from(FILES), how=st.sampled_from(HOW))
    def print(self, filename: str, how: str) -> None:
        self.run_in(self.it.begun(filename))
        self.made += 1
        job = {"job_id": f"{self.made:06X}", "filename": filename}
        self.jobs.append({**job, "status": "in_progress"})
        self.check()
        self.run_in(self.it.over(filename, how))
        self.jobs[-1] = {**job, "status": how}
        self.ended, self.kept = self.ended + 1, self.kept + 1

    @rule(place=PLACE)
    def forget(self, place: int) -> None:
        if place < len(self.jobs):
            gone = self.jobs.pop(place)["job_id"]
            assert self.ask("history.delete_job", uid=gone)["result"] == {"deleted_jobs": [gone]}

    @rule()
    def reset(self) -> None:
        assert self.ask("history.reset_totals")["result"]["last_totals"]["total_jobs"] == self.ended
        self.ended = 0

    @rule()
    def restart(self) -> None:
        self.end()
        self.it = self.begin()
        self.check()

    @rule()
    def kill(self) -> None:
        left = copied(self.log)
        self.lives += 1
        data = self.data.with_name(str(self.lives))
        shutil.copytree(self.data, data)
        self.end()
        self.log, self.data = left, data
        self.it = self.begin()
        self.check()

    def end(self) -> None:
        self.run_in(self.stack.aclose())

    def teardown(self) -> None:
        try:
            self.check()
        finally:
            self.end()
            self.loop.close()
            self.folder.cleanup()


TestJobs = JobsMachine.TestCase
TestJobs.settings = settings(max_examples=500 if CAMPAIGN else 8, stateful_step_count=15, deadline=None)
