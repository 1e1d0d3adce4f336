"""The fold of the queue against a plain list, with restarts, and cut anywhere."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from hypothesis import given
from hypothesis import strategies as st

from agents.job_queue.waiting import Waiting
from bus.log import StoredEvent

FILES = ("a.gcode", "b.gcode")
Json = dict[str, Any]

numbers = st.integers(1, 12)
steps = st.one_of(
    st.tuples(st.just("add"), st.lists(st.sampled_from(FILES), max_size=3), st.booleans()),
    st.tuples(st.just("remove"), st.lists(numbers, max_size=3)),
    st.tuples(st.sampled_from(["jump", "start", "loaded"]), numbers),
    st.tuples(st.just("printing"), st.sampled_from(FILES)),
    st.tuples(st.sampled_from(["not started", "restart"])),
    st.tuples(st.just("schedule"), st.sampled_from([None, "0 4 * * *"])),
    st.tuples(st.sampled_from(["unschedule", "run"]), st.integers(1, 4)),
)


@dataclass
class Model:
    """Ids of what waits and of what is scheduled, and the job that Klipper was asked for."""

    queue: list[tuple[str, str]] = field(default_factory=list)
    asked: str | None = None
    schedules: dict[str, bool] = field(default_factory=dict)  # whether they go on
    made: int = 0

    def leave(self, job: str) -> None:
        self.queue = [each for each in self.queue if each[0] != job]
        if self.asked == job:
            self.asked = None


def again(waiting: Waiting) -> Waiting:
    return Waiting.restored(orjson.loads(orjson.dumps(waiting.state())))


@dataclass
class Played:
    """Events, and the same in a model."""

    events: list[StoredEvent] = field(default_factory=list)
    model: Model = field(default_factory=Model)
    waiting: Waiting = field(default_factory=Waiting)

    def tell(self, kind: str, data: Json) -> None:
        seq = len(self.events) + 1
        stream = "print" if kind.startswith("print") else "queue"
        self.events.append(StoredEvent(seq, float(seq), stream, kind, None, data, UUID(int=seq)))
        self.waiting.apply(self.events[-1])

    def play(self, kind: str, *what: Any) -> None:
        model = self.model
        match kind:
            case "add":
                names, reset = what
                jobs = [
                    {"job_id": str(model.made + n), "filename": name, "time_added": 1.0}
                    for n, name in enumerate(names, 1)
                ]
                model.made += len(jobs)
                model.queue = [] if reset else model.queue
                model.queue += [(job["job_id"], job["filename"]) for job in jobs]
                self.tell("queue.added.1", {"jobs": jobs, "reset": reset})
            case "remove":
                self.tell("queue.removed.1", {"job_ids": [str(each) for each in what[0]]})
                for each in what[0]:
                    model.leave(str(each))
            case "jump":
                self.tell("queue.jumped.1", {"job_id": str(what[0])})
                model.queue.sort(key=lambda job: job[0] != str(what[0]))
            case "start":
                self.tell("queue.starting.1", {"job_id": str(what[0]), "seen": {}})
                model.asked = str(what[0])
            case "loaded":
                self.tell("queue.loaded.1", {"job_id": str(what[0])})
                model.leave(str(what[0]))
            case "not started":
                self.tell("queue.not_started.1", {"job_id": model.asked or ""})
                model.asked = None
            case "printing":
                self.tell("print.started.1", {"filename": what[0]})
                if model.asked is not None and (model.asked, what[0]) in model.queue:
                    model.leave(model.asked)
            case "schedule":
                name = str(len(model.schedules) + 1)
                times = {"at": None if what[0] else 5.0, "cron": what[0], "time_added": 1.0}
                self.tell("queue.scheduled.1", {"schedule_id": name, "filenames": ["a.gcode"], **times})
                model.schedules[name] = what[0] is not None
            case "unschedule":
                self.tell("queue.unscheduled.1", {"schedule_id": str(what[0])})
                model.schedules.pop(str(what[0]), None)
            case "run":
                self.tell("queue.ran.1", {"schedule_id": str(what[0]), "time": 7.0, "missed": False})
                if not model.schedules.get(str(what[0]), True):
                    del model.schedules[str(what[0])]
            case "restart":
                self.waiting = again(self.waiting)


@given(st.lists(steps, max_size=40))
def test_what_waits_is_what_a_plain_list_has(told: list[tuple[Any, ...]]) -> None:
    played = Played()
    for step in told:
        played.play(*step)
        waiting, model = played.waiting, played.model
        assert [(job["job_id"], job["filename"]) for job in waiting.jobs.values()] == model.queue
        assert (waiting.starting and waiting.starting["job_id"]) == model.asked
        assert {name: known["cron"] is not None for name, known in waiting.schedules.items()} == model.schedules


@given(st.lists(steps, max_size=30))
def test_a_snapshot_and_the_rest_give_what_all_events_give(told: list[tuple[Any, ...]]) -> None:
    played = Played()
    for step in told:
        played.play(*step)
    for cut in range(len(played.events) + 1):
        fold = Waiting()
        for event in played.events[:cut]:
            fold.apply(event)
        resumed = again(fold)
        for event in played.events[cut:]:
            resumed.apply(event)
        assert resumed.state() == played.waiting.state()
