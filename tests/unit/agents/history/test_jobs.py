"""The fold of jobs against a plain model: pages, filters, totals, deletions, and restarts from any snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.history import query, table
from agents.history.jobs import Jobs
from agents.history.packing import modified, pack, unpack
from agents.history.query import rows, totals
from agents.history.showing import csv_lines, job_id, json_lines, number_of, shown
from agents.history.table import STATUSES
from bus.log import StoredEvent
from schemas import history

NOBODY = UUID(int=0)
USERS = (None, "alice", "bob")
FILES = ("a.gcode", "b.gcode", "sub/c.gcode")
HOW = ("completed", "cancelled", "error", "interrupted")

Json = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Many blocks of few rows."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (table, query):
            patch.setattr(module, "BLOCK", 4)
        yield


@dataclass
class Story:
    """Events of a log, made one by one."""

    events: list[StoredEvent] = field(default_factory=list)
    time: float = 1000.0

    def tell(self, kind: str, data: Json, user: str | None = None) -> StoredEvent:
        actor = None if user is None else {"user": user, "transport": "websocket", "client": "10.0.0.5"}
        stream = "print" if kind.startswith("print") else "history"
        self.events.append(StoredEvent(len(self.events) + 1, self.time, stream, kind, actor, data, NOBODY))
        return self.events[-1]


def started(filename: str = "a.gcode", **more: Any) -> Json:
    return {"filename": filename, **more}


def ended(how: str = "completed", number: float = 1.0, **more: Any) -> Json:
    numbers = {"print_duration": number, "total_duration": number * 2, "filament_used": number * 3}
    return {"filename": "a.gcode", "how": how, "message": "", **numbers, **more}


def fold_of(events: list[StoredEvent]) -> Jobs:
    jobs = Jobs()
    for event in events:
        jobs.apply(event)
    return jobs


def again(jobs: Jobs) -> Jobs:
    """As it comes back from a snapshot."""
    return Jobs.restored(orjson.loads(orjson.dumps(jobs.state())))


def all_of(jobs: Jobs, **wanted: Any) -> list[Json]:
    found = rows(jobs.table, history.Selection(**wanted), None)
    return [orjson.loads(orjson.dumps(shown(jobs.table, row, lambda _path, _modified: True))) for row in found]


# -- single stories


def test_a_job_begins_with_who_started_it_and_ends_with_its_numbers() -> None:
    story = Story()
    story.tell("print.started.1", started(), user="alice")
    jobs = fold_of(story.events)
    (job,) = all_of(jobs)
    assert (job["status"], job["end_time"], job["user"]) == ("in_progress", None, "alice")
    assert job["started_by"] == {"user": "alice", "transport": "websocket", "client": "10.0.0.5"}
    story.time = 1060
    jobs.apply(story.tell("print.ended.1", ended("completed", 20)))
    (job,) = all_of(jobs)
    history.Job.model_validate(job)
    assert (job["job_id"], job["status"], job["start_time"], job["end_time"]) == ("000001", "completed", 1000, 1060)
    assert (job["print_duration"], job["total_duration"], job["filament_used"]) == (20, 40, 60)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (ended("cancelled"), "cancelled"),
        (ended("error"), "error"),
        (ended("interrupted"), "interrupted"),
        (ended("interrupted", cause="shutdown"), "klippy_shutdown"),
        (ended("interrupted", cause="disconnected"), "klippy_disconnect"),
    ],
)
def test_how_a_print_ended_is_its_status(data: Json, status: str) -> None:
    story = Story()
    story.tell("print.started.1", started())
    story.tell("print.ended.1", data)
    assert [job["status"] for job in all_of(fold_of(story.events))] == [status]


def test_a_print_that_ended_unseen_ended_when_its_clock_stood_still() -> None:
    story = Story()
    story.tell("print.started.1", started())
    story.time = 90_000  # the program was away for a day
    story.tell("print.ended.1", ended("completed", 300, found=True))
    (job,) = all_of(fold_of(story.events))
    assert job["end_time"] == 1600


def test_a_print_that_was_found_began_before() -> None:
    story = Story()
    story.tell("print.started.1", started(found=True, total_duration=400.0))
    (job,) = all_of(fold_of(story.events))
    assert job["start_time"] == 600


def test_the_same_print_seen_anew_stays_one_job_and_another_one_ends_it() -> None:
    story = Story()
    story.tell("print.started.1", started())
    story.tell("print.started.1", started(found=True, total_duration=5.0))
    assert [job["status"] for job in all_of(fold_of(story.events))] == ["in_progress"]
    story.tell("print.started.1", started("b.gcode"))
    assert [job["status"] for job in all_of(fold_of(story.events))] == ["in_progress", "cancelled"]


def test_an_end_without_a_beginning_and_news_of_unknown_jobs_change_nothing() -> None:
    story = Story()
    story.tell("print.ended.1", ended())
    story.tell("job.described.1", {"job": 7, "filename": "a", "start_time": 1.0, "metadata": {"size": 1}})
    story.tell("job.measured.1", {"job": 7, "fields": []})
    story.tell("jobs.deleted.1", {"jobs": [7]})
    assert fold_of(story.events).state() == Jobs().state()


def test_auxiliary_values_are_the_jobs_and_count_where_that_is_wanted() -> None:
    story = Story()
    power = {"provider": "sensor", "name": "power", "description": "Energy", "units": "kWh"}
    spool = {"provider": "spoolman", "name": "spools", "value": [3], "description": "Spools", "units": None}
    plain = {"total": False, "maximum": False}
    for value in (2.5, 1.5):
        story.tell("print.started.1", started())
        job = len(story.events) // 3 + 1
        story.tell("print.ended.1", ended())
        fields = [{**power, "value": value, "total": True, "maximum": True}, {**spool, **plain}]
        story.tell("job.measured.1", {"job": job, "fields": fields})
    jobs = again(fold_of(story.events))
    assert all_of(jobs)[0]["auxiliary_data"] == [{**power, "value": 1.5}, spool]
    sums = [{"provider": "sensor", "field": "power", "maximum": 2.5, "total": 4.0}]
    assert jobs.totals.auxiliary_totals() == totals(jobs.table, 0.0, None).auxiliary_totals() == sums
    jobs.apply(story.tell("totals.reset.1", {"totals": None}))
    assert (jobs.totals.jobs, jobs.totals.auxiliary_totals()) == (0, [])


def test_jobs_of_another_program_keep_their_numbers_and_do_not_count_twice() -> None:
    story = Story()
    known = {"filename": "old.gcode", "metadata": {"size": 5}, "user": "carol", "auxiliary": []}
    numbers = {"start_time": 10.0, "end_time": 20.0, "print_duration": 5.0, "total_duration": 9.0}
    for number in (3, 0x1F):
        imported = {"job": number, "status": "server_exit", "filament_used": 1.0, **known, **numbers}
        story.tell("job.imported.1", imported)
    sums = {"total_jobs": 40, "total_time": 1.0, "total_print_time": 1.0, "total_filament_used": 1.0}
    energy = {"provider": "sensor", "field": "energy", "maximum": 2.0, "total": 3.0}
    longest = {"longest_job": 1.0, "longest_print": 1.0}
    story.tell("totals.added.1", {"totals": {**sums, **longest}, "auxiliary": [energy]})
    story.tell("print.started.1", started())
    jobs = fold_of(story.events)
    assert [job["job_id"] for job in all_of(jobs)] == ["000020", "00001F", "000003"]
    assert [job["user"] for job in all_of(jobs, user="carol", order="asc")] == ["carol", "carol"]
    assert (jobs.totals.jobs, jobs.totals.auxiliary_totals()) == (40, [energy])
    assert totals(jobs.table, 5.0, None).jobs == 2


# -- against a model


@dataclass
class Model:
    """All jobs as they should be shown, oldest first; sums of those that ended, deleted or not."""

    jobs: list[Json] = field(default_factory=list)
    ended: list[Json] = field(default_factory=list)
    since_reset: list[Json] = field(default_factory=list)
    open: Json | None = None
    numbers: int = 0

    def begin(self, filename: str, time: float, user: str | None) -> None:
        self.finish("cancelled", time, 0.0)
        self.numbers += 1
        job = {"job_id": f"{self.numbers:06X}", "filename": filename, "status": "in_progress"}
        self.open = {**job, "start_time": time, "end_time": None, "user": user, "number": 0.0, "metadata": {}}
        self.jobs.append(self.open)

    def finish(self, status: str, time: float, number: float) -> None:
        if self.open is not None:
            self.open |= {"status": status, "end_time": time, "number": number}
            self.ended.append(self.open)
            self.since_reset.append(self.open)
            self.open = None

    def select(self, wanted: Json) -> list[Json]:
        found = [job for job in self.jobs if matches(job, wanted)]
        return (found if wanted.get("order") == "asc" else found[::-1])[wanted.get("start", 0) :]


def matches(job: Json, wanted: Json) -> bool:
    return (
        job["status"] in (wanted.get("status") or STATUSES)
        and wanted.get("filename") in (None, job["filename"])
        and wanted.get("user") in (None, job["user"])
        and job["start_time"] > wanted.get("since", 0)
        and ("before" not in wanted or (job["end_time"] is not None and job["end_time"] < wanted["before"]))
    )


steps = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(FILES), st.sampled_from(USERS)),
    st.tuples(st.just("end"), st.sampled_from(HOW), st.integers(0, 9)),
    st.tuples(st.just("describe"), st.integers(1, 20), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.lists(st.integers(1, 20), max_size=3)),
    st.tuples(st.sampled_from(["delete all", "reset", "restart"])),
    st.tuples(st.just("clock"), st.integers(-3, 20)),
)
wishes = st.fixed_dictionaries(
    {},
    optional={
        "status": st.lists(st.sampled_from(STATUSES), min_size=1, max_size=3),
        "filename": st.sampled_from([*FILES, "none"]),
        "user": st.sampled_from(["alice", "bob", "nobody"]),
        "since": st.integers(990, 1100).map(float),
        "before": st.integers(990, 1100).map(float),
        "order": st.sampled_from(["asc", "desc"]),
        "start": st.integers(0, 12),
    },
)


def played(told: list[tuple[Any, ...]]) -> tuple[Story, Jobs, Model]:
    story, jobs, model = Story(), Jobs(), Model()
    for kind, *what in told:
        match kind:
            case "begin":
                jobs.apply(story.tell("print.started.1", started(what[0]), what[1]))
                model.begin(what[0], story.time, what[1])
            case "end":
                jobs.apply(story.tell("print.ended.1", ended(what[0], float(what[1]))))
                model.finish(what[0], story.time, float(what[1]))
            case "describe":
                metadata = {"size": what[1], "modified": float(what[1])} if what[1] else {}
                about = {"filename": "", "start_time": 0.0, "metadata": metadata}
                jobs.apply(story.tell("job.described.1", {"job": what[0], **about}))
                for job in model.jobs:
                    if job["job_id"] == job_id(what[0]):
                        job["metadata"] = metadata
            case "delete" | "delete all":
                gone = what[0] if what else None
                jobs.apply(story.tell("jobs.deleted.1", {"jobs": gone}))
                names = None if gone is None else [job_id(number) for number in gone]
                model.jobs = [job for job in model.jobs if names is not None and job["job_id"] not in names]
            case "reset":
                jobs.apply(story.tell("totals.reset.1", {"totals": None}))
                model.since_reset = []
            case "restart":
                jobs = again(jobs)
            case "clock":
                story.time += what[0]  # clocks can jump back
    return story, jobs, model


def sums(jobs: list[Json]) -> Json:
    numbers = [job["number"] for job in jobs]
    return {
        "total_jobs": len(jobs),
        "total_time": sum(numbers) * 2,
        "total_print_time": sum(numbers),
        "total_filament_used": sum(numbers) * 3,
        "longest_job": max(numbers, default=0) * 2,
        "longest_print": max(numbers, default=0),
    }


@given(st.lists(steps, max_size=60), st.lists(wishes, max_size=4), st.integers(1, 9))
def test_jobs_are_those_of_a_plain_model(told: list[tuple[Any, ...]], wanted: list[Json], limit: int) -> None:
    _, jobs, model = played(told)
    for wish in [{}, *wanted]:
        expected = model.select(wish)
        found = all_of(jobs, **wish)
        assert [{key: job.get(key) for key in job if key != "number"} for job in expected] == [
            {key: each[key] for key in job if key != "number"} for each, job in zip(found, expected, strict=True)
        ]
        page = rows(jobs.table, history.Selection(**wish), limit)
        assert rows(jobs.table, history.Selection(**wish | {"start": 10**30}), limit) == []
        assert [job_id(jobs.table.columns["id"][row]) for row in page] == [job["job_id"] for job in expected[:limit]]
        period: Json = {key: wish[key] for key in ("since", "before") if key in wish}
        of_period = [job for job in model.ended if matches(job, period)]
        assert totals(jobs.table, wish.get("since"), wish.get("before")).job_totals() == sums(of_period)
    assert jobs.totals.job_totals() == sums(model.since_reset)
    assert len([*json_lines(jobs.table, rows(jobs.table, history.Selection(), None), lambda *_: True)]) == len(
        model.jobs
    )


@given(st.lists(steps, max_size=40))
def test_a_snapshot_and_the_rest_give_what_all_events_give(told: list[tuple[Any, ...]]) -> None:
    story, jobs, _ = played(told)
    for cut in range(len(story.events) + 1):
        resumed = again(fold_of(story.events[:cut]))
        for event in story.events[cut:]:
            resumed.apply(event)
        assert resumed.state() == jobs.state()


# -- how it is kept and shown


@given(
    st.dictionaries(
        st.text(),
        st.integers(0, 9) | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.lists(st.text()),
    )
)
def test_metadata_comes_back_as_it_was(metadata: Json) -> None:
    assert orjson.loads(unpack(pack(metadata))) == metadata


def test_metadata_of_a_file_that_is_printed_again_is_kept_once() -> None:
    story = Story()
    for number in range(1, 9):
        story.tell("print.started.1", started())
        about = {"filename": "a.gcode", "start_time": 1.0, "metadata": {"size": 5, "modified": 2.0}}
        story.tell("job.described.1", {"job": number, **about})
    kept = again(fold_of(story.events)).table.metadata
    assert len({id(each) for each in kept}) == 1
    assert modified(kept[0]) == 2.0


def test_ids_are_hexadecimal_and_anything_else_is_none() -> None:
    assert (job_id(1), job_id(0xABCDEF1)) == ("000001", "ABCDEF1")
    assert (number_of("00001f"), number_of("00001F"), number_of("zzz"), number_of("")) == (31, 31, None, None)


def test_a_spreadsheet_gets_times_and_no_formulas() -> None:
    story = Story()
    story.tell("print.started.1", started('=HYPERLINK("x"),2.gcode'), user="@bob")
    story.tell("print.ended.1", ended())
    head, line = csv_lines(fold_of(story.events).table, [0], names=True)
    assert head.startswith("job_id,status,filename,start_time")
    assert line.startswith('000001,completed,"\'=HYPERLINK(""x""),2.gcode",1970-01-01T00:16:40.000+00:00,')
    assert ",'@bob,websocket," in line
