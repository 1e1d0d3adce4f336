"""Folds: the same state from all events, from a snapshot and the rest, and for any moment of the past."""

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar, Self
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import fold as folding
from bus.clock import Clock
from bus.fold import Fold, Folds, Snapshots, advance, as_of
from bus.lmdb_log import LmdbLog
from bus.log import START, EventLog, MemoryLog, NewEvent, StoredEvent

WORDS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from(["left", "right", "other"])), max_size=40)


class Ticking(Clock):
    """One second later at each look."""

    def __init__(self) -> None:
        self.now = 1000.0

    def wall(self) -> float:
        self.now += 1
        return self.now


class Words(Fold):
    name = "words"
    version = 1
    streams: ClassVar[frozenset[str]] = frozenset({"left", "right"})

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last = 0

    def apply(self, event: StoredEvent) -> None:
        assert event.seq > self.last
        self.last = event.seq
        self.counts[str(event.data["word"])] += 1

    def state(self) -> Any:
        return {"counts": dict(sorted(self.counts.items())), "last": self.last}

    @classmethod
    def restored(cls, state: Any) -> Self:
        made = cls()
        made.counts.update(state["counts"])
        made.last = state["last"]
        return made


def filled(log: EventLog, words: list[tuple[str, str]]) -> list[Any]:
    """The states after each event."""
    states = [Words().state()]
    fold = Words()
    for word, stream in words:
        after = log.head()
        log.append(stream, [NewEvent("word.said.1", {"word": word})], append_id=uuid4())
        advance(fold, log, after) if after else advance(fold := Words(), log, START)
        states.append(fold.state())
    return states


@given(WORDS)
def test_the_state_of_any_sequence_number_and_time_is_what_it_was(words: list[tuple[str, str]]) -> None:
    log = MemoryLog(Ticking())
    states = filled(log, words)
    times = [event.time for event in log.read(limit=100)]
    for seq, state in enumerate(states):
        assert as_of(Words, log, seq=seq) == state
    for time, state in zip(times, states[1:], strict=True):
        assert as_of(Words, log, time=time) == state
    assert as_of(Words, log) == states[-1]


@given(WORDS, st.integers(0, 40))
def test_a_snapshot_and_the_rest_give_what_all_events_give(words: list[tuple[str, str]], cut: int) -> None:
    log = MemoryLog(Ticking())
    states = filled(log, words)
    cut = min(cut, len(words))
    fold = Words.restored(states[cut])
    advance(fold, log, cut) if cut else advance(fold, log, START)
    assert fold.state() == states[-1]


def test_folds_are_restored_from_snapshots_and_follow_commits(tmp_path: Path) -> None:
    log = MemoryLog(Ticking())
    filled(log, [("a", "left"), ("b", "right")])
    first = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    first.restore(log.head())
    log.append("left", [NewEvent("word.said.1", {"word": "c"})], append_id=uuid4())
    assert [fold.name for fold in first.feed(log.read(2))] == ["words"]
    assert first.feed(log.read(2)) == []  # a second time changes nothing
    first.save()
    second = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    second.restore(log.head())
    assert second.state("words") == first.state("words") == {"counts": {"a": 1, "b": 1, "c": 1}, "last": 3}


def test_what_had_to_be_read_at_the_start_is_worth_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "SNAPSHOT_EVERY", 3)
    log = MemoryLog(Ticking())
    filled(log, [("a", "left"), ("b", "other"), ("b", "right"), ("c", "left")])
    folds = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    folds.restore(log.head())
    assert folds.due() == ["words"]
    write = folds.snapshot("words")
    log.append("left", [NewEvent("word.said.1", {"word": "d"})], append_id=uuid4())
    folds.feed(log.read(4))  # after the state was taken and before it is written
    write()
    again = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    again.restore(log.head())
    assert again.state("words") == folds.fold(Words).state()
    assert (folds.due(), again.due()) == ([], [])


@pytest.mark.parametrize("content", [b"", b"rubbish", b"00000000\n{}", b"deadbeef\n[1]\n", b"00000000\n"])
def test_a_damaged_snapshot_is_not_used(tmp_path: Path, content: bytes) -> None:
    log = MemoryLog(Ticking())
    states = filled(log, [("a", "left")])
    (tmp_path / "words.1.snapshot").write_bytes(content)
    folds = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    folds.restore(log.head())
    assert folds.state("words") == states[-1]


def test_a_snapshot_of_another_log_or_version_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, other = MemoryLog(Ticking()), MemoryLog(Ticking())
    filled(log, [("a", "left")] * 3)
    folds = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    folds.restore(START)
    folds.feed(log.read())
    folds.save()
    foreign = Folds(other, Snapshots(tmp_path, other.epoch), [Words])
    foreign.restore(other.head())
    assert foreign.state("words")["counts"] == {}
    monkeypatch.setattr(Words, "version", 2)
    renewed = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    renewed.restore(log.head())
    assert renewed.state("words")["counts"] == {"a": 3}


def test_a_snapshot_from_before_what_was_dropped_is_not_used(tmp_path: Path) -> None:
    log = LmdbLog.open(tmp_path / "log", segment_bytes=64 << 10, reserve_bytes=0)
    folds = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    folds.restore(START)
    said = [NewEvent("word.said.1", {"word": "a", "text": "x" * 200})] * 50
    for _ in range(3):
        log.append("left", said, append_id=uuid4())
    folds.feed(log.read())
    folds.save()
    for _ in range(10):
        log.append("left", said, append_id=uuid4())
    assert log.trim(log.boundaries()[-1], {"left"}) > 150
    again = Folds(log, Snapshots(tmp_path, log.epoch), [Words])
    again.restore(log.head())
    assert again.state("words")["counts"] == {"a": 650}
    log.close()


def test_old_versions_of_an_event_pass_their_upcasters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(folding.UPCASTERS, "word.said.0", ("word.said.1", lambda data: {"word": data["text"]}))
    log = MemoryLog(Ticking())
    log.append("left", [NewEvent("word.said.0", {"text": "old"})], append_id=uuid4())
    assert as_of(Words, log)["counts"] == {"old": 1}


def test_what_was_carried_out_of_dropped_segments_counts(tmp_path: Path) -> None:
    log = LmdbLog.open(tmp_path / "log", segment_bytes=64 << 10, reserve_bytes=0, clock=Ticking())
    try:
        for number in range(600):
            event = NewEvent("word.said.1", {"word": "ab"[number % 2], "padding": "x" * 400})
            log.append(("left", "right", "other")[number % 3], [event], append_id=uuid4())
        before = as_of(Words, log)
        past = as_of(Words, log, seq=150)
        boundaries = log.boundaries()
        assert len(boundaries) > 2
        log.trim(boundaries[-1], {"left", "right"})
        assert log.read(START, limit=1)[0].seq > 1
        assert as_of(Words, log) == before
        assert as_of(Words, log, seq=150) == past
    finally:
        log.close()
