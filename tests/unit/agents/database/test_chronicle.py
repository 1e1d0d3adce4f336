"""The fold of the database: the same from all facts, from a snapshot and the rest, and from restated facts."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from agents.database.chronicle import COMPACTED, DELETED, SET, STREAM, Namespaces
from agents.database.past import restated
from bus.fold import Folds, Snapshots, advance, as_of
from bus.log import START, MemoryLog, NewEvent

from .test_tree import LIMITS, PATHS, VALUES, limits

NOBODY = UUID(int=0)
SPACES = st.sampled_from(["one", "two"])
SETS = st.builds(
    lambda space, key, value: (SET, {"namespace": space, "key": key, "value": value}), SPACES, PATHS, VALUES
)
DELETES = st.builds(lambda space, key: (DELETED, {"namespace": space, "key": key}), SPACES, PATHS)
FACTS = st.lists(SETS | DELETES | st.just((COMPACTED, {})), max_size=12)


def logged(facts: list[tuple[str, Any]]) -> MemoryLog:
    log = MemoryLog()
    for kind, data in facts:
        log.append(STREAM, [NewEvent(kind, data)], append_id=uuid4())
    return log


def folded(log: MemoryLog) -> Namespaces:
    fold = Namespaces()
    advance(fold, log, START)
    return fold


def everything(fold: Namespaces) -> tuple[Any, int]:
    return fold.state(), fold.compacted


@given(FACTS, LIMITS)
def test_a_snapshot_at_any_cut_and_the_rest_give_what_all_facts_give(facts: Any, sizes: tuple[int, int, int]) -> None:
    with limits(sizes):
        log = logged(facts)
        whole = Namespaces()
        advance(whole, log, START)
        for cut in range(len(facts) + 1):
            fold = Namespaces()
            advance(fold, log, START, until=cut)
            for again in (
                Namespaces.revived(iter([line + b"\n" for line in fold.saved()])),
                Namespaces.restored(fold.state()),
            ):
                again.compacted = fold.compacted
                advance(again, log, cut) if cut else advance(again := Namespaces(), log, START)
                assert everything(again) == everything(whole)


@given(FACTS, FACTS, LIMITS)
def test_restated_facts_give_the_same_and_go_on(before: Any, after: Any, sizes: tuple[int, int, int]) -> None:
    with limits(sizes):
        log = logged(before)
        state = as_of(Namespaces, log)
        facts, _, size = restated(folded(log), log)
        for fact in facts:
            log.append(STREAM, [fact], append_id=uuid4())
        assert as_of(Namespaces, log) == state
        assert restated(folded(log), log)[1] == size
        for kind, data in after:
            log.append(STREAM, [NewEvent(kind, data)], append_id=uuid4())
        assert as_of(Namespaces, log) == as_of(Namespaces, logged([*before, *after]))


def test_a_restart_takes_a_snapshot_up_and_a_damaged_one_does_not_matter(tmp_path: Path) -> None:
    value = {f"k{number}": "x" * 200 for number in range(500)}
    log = logged([(SET, {"namespace": "one", "key": ["a"], "value": value})])
    first = Folds(log, Snapshots(tmp_path, log.epoch), [Namespaces])
    first.restore(START)
    first.feed(log.read())
    first.save()
    [path] = tmp_path.iterdir()
    content = path.read_bytes()
    log.append(STREAM, [NewEvent(DELETED, {"namespace": "one", "key": ["a", "k7"]})], append_id=uuid4())
    for damaged in (content, content[:-1], content.replace(b"k8", b"k9", 1), content[: len(content) // 2]):
        path.write_bytes(damaged)
        folds = Folds(log, Snapshots(tmp_path, log.epoch), [Namespaces])
        folds.restore(log.head())
        assert folds.state("database") == {"one": {"a": {key: value[key] for key in value if key != "k7"}}}


def test_restating_forgets_what_values_were_before() -> None:
    facts = [(SET, {"namespace": "one", "key": ["a", "b"], "value": number}) for number in range(100)]
    log = logged([*facts, (SET, {"namespace": "gone", "key": ["a"], "value": "x" * 5000})])
    log.append(STREAM, [NewEvent(DELETED, {"namespace": "gone", "key": ["a"]})], append_id=uuid4())
    facts_now, old, new = restated(folded(log), log)
    assert (len(facts_now), new < 150, old > 10_000) == (1, True, True)
