"""What every event log does: one suite, run against memory and LMDB."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from bus.clock import Clock
from bus.errors import BusError, Conflict, InvalidParams, TooLarge, Unavailable
from bus.lmdb_log import LmdbLog
from bus.log import MAX_APPEND_BYTES, READ_BYTES, Append, EventLog, Excerpt, MemoryLog, NewEvent, StoredEvent, excerpt
from bus.log_checkpoint import CHECKPOINT, expand, whole_stream

SEGMENT = 64 << 10
NOW = 1_700_000_000.25


class Fixed(Clock):
    """Wall time that goes where a test sets it."""

    def __init__(self) -> None:
        self.now = NOW

    def wall(self) -> float:
        return self.now


Make = Callable[[], EventLog]


@pytest.fixture
def clock() -> Fixed:
    return Fixed()


@pytest.fixture(params=["memory", "lmdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Fixed) -> Iterator[Make]:
    opened: list[EventLog] = []

    def build() -> EventLog:
        made: EventLog
        if request.param == "memory":
            made = MemoryLog(clock)
        else:
            place = tmp_path / str(len(opened))
            made = LmdbLog.open(place, segment_bytes=SEGMENT, reserve_bytes=0, clock=clock)
        opened.append(made)
        return made

    yield build
    for each in opened:
        each.close()


@pytest.fixture
def log(make: Make) -> EventLog:
    return make()


def fact(number: int = 0, *, text: str = "") -> NewEvent:
    return NewEvent("job.queued.1", {"number": number, "text": text}, {"user": "ada"})


def add(log: EventLog, stream: str, count: int = 1, *, expected: int | None = None) -> int:
    return log.append(stream, [fact(number) for number in range(count)], append_id=uuid4(), expected=expected)


def numbers(events: Sequence[StoredEvent]) -> list[int]:
    return [event.seq for event in events]


def test_a_new_log_is_empty(log: EventLog) -> None:
    assert log.head() == 0
    assert list(log.read()) == []
    assert list(log.read(stream="print")) == []
    assert log.position("print") == 0
    assert list(log.boundaries()) == [1]


def test_events_come_back_as_they_were_stored(log: EventLog) -> None:
    append_id = uuid4()
    events = [NewEvent("print.started.1", {"file": "ä\u0000.gcode", "layers": [1, 2.5, None, True]}, {"user": "ada"})]
    events.append(NewEvent("print.ended.2", {}))
    assert log.append("print", events, append_id=append_id) == 2
    assert list(log.read()) == [
        StoredEvent(1, NOW, "print", "print.started.1", {"user": "ada"}, events[0].data, append_id),
        StoredEvent(2, NOW, "print", "print.ended.2", None, {}, append_id),
    ]


def test_sequence_numbers_go_on_across_streams(log: EventLog) -> None:
    assert [add(log, "a"), add(log, "b", 3), add(log, "a")] == [1, 4, 5]
    assert log.head() == 5
    assert (log.position("a"), log.position("b")) == (5, 4)


def test_read_pages_by_position_and_stream(log: EventLog) -> None:
    for number in range(30):
        add(log, "even" if number % 2 else "odd")
    assert numbers(log.read(10, limit=5)) == [11, 12, 13, 14, 15]
    assert numbers(log.read(10, stream="even", limit=3)) == [12, 14, 16]
    assert numbers(log.read(28)) == [29, 30]
    assert list(log.read(30)) == list(log.read(99)) == list(log.read(limit=0)) == []
    assert numbers(log.read(-5, limit=2)) == [1, 2]
    assert list(log.read(stream="never")) == []


def at_times(log: EventLog, clock: Fixed, times: Sequence[float]) -> None:
    for number, time in enumerate(times):
        clock.now = time
        log.append("even" if number % 2 else "odd", [fact(text="x" * 400)], append_id=uuid4())


def test_a_time_is_a_position(log: EventLog, clock: Fixed) -> None:
    assert log.before(NOW) == 0
    at_times(log, clock, [NOW + number // 3 for number in range(900)])  # several segments, with several marks each
    assert [log.before(NOW + second) for second in (-1, 0, 0.5, 1, 150, 299, 300)] == [0, 0, 3, 3, 450, 897, 900]


def test_nothing_at_or_after_a_time_is_missed_though_the_clock_jumped_back(log: EventLog, clock: Fixed) -> None:
    at_times(log, clock, [100, 200, 5, 6, 300, 150])
    assert [log.before(time) for time in (5, 100, 101, 201, 301)] == [0, 0, 1, 4, 6]


def test_an_excerpt_is_chosen_by_position_time_and_stream(log: EventLog, clock: Fixed) -> None:
    at_times(log, clock, [10, 20, 30, 40, 50, 60])
    found: Callable[[Excerpt], list[int]] = lambda wanted: numbers(excerpt(log, wanted))  # noqa: E731
    assert found(Excerpt()) == [1, 2, 3, 4, 5, 6]
    assert found(Excerpt(since_time=30)) == [3, 4, 5, 6]
    assert found(Excerpt(since_time=30, until_time=50)) == [3, 4, 5]
    assert found(Excerpt(since_time=30, until_time=50, stream="even")) == [4]
    assert found(Excerpt(4, since_time=30, limit=1)) == found(Excerpt(2, since_time=50, limit=1)) == [5]
    assert found(Excerpt(since_time=61)) == found(Excerpt(until_time=9)) == []


def test_an_excerpt_leaves_streams_out_and_is_empty_only_at_its_end(log: EventLog, clock: Fixed) -> None:
    kept = [add(log, "a"), add(log, "secret", 700) and add(log, "a"), add(log, "a")]
    without = frozenset({"secret"})
    assert numbers(excerpt(log, Excerpt(without=without))) == [kept[0]]
    assert numbers(excerpt(log, Excerpt(kept[0], limit=1, without=without))) == [kept[1]]
    assert numbers(excerpt(log, Excerpt(kept[0], without=without, until_time=clock.wall() - 1))) == []
    assert numbers(excerpt(log, Excerpt(kept[2], without=without))) == []
    assert numbers(excerpt(log, Excerpt(limit=0, without=without))) == []


def test_expected_is_the_position_of_the_stream(log: EventLog) -> None:
    first = add(log, "a", expected=0)
    add(log, "b", 5)
    second = add(log, "a", expected=first)
    with pytest.raises(Conflict):
        add(log, "a", expected=first)
    assert log.position("a") == log.head() == second


def test_a_repeated_append_stores_nothing_and_returns_its_first_position(log: EventLog) -> None:
    append_id = uuid4()
    first = log.append("a", [fact(1), fact(2)], append_id=append_id, expected=0)
    add(log, "a")
    assert log.append("a", [fact(1), fact(2)], append_id=append_id, expected=0) == first == 2
    assert log.head() == 3


@pytest.mark.parametrize("stream", ["", "Print", "a b", "a/b", "ä", "a\n"])
def test_a_stream_has_a_plain_name(log: EventLog, stream: str) -> None:
    with pytest.raises(InvalidParams):
        add(log, stream)
    assert log.head() == 0


def test_an_append_needs_events_that_are_json_and_not_too_many(log: EventLog) -> None:
    with pytest.raises(InvalidParams):
        log.append("a", [], append_id=uuid4())
    with pytest.raises(InvalidParams):
        log.append("a", [fact(), NewEvent("x.1", {"no": {1, 2}})], append_id=uuid4())  # type: ignore[dict-item]
    with pytest.raises(TooLarge):
        log.append("a", [fact(text="x" * (MAX_APPEND_BYTES + 1))], append_id=uuid4())
    assert log.head() == 0


def test_large_events_are_kept_whole(log: EventLog) -> None:
    texts = ["x" * size for size in (2_000, 4_000, 100_000, MAX_APPEND_BYTES - 200)]
    for text in texts:
        log.append("a", [fact(text=text)], append_id=uuid4())
    assert [event.data["text"] for event in log.read()] == texts


def test_a_batch_is_decided_one_by_one(log: EventLog) -> None:
    again = uuid4()
    batch = [
        Append("a", [fact(1)], again, expected=0),
        Append("a", [fact(2)], uuid4(), expected=0),
        Append("a", [fact(3)], uuid4(), expected=1),
        Append("A", [fact(4)], uuid4()),
        Append("b", [fact(5), fact(6)], uuid4()),
        Append("a", [fact(1)], again),
    ]
    stored: list[StoredEvent] = []
    results = log.commit(batch, stored)
    assert [result if isinstance(result, int) else type(result) for result in results] == [
        1,
        Conflict,
        2,
        InvalidParams,
        4,
        1,
    ]
    assert stored == list(log.read())
    assert [event.data["number"] for event in stored] == [1, 3, 5, 6]


def test_a_batch_larger_than_a_transaction_is_stored(log: EventLog) -> None:
    batch = [Append("a", [fact(number, text="x" * 2_000_000)], uuid4()) for number in range(12)]
    stored: list[StoredEvent] = []
    assert log.commit(batch, stored) == list(range(1, 13))
    assert numbers(stored) == list(range(1, 13))


def test_large_events_are_read_in_smaller_numbers(log: EventLog) -> None:
    for number in range(12):
        log.append("a", [fact(number, text="x" * 2_000_000)], append_id=uuid4())
    for read in (log.read, partial(log.read, stream="a")):
        assert 2_000_000 * len(read()) < READ_BYTES + 2_000_000
        assert numbers(list(whole_stream(read))) == list(range(1, 13))


def test_many_threads_append_at_once_without_gap_or_double(log: EventLog) -> None:
    with ThreadPoolExecutor(8) as pool:
        positions = list(pool.map(lambda number: add(log, f"s{number % 3}", 1 + number % 2), range(200)))
    events = whole_stream(log.read)
    assert [event.seq for event in events] == list(range(1, 301))
    assert len(set(positions)) == 200


def test_each_log_has_an_epoch_of_its_own(make: Make) -> None:
    first, second = make(), make()
    assert isinstance(first.epoch, UUID)
    assert first.epoch != second.epoch


def test_a_closed_log_refuses(log: EventLog) -> None:
    add(log, "a")
    log.close()
    log.close()
    with pytest.raises(Unavailable):
        add(log, "a")
    with pytest.raises(Unavailable):
        log.read()


def fill(log: EventLog) -> None:
    """Several segments with three streams, `users` mostly at the beginning."""
    for number in range(10):
        log.append("users", [fact(number)], append_id=uuid4())
    for _ in range(20):
        add(log, "jobs", 50)
        add(log, "moves")
    log.append("users", [fact(10)], append_id=uuid4())


def test_trim_drops_the_old_and_carries_kept_streams_forward(log: EventLog) -> None:
    fill(log)
    before = list(whole_stream(lambda after: log.read(after, stream="users")))
    head, stored = log.head(), list[StoredEvent]()
    first = log.trim(600, ["users", "never"], stored)
    assert 1 < first <= 600
    assert log.boundaries()[0] == first
    assert log.read(limit=1)[0].seq == first
    assert {event.type for event in stored} == {CHECKPOINT}
    assert numbers(stored) == [head + 1]
    carried = expand(whole_stream(lambda after: log.read(after, stream="users")))
    assert [(event.seq, event.data) for event in carried] == [(event.seq, event.data) for event in before]
    assert log.position("users") == head + 1


def test_a_checkpoint_can_be_carried_on_and_appended_to(log: EventLog) -> None:
    fill(log)
    log.trim(600, ["users"])
    log.append("users", [fact(11)], append_id=uuid4(), expected=log.position("users"))
    for _ in range(20):
        add(log, "jobs", 50)
    log.trim(log.head(), ["users"])
    carried = expand(whole_stream(lambda after: log.read(after, stream="users")))
    assert [event.data["number"] for event in carried] == list(range(12))


def test_a_stream_that_was_dropped_is_empty_again(log: EventLog) -> None:
    add(log, "once")
    fill(log)
    log.trim(600, [])
    assert log.position("once") == 0
    assert list(log.read(stream="once")) == []
    assert add(log, "once", expected=0) == log.head()


def test_errors_are_bus_errors(log: EventLog) -> None:
    [result] = log.commit([Append("a", [], uuid4())])
    assert isinstance(result, BusError)
