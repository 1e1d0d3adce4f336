"""Checkpoints: whatever is dropped, a fold from the start sees the same events."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import log_checkpoint
from bus.log import NewEvent, StoredEvent
from bus.log_checkpoint import CHECKPOINT, checkpoint, expand, whole_history


def an_event(seq: int, kind: str = "user.created.1", **data: object) -> StoredEvent:
    return StoredEvent(seq, seq / 2, "users", kind, {"user": "ada"}, {"n": seq, **data}, UUID(int=seq))  # type: ignore[dict-item]


def placed(events: list[NewEvent], first: int) -> list[StoredEvent]:
    """New events as they are stored from a position on."""
    return [
        StoredEvent(seq, 99.0, "users", event.type, event.actor, event.data, UUID(int=seq))
        for seq, event in enumerate(events, first)
    ]


def in_pages(events: list[StoredEvent]) -> list[StoredEvent]:
    """What is known of a stream that is read two events at a time."""
    return list(whole_history(lambda after: [event for event in events if event.seq > after][:2]))


def essence(events: list[StoredEvent]) -> list[tuple[object, ...]]:
    return [(event.seq, event.time, event.stream, event.type, event.actor, event.data) for event in events]


@given(st.integers(0, 12), st.integers(0, 5), st.integers(1, 400))
def test_a_checkpoint_stands_for_what_came_before(before: int, after: int, part_bytes: int) -> None:
    old = [an_event(seq) for seq in range(1, before + 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_checkpoint, "PART_BYTES", part_bytes)
        parts = placed(checkpoint(old), 100)
    new = [an_event(seq) for seq in range(200, 200 + after)]
    for kept in range(before + 1):
        whole = [*old[kept:], *parts, *new]
        assert essence(expand(whole)) == essence(in_pages(whole)) == essence([*old, *new])


def test_a_checkpoint_of_a_checkpoint_is_flat() -> None:
    old = [an_event(seq) for seq in range(1, 4)]
    once = [*placed(checkpoint(old), 10), an_event(11)]
    twice = placed(checkpoint(expand(once)), 20)
    assert essence(expand(twice)) == essence([*old, an_event(11)])


def test_a_checkpoint_that_was_not_finished_stands_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_checkpoint, "PART_BYTES", 1)
    old = [an_event(seq) for seq in range(1, 4)]
    parts = checkpoint(old)
    assert len(parts) == 3
    for done in range(1, 3):
        stopped = placed(parts[:done], 10)
        assert essence(expand([*old, *stopped, an_event(20)])) == essence([*old, an_event(20)])
        again = placed(parts, 30)
        whole = [*old, *stopped, *again, an_event(40)]
        assert essence(expand(whole)) == essence(in_pages(whole)) == essence([*old, an_event(40)])


def test_a_checkpoint_names_its_parts() -> None:
    [part] = checkpoint([an_event(3)])
    assert part.type == CHECKPOINT
    assert part.data == {
        "part": 0,
        "parts": 1,
        "events": [[3, 1.5, "user.created.1", {"user": "ada"}, {"n": 3}]],
    }
