"""The job queue agent on a bus: its states, what it asks Klipper for and in which order, schedules, and restarts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from agents.job_queue import JobQueue
from agents.job_queue.settings import JobQueueSettings
from bus.agent import Actor, Agent, Bus, Call, Host, Raw, Settings, implements
from bus.clock import SYSTEM
from bus.envelope import dumps
from bus.errors import Refused
from bus.log import MemoryLog, NewEvent
from schemas import METHODS, files, job_queue, klippy, printer
from tests.bus_rig import PATIENCE, Rig, bus_with

FILES = ("a.gcode", "b.gcode", "parts/c.gcode")
RESTING = {"state": "standby", "filename": "", "total_duration": 0.0}
ALICE = Actor("alice", "websocket", "10.0.0.5").as_dict()
Json = dict[str, Any]


class Shelf(Agent):
    """In the place of the filestore: three files."""

    name = "filestore"

    @implements(files.LIST)
    def list_files(self, params: files.RootParams, call: Call) -> Raw:
        """All of them."""
        return Raw(dumps([{"path": path, "modified": 77.0, "size": 5, "permissions": "rw"} for path in FILES]))


@dataclass
class Story:
    """What Klipper does in a test, and what it was asked for."""

    stats: Json = field(default_factory=lambda: {**RESTING})
    refuses: bool = False
    held: asyncio.Event | None = None  # answers wait for it
    asked: list[str] = field(default_factory=list)
    by: list[Json] = field(default_factory=list)


def press(story: Story) -> type[Agent]:
    """What stands in the place of the klippy agent: it does what the story says."""

    class Press(Agent):
        """A printer."""

        name = "klippy"

        async def run(self) -> None:
            """It is ready."""
            self.bus.publish("test/state/klippy/server", dumps({"klippy_state": "ready"}), retain=True)
            await asyncio.Event().wait()

        @implements(klippy.OBJECTS_NOW)
        def query(self, params: printer.ObjectsParams, call: Call) -> Raw:
            """As the story goes."""
            return Raw(dumps({"eventtime": 1.0, "status": {"print_stats": story.stats}}))

        @implements(printer.GCODE_SCRIPT)
        async def script(self, params: printer.ScriptParams, call: Call) -> str:
            """Done."""
            return await self._do(params.script, call)

        @implements(printer.PRINT_START)
        async def start(self, params: printer.PrintParams, call: Call) -> str:
            """Answers; that a print has begun, the story tells."""
            return await self._do(params.filename, call)

        async def _do(self, what: str, call: Call) -> str:
            story.asked.append(what)
            story.by.append(call.actor.as_dict())
            if story.held is not None:
                await story.held.wait()
            if story.refuses:
                raise Refused("SD busy")
            return "ok"

    return Press


ROWS = {name: row for name, row in METHODS.items() if row.owner == "job_queue"}
ROWS |= {row.name: row for row in (files.LIST, klippy.OBJECTS_NOW, printer.GCODE_SCRIPT, printer.PRINT_START)}


def queue_with(**options: Any) -> type[JobQueue]:
    """The agent with other settings than its own."""

    class Queue(JobQueue):
        """With those."""

        def __init__(self, bus: Bus, settings: Settings, host: Host | None = None) -> None:
            super().__init__(bus, JobQueueSettings(**options), host)

    return Queue


class Scene:
    """A bus with a queue, somebody who asks, and somebody who hears of changes."""

    def __init__(self, rig: Rig, story: Story) -> None:
        self.rig = rig
        self.story = story
        self.desk = rig.client("desk")
        self.listener = rig.client("listener")
        self.listener.listen("test/moonraker/notify/notify_job_queue_changed")

    async def ask(self, method: str, **params: Any) -> Json:
        answer: Json = await self.desk.ask(f"server.job_queue.{method}", params)
        return answer

    async def result(self, method: str, **params: Any) -> Json:
        found: Json = (await self.ask(method, **params))["result"]
        return found

    async def heard(self) -> tuple[str, list[str] | None, str]:
        """Action, files and state of the next announcement."""
        (change,) = (await self.listener.next())["params"]
        job_queue.Changed.model_validate(change)
        queue = change["updated_queue"]
        return change["action"], None if queue is None else [job["filename"] for job in queue], change["queue_state"]

    async def hears(self, *states: str) -> None:
        """The next announcements are of these states."""
        assert [(await self.heard())[2] for _ in states] == [*states]

    async def add(self, *filenames: str) -> list[str]:
        """Ids of what waits once these have been added."""
        queued = await self.result("post_job", filenames=[*filenames])
        await self.heard()
        return [job["job_id"] for job in queued["queued_jobs"]]

    async def waiting(self) -> list[str]:
        return [job["filename"] for job in (await self.result("status"))["queued_jobs"]]

    async def begun(self, filename: str) -> None:
        """A print of a file has begun."""
        self.story.stats = {"state": "printing", "filename": filename, "total_duration": 1.0}
        await self.rig.journal.append("print", [NewEvent("print.started.1", {"filename": filename})])

    async def over(self, filename: str, how: str = "completed") -> None:
        """It has ended."""
        self.story.stats = {"state": "complete", "filename": filename, "total_duration": 9.0}
        data: Json = {"filename": filename, "how": how, "message": ""}
        data |= {"print_duration": 1.0, "total_duration": 9.0, "filament_used": 3.0}
        await self.rig.journal.append("print", [NewEvent("print.ended.1", data)])

    async def told(self, *kinds: str) -> Json:
        """The data of the first event of these types, as soon as there is one."""
        teller = self.rig.client("teller")
        teller.listen("test/event/queue/+")
        while True:
            for kind, data in await self.rig.events():
                if kind in kinds:
                    return data
            await teller.next()

    async def past(self) -> "Past":
        """All events of the queue and of prints."""
        read = [event for each in ("queue", "print") for event in await self.rig.journal.read(stream=each, limit=5000)]
        return [NewEvent(e.type, e.data, e.actor) for e in sorted(read, key=lambda event: event.seq)]

    def klipper(self, state: str) -> None:
        """Klipper is in a state."""
        self.rig.bus.publish("test/state/klippy/server", dumps({"klippy_state": state}), retain=True)


Past = list[NewEvent]  # what the log has from an earlier run, with the streams of its types


@asynccontextmanager
async def scene(past: Past | None = None, story: Story | None = None, **options: Any) -> AsyncIterator[Scene]:
    """With the log of an earlier run, to which what happens now is added at the end."""
    story, log = story or Story(), MemoryLog()
    for event in past or ():
        log.append(event.type.partition(".")[0], [event], append_id=uuid4())
    async with bus_with(ROWS, Shelf, press(story), queue_with(**options), log=log) as rig:
        it = Scene(rig, story)
        yield it
        if past is not None:
            past[:] = await it.past()


def test_the_queue_starts_paused_and_keeps_what_is_added_in_order() -> None:
    async def main() -> None:
        async with scene() as it:
            assert await it.result("status") == {"queued_jobs": [], "queue_state": "paused"}
            added = await it.result("post_job", filenames="a.gcode, /parts/c.gcode ,a.gcode")
            assert [job["filename"] for job in added["queued_jobs"]] == ["a.gcode", "parts/c.gcode", "a.gcode"]
            assert len({job["job_id"] for job in added["queued_jobs"]}) == 3
            assert all(0 <= job["time_in_queue"] < 60 for job in added["queued_jobs"])
            assert await it.heard() == ("jobs_added", ["a.gcode", "parts/c.gcode", "a.gcode"], "paused")
            assert (await it.ask("post_job", filenames=["b.gcode", "nosuch.gcode"]))["error"]["code"] == 400
            assert len(await it.waiting()) == 3
            await it.result("post_job", filenames=["b.gcode"], reset=True)
            assert await it.heard() == ("jobs_added", ["b.gcode"], "paused")

    asyncio.run(main())


def test_what_is_removed_is_announced_and_what_is_unknown_is_not() -> None:
    async def main() -> None:
        async with scene() as it:
            first, second, third = await it.add("a.gcode", "b.gcode", "parts/c.gcode")
            assert len((await it.result("delete_job", job_ids=["unknown"]))["queued_jobs"]) == 3
            await it.result("jump", job_id=third)
            assert await it.heard() == ("jobs_added", ["parts/c.gcode", "a.gcode", "b.gcode"], "paused")
            await it.result("delete_job", job_ids=f"{first},unknown,{first},{second}")
            assert await it.heard() == ("jobs_removed", ["parts/c.gcode"], "paused")
            await it.result("delete_job", all=True)
            assert await it.heard() == ("jobs_removed", [], "paused")
            assert (await it.ask("jump", job_id=third))["error"]["code"] == 400

    asyncio.run(main())


def test_a_queue_holds_so_many_jobs() -> None:
    async def main() -> None:
        async with scene() as it:
            await it.result("post_job", filenames=["a.gcode"] * job_queue.MAX_JOBS)
            assert "error" in await it.ask("post_job", filenames=["a.gcode"])
            assert len(await it.waiting()) == job_queue.MAX_JOBS

    asyncio.run(main())


def test_a_start_loads_at_once_and_the_queue_is_paused_behind_it() -> None:
    async def main() -> None:
        async with scene(job_transition_gcode="G28", job_transition_delay=60) as it:
            await it.result("start")  # there is nothing to load
            await it.add("a.gcode", "b.gcode")
            assert (await it.result("start"))["queue_state"] == "loading"
            assert [await it.heard() for _ in range(3)] == [
                ("state_changed", None, "loading"),
                ("state_changed", None, "starting"),
                ("job_loaded", ["b.gcode"], "paused"),
            ]
            assert it.story.asked == ["a.gcode"]
            assert it.story.by[0]["client"] == "desk"  # and not the queue: it was asked for by somebody
            await it.begun("a.gcode")
            assert (await it.result("start"))["queue_state"] == "paused"
            await it.over("a.gcode")
            assert await it.waiting() == ["b.gcode"]

    asyncio.run(main())


def test_jobs_follow_each_other_with_gcode_between_them() -> None:
    async def main() -> None:
        async with scene(automatic_transition=True, job_transition_gcode="CLEAR_BED") as it:
            await it.begun("other.gcode")
            await it.add("a.gcode", "b.gcode")
            await it.result("start")
            await it.hears("ready")
            await it.over("other.gcode")
            await it.hears("loading", "starting", "ready")
            await it.begun("a.gcode")
            await it.over("a.gcode")
            await it.hears("loading", "starting", "ready")
            assert it.story.asked == ["CLEAR_BED", "a.gcode", "CLEAR_BED", "b.gcode"]
            await it.begun("b.gcode")
            await it.over("b.gcode")
            assert await it.heard() == ("state_changed", None, "paused")

    asyncio.run(main())


@pytest.mark.parametrize("how", ["cancelled", "error", "interrupted"])
def test_a_print_that_does_not_end_well_pauses_the_queue(how: str) -> None:
    async def main() -> None:
        async with scene(automatic_transition=True) as it:
            await it.begun("other.gcode")
            await it.add("a.gcode")
            await it.result("start")
            await it.over("other.gcode", how)
            await it.hears("ready", "paused")
            assert it.story.asked == []

    asyncio.run(main())


def test_a_print_that_ends_before_its_start_is_answered_is_followed_too() -> None:
    async def main() -> None:
        async with scene(automatic_transition=True) as it:
            it.story.held = asyncio.Event()
            await it.add("a.gcode", "b.gcode")
            await it.result("start")
            await it.hears("loading", "starting")
            await it.begun("a.gcode")
            await it.over("a.gcode")
            it.story.held.set()
            await it.hears("ready", "loading", "starting", "ready")
            assert it.story.asked == ["a.gcode", "b.gcode"]

    asyncio.run(main())


def test_a_pause_gives_up_a_load_but_not_what_klipper_was_asked_for() -> None:
    async def main() -> None:
        async with scene(automatic_transition=True, job_transition_delay=3600) as it:
            it.story.held = asyncio.Event()
            await it.add("a.gcode", "b.gcode")
            await it.begun("other.gcode")
            await it.result("start")
            await it.over("other.gcode")
            await it.hears("ready", "loading")
            assert (await it.result("pause"))["queue_state"] == "paused"
            await it.result("start")  # by hand there is no delay
            await it.hears("paused", "loading", "starting")
            await it.result("pause")
            await it.hears("paused")
            await it.result("start")  # nothing is asked for twice
            await it.hears("starting")
            await it.result("pause")
            it.story.held.set()
            await it.hears("paused")
            assert await it.heard() == ("job_loaded", ["b.gcode"], "paused")
            assert it.story.asked == ["a.gcode"]

    asyncio.run(main())


def test_an_error_pauses_the_queue_and_the_job_goes_on_waiting() -> None:
    async def main() -> None:
        async with scene() as it:
            it.story.refuses = True
            await it.add("a.gcode")
            await it.result("start")
            await it.hears("loading", "starting", "paused")
            assert await it.waiting() == ["a.gcode"]
            it.story.refuses = False
            await it.result("start")
            await it.hears("loading", "starting", "paused")
            assert await it.waiting() == []

    asyncio.run(main())


def test_a_shutdown_of_klipper_pauses_the_queue() -> None:
    async def main() -> None:
        async with scene(automatic_transition=True) as it:
            await it.begun("other.gcode")
            await it.add("a.gcode")
            await it.result("start")
            it.klipper("shutdown")
            await it.hears("ready", "paused")
            assert (await it.result("start"))["queue_state"] == "ready"  # Klipper cannot print: as while it prints

    asyncio.run(main())


def test_the_next_job_is_loaded_when_klipper_becomes_ready_where_that_is_wanted() -> None:
    async def main() -> None:
        past: Past = []
        async with scene(past) as it:
            await it.add("a.gcode", "b.gcode")
        async with scene(past) as it:
            it.klipper("startup")
            it.klipper("ready")
            assert (await it.result("status"))["queue_state"] == "paused"
        async with scene(past, load_on_startup=True) as it:
            while (await it.result("status"))["queue_state"] != "paused" or it.story.asked == []:
                await it.heard()
            assert (it.story.asked, await it.waiting()) == (["a.gcode"], ["b.gcode"])

    asyncio.run(main())


def test_a_transition_ends_where_somebody_prints_meanwhile() -> None:
    async def main() -> None:
        async with scene(automatic_transition=True, job_transition_delay=0.2, job_transition_gcode="CLEAR_BED") as it:
            await it.add("a.gcode")
            await it.begun("other.gcode")
            await it.result("start")
            await it.over("other.gcode")
            await it.hears("ready", "loading")
            await it.begun("another.gcode")
            await it.hears("paused")
            assert (it.story.asked, await it.waiting()) == ([], ["a.gcode"])

    asyncio.run(main())


def test_a_print_that_begins_during_the_gcode_between_jobs_is_let_alone() -> None:
    async def main() -> None:
        async with scene(automatic_transition=True, job_transition_gcode="CLEAR_BED") as it:
            it.story.held = asyncio.Event()
            await it.add("a.gcode")
            await it.begun("other.gcode")
            await it.result("start")
            await it.over("other.gcode")
            await it.hears("ready", "loading")
            while not it.story.asked:  # noqa: ASYNC110 - Klipper tells nobody what it is asked
                await asyncio.sleep(0.01)
            await it.begun("another.gcode")
            it.story.held.set()
            await it.hears("paused")
            assert it.story.asked == ["CLEAR_BED"]

    asyncio.run(main())


def test_a_queue_that_loads_on_startup_follows_a_print_that_outlived_the_program() -> None:
    async def main() -> None:
        past: Past = []
        printing = {"state": "printing", "filename": "other.gcode", "total_duration": 5.0}
        async with scene(past) as it:
            await it.add("a.gcode")
        async with scene(past, Story(stats=printing), load_on_startup=True, automatic_transition=True) as it:
            while (await it.result("status"))["queue_state"] != "ready":
                await it.heard()
            await it.over("other.gcode")
            await it.told("queue.loaded.1")

    asyncio.run(main())


def test_requests_that_follow_each_other_at_once_see_each_other() -> None:
    async def main() -> None:
        async with scene() as it:
            await it.add("b.gcode")
            found = await at_once(
                it,
                ("delete_job", {"all": True}),
                ("post_job", {"filenames": ["a.gcode", "a.gcode"]}),
                ("status", {}),
                ("start", {}),
            )
            assert [len(found[number]["queued_jobs"]) for number in range(1, 4)] == [2, 2, 2]
            assert found[3]["queue_state"] == "loading"
            await it.told("queue.loaded.1")
            found = await at_once(it, ("post_job", {"filenames": ["b.gcode"]}), ("start", {}), ("pause", {}))
            assert [found[number]["queue_state"] for number in range(3)] == ["paused"] * 3
            assert it.story.asked == ["a.gcode"]

    asyncio.run(main())


async def at_once(it: Scene, *asked: tuple[str, Json]) -> dict[int, Json]:
    """The results, by number, of requests that do not wait for each other."""
    for number, (method, params) in enumerate(asked):
        request = {"jsonrpc": "2.0", "method": f"server.job_queue.{method}", "params": params, "id": number}
        it.desk.send("test/moonraker/api/request/desk", request)
    answers = [await it.desk.next() for _ in asked]
    return {answer["id"]: answer["result"] for answer in answers}


def test_macros_pause_and_start_the_queue() -> None:
    async def main() -> None:
        async with scene(automatic_transition=True) as it:
            await it.begun("other.gcode")
            await it.add("a.gcode")
            for method, state in (("start_job_queue", "ready"), ("pause_job_queue", "paused")):
                it.rig.bus.publish("test/agent/job_queue/macro", dumps({"method": method, "params": {}}))
                await it.hears(state)

    asyncio.run(main())


def test_the_queue_stands_on_its_topic() -> None:
    async def main() -> None:
        async with scene() as it:
            reader = it.rig.client("reader")
            reader.listen("test/state/job_queue/queue")
            assert await reader.next() == {"queued_jobs": [], "queue_state": "paused"}
            (job,) = (await it.result("post_job", filenames=["a.gcode"]))["queued_jobs"]
            del job["time_in_queue"]
            assert await reader.next() == {"queued_jobs": [job], "queue_state": "paused"}

    asyncio.run(main())


# -- what a restart finds


@pytest.mark.parametrize(
    ("found", "waits"),
    [
        ({"state": "printing", "filename": "a.gcode", "total_duration": 5.0}, []),
        ({"state": "complete", "filename": "a.gcode", "total_duration": 70.0}, []),
        ({"state": "complete", "filename": "a.gcode", "total_duration": 60.0}, ["a.gcode"]),
        ({"state": "printing", "filename": "b.gcode", "total_duration": 5.0}, ["a.gcode"]),
        (RESTING, ["a.gcode"]),
    ],
    ids=["prints", "is done", "the one before", "another", "nothing"],
)
def test_a_kill_while_klipper_is_asked_prints_a_job_once(found: Json, waits: list[str]) -> None:
    async def main() -> None:
        kept: Past = []
        before = {"state": "complete", "filename": "a.gcode", "total_duration": 60.0}
        async with scene([], Story(before, held=asyncio.Event())) as it:
            await it.add("a.gcode")
            await it.result("start")
            await it.hears("loading", "starting")
            await it.told("queue.starting.1")
            kept = await it.past()  # what follows is not known after a kill
        async with scene(kept, Story(found)) as it:
            await it.told("queue.loaded.1", "queue.not_started.1")
            assert await it.waiting() == waits

    asyncio.run(main())


# -- schedules


async def scheduled(it: Scene, **params: Any) -> Json:
    found: Json = (await it.result("schedule", **params))["schedule"]
    job_queue.Schedule.model_validate(found)
    return found


def test_a_scheduled_start_adds_files_and_starts_the_queue_once() -> None:
    async def main() -> None:
        async with scene() as it:
            made = await scheduled(it, filenames="a.gcode,b.gcode", at=SYSTEM.wall() + 2)
            assert made["next_run"] == pytest.approx(made["at"])
            assert (await it.result("schedules"))["schedules"] == [made]
            assert await it.heard() == ("jobs_added", ["a.gcode", "b.gcode"], "paused")
            await it.hears("loading", "starting")
            assert await it.heard() == ("job_loaded", ["b.gcode"], "paused")
            assert it.story.by[0]["client"] == "desk"
            assert await it.result("schedules") == {"schedules": []}

    asyncio.run(main())


def test_schedules_survive_and_end_when_somebody_says_so() -> None:
    async def main() -> None:
        past: Past = []
        async with scene(past) as it:
            once = await scheduled(it, filenames=["a.gcode"], at=SYSTEM.wall() + 3600)
            often = await scheduled(it, filenames=["b.gcode"], cron="30 4 * * 0")
        async with scene(past) as it:
            await shown(it, [once, often])
            gone = await it.result("unschedule", schedule_id=once["schedule_id"])
            assert gone == {"schedule_id": once["schedule_id"]}
            assert (await it.ask("unschedule", schedule_id=once["schedule_id"]))["error"]["code"] == -32601
        async with scene(past) as it:
            await shown(it, [often])

    asyncio.run(main())


async def shown(it: Scene, schedules: list[Json]) -> None:
    """They are these, as soon as their next times have been found."""
    async with asyncio.timeout(PATIENCE):
        while (await it.result("schedules"))["schedules"] != schedules:  # noqa: ASYNC110 - asking is all that a client can do
            await asyncio.sleep(0.01)


def test_a_scheduled_start_waits_for_klipper() -> None:
    async def main() -> None:
        async with scene() as it:
            it.klipper("startup")
            await scheduled(it, filenames="a.gcode", at=SYSTEM.wall() + 1)
            await it.told("queue.ran.1")
            assert await it.waiting() == ["a.gcode"]
            it.klipper("ready")
            await it.told("queue.loaded.1")
            assert it.story.asked == ["a.gcode"]

    asyncio.run(main())


@pytest.mark.parametrize("how", ["deleted", "stopped", "stopping"])
def test_no_other_job_and_none_behind_a_stop_is_started_for_it(how: str) -> None:
    async def main() -> None:
        async with scene() as it:
            it.klipper("shutdown" if how == "stopped" else "startup")
            await scheduled(it, filenames="a.gcode", at=SYSTEM.wall() + 1)
            await it.told("queue.ran.1")
            if how == "deleted":
                await it.result("delete_job", all=True)
            elif how == "stopping":
                it.klipper("shutdown")
            await it.result("post_job", filenames="b.gcode")
            it.klipper("startup")
            it.klipper("ready")
            await asyncio.sleep(0.3)  # for whatever that begins
            assert it.story.asked == []

    asyncio.run(main())


def test_a_pause_takes_back_a_scheduled_start_that_waits_for_klipper() -> None:
    async def main() -> None:
        async with scene() as it:
            it.klipper("startup")
            await scheduled(it, filenames="a.gcode", at=SYSTEM.wall() + 1)
            await it.told("queue.ran.1")
            await it.result("pause")
            it.klipper("ready")
            assert (await it.result("start"))["queue_state"] == "loading"  # which nothing but this has begun
            await it.told("queue.loaded.1")

    asyncio.run(main())


@pytest.mark.parametrize("at", [1796060844463.0, 253402300799.0, 1e300], ids=["milliseconds", "last day", "never"])
def test_times_that_are_far_ahead_are_refused(at: float) -> None:
    async def main() -> None:
        async with scene() as it:
            assert (await it.ask("schedule", filenames="a.gcode", at=at))["error"]["code"] == 400
            assert await it.result("schedules") == {"schedules": []}

    asyncio.run(main())


def test_a_schedule_that_never_comes_true_keeps_nothing_else_from_running() -> None:
    async def main() -> None:
        async with scene([*planned(1e300, None), *planned(None, "* * * * *", name="T")]) as it:
            await it.told("queue.ran.1")
            listed = (await it.result("schedules"))["schedules"]
            assert [(each["schedule_id"], each["next_run"] is None) for each in listed] == [("S", True), ("T", False)]
            await it.result("unschedule", schedule_id="S")

    asyncio.run(main())


def planned(at: float | None, cron: str | None, filename: str = "a.gcode", name: str = "S") -> Past:
    times = {"at": at, "cron": cron, "time_added": SYSTEM.wall() - 7200}
    return [NewEvent("queue.scheduled.1", {"schedule_id": name, "filenames": [filename], **times}, ALICE)]


@pytest.mark.parametrize(
    ("late", "filename", "missed"),
    [(300, "a.gcode", False), (3600, "a.gcode", True), (300, "gone.gcode", True)],
    ids=["a little late", "too late", "nothing left to print"],
)
def test_a_single_start_that_was_due_while_nobody_was_there(late: float, filename: str, missed: bool) -> None:
    async def main() -> None:
        async with scene(planned(SYSTEM.wall() - late, None, filename)) as it:
            assert (await it.told("queue.ran.1"))["missed"] == missed
            assert await it.result("schedules") == {"schedules": []}
            if not missed:
                await it.told("queue.loaded.1")
                assert (it.story.asked, it.story.by) == (["a.gcode"], [ALICE])

    asyncio.run(main())


def test_a_repeated_start_that_was_due_a_moment_ago_is_made_up_for_once() -> None:
    async def main() -> None:
        now = SYSTEM.wall()
        due = datetime.fromtimestamp(now - 60)  # an hour passes until the next time
        async with scene(planned(None, f"{due.minute} * * * *")) as it:
            assert not (await it.told("queue.ran.1"))["missed"]
            (left,) = (await it.result("schedules"))["schedules"]
            assert now < left["next_run"] <= SYSTEM.wall() + 3600
            assert [kind for kind, _ in await it.rig.events()].count("queue.ran.1") == 1

    asyncio.run(main())
