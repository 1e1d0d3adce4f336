"""The LMDB log does what the memory log does, whatever happens in whichever order, and across reopening."""

import tempfile
from pathlib import Path
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bus.clock import Clock
from bus.errors import BusError
from bus.lmdb_log import LmdbLog
from bus.log import Append, MemoryLog, NewEvent, StoredEvent
from bus.log_checkpoint import expand, whole_stream
from bus.log_files import index_path, segment_paths

SEGMENT = 40 << 10
LOSSES = 1
"""Times per run that the indexes are made again, each by a child process."""
BEGIN = 1e6  # Unix seconds; jumps must not lead before 1970
STREAMS = ["jobs", "users", "moves"]


class Ticking(Clock):
    """Wall time that goes on by a second at each look."""

    def __init__(self) -> None:
        self.now = BEGIN

    def wall(self) -> float:
        self.now += 1
        return self.now


appends = st.builds(
    Append,
    stream=st.sampled_from([*STREAMS, "No"]),
    events=st.lists(
        st.builds(
            NewEvent,
            st.sampled_from(["a.1", "b.1"]),
            st.builds(dict, text=st.sampled_from(["", "x" * 3000])),
            st.none(),
        ),
        max_size=3,
    ),
    append_id=st.builds(UUID, int=st.integers(0, 40)),
    expected=st.none(),
)


def shown(results: list[int | BusError]) -> list[object]:
    return [type(result) if isinstance(result, BusError) else result for result in results]


class LogModel(RuleBasedStateMachine):
    """Every step on both; they must agree."""

    @initialize()
    def begin(self) -> None:
        self.losses = 0
        self.folder = tempfile.TemporaryDirectory(prefix="printbus-log-model-")
        self.place = Path(self.folder.name)
        self.memory_clock = Ticking()
        self.memory = MemoryLog(self.memory_clock)
        self.clock = Ticking()
        self.disk = self.reopened()

    def reopened(self) -> LmdbLog:
        return LmdbLog.open(self.place, segment_bytes=SEGMENT, reserve_bytes=0, clock=self.clock)

    @rule(batch=st.lists(appends, min_size=1, max_size=12))
    def commit(self, batch: list[Append]) -> None:
        told: tuple[list[StoredEvent], list[StoredEvent]] = ([], [])
        assert shown(self.memory.commit(batch, told[0])) == shown(self.disk.commit(batch, told[1]))
        assert told[0] == told[1]

    @rule(append=appends, offset=st.sampled_from([0, 0, 0, 1]))
    def append_where_the_stream_is(self, append: Append, offset: int) -> None:
        append.expected = self.memory.position(append.stream) + offset
        assert shown(self.memory.commit([append])) == shown(self.disk.commit([append]))

    @rule(after=st.integers(-1, 120), stream=st.sampled_from([None, *STREAMS, "other"]), limit=st.integers(0, 30))
    def read(self, after: int, stream: str | None, limit: int) -> None:
        assert self.memory.read(after, stream=stream, limit=limit) == self.disk.read(after, stream=stream, limit=limit)

    @rule(seconds=st.sampled_from([-50, -5, 5, 50]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.memory_clock.now += seconds
        self.clock.now += seconds

    @rule(time=st.integers(-10, 200))
    def search_a_time(self, time: int) -> None:
        assert self.memory.before(BEGIN + time) == self.disk.before(BEGIN + time)

    @rule()
    def reopen(self) -> None:
        epoch = self.disk.epoch
        self.disk.close()
        self.disk = self.reopened()
        assert (self.disk.epoch, self.disk.recoveries) == (epoch, ())

    @precondition(lambda self: self.losses < LOSSES)
    @rule()
    def reopen_after_losing_the_indexes(self) -> None:
        self.losses += 1
        self.disk.close()
        for _, path in segment_paths(self.place)[-2:]:
            index_path(path).unlink()
        self.disk = self.reopened()
        assert self.disk.recoveries == ()

    @rule(stream=st.sampled_from(STREAMS))
    def expand_is_whole(self, stream: str) -> None:
        events = expand(whole_stream(lambda after: self.disk.read(after, stream=stream)))
        assert [event.seq for event in events] == sorted(event.seq for event in events)

    @invariant()
    def heads_agree(self) -> None:
        assert self.memory.head() == self.disk.head()
        assert [self.memory.position(stream) for stream in STREAMS] == [
            self.disk.position(stream) for stream in STREAMS
        ]

    def teardown(self) -> None:
        try:
            assert list(whole_stream(self.memory.read)) == list(whole_stream(self.disk.read))
        finally:
            self.disk.close()
            self.folder.cleanup()


TestLogModel = LogModel.TestCase
TestLogModel.settings = settings(max_examples=10, stateful_step_count=25, deadline=None)
