"""Indexes: what they remember, for how long, and that a damaged file is none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.log_index import APPEND_WINDOW, TIME_MARK, AppendWindow, EventIndex, SegmentIndex, build, load, load_head
from bus.log_record import Summary


def some_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_the_latest_appends_are_remembered() -> None:
    window = AppendWindow()
    for number in range(1, 3 * APPEND_WINDOW):
        window.add(some_id(number), number)
    newest = 3 * APPEND_WINDOW - 1
    assert all(window.get(some_id(number)) == number for number in range(newest - APPEND_WINDOW + 1, newest + 1))
    assert window.get(some_id(newest - 2 * APPEND_WINDOW)) is None
    assert window.latest() == [(some_id(number), number) for number in range(newest - APPEND_WINDOW + 1, newest + 1)]


@given(st.lists(st.sampled_from("abc"), max_size=60), st.sampled_from("abcd"), st.integers(-1, 70), st.integers(0, 10))
def test_a_stream_is_found_by_position(streams: list[str], stream: str, after: int, limit: int) -> None:
    index = EventIndex()
    for seq, name in enumerate(streams, 1):
        index.add(Summary(seq, 0.0, name, some_id(seq)))
    wanted = [seq for seq, name in enumerate(streams, 1) if name == stream and seq > after]
    assert list(index.after(stream, max(after, 0), limit)) == wanted[:limit]


@given(st.lists(st.floats(1, 100), max_size=6 * TIME_MARK), st.floats(0, 101))
def test_a_time_is_found_near_its_mark_however_the_clock_jumped(times: list[float], wanted: float) -> None:
    index = EventIndex()
    for seq, time in enumerate(times, 1):
        index.add(Summary(seq, time, "a", some_id(seq)))
    first = next((number for number, time in enumerate(times) if time >= wanted), len(times))
    assert index.before(wanted) <= first <= index.before(wanted) + TIME_MARK


def an_index(segment: Path) -> SegmentIndex:
    segment.write_bytes(b"records")
    rows = [(5, 10.0, "a", some_id(1)), (6, 30.0, "b", some_id(2)), (7, 20.0, "a", some_id(2))]
    made = build(5, [Summary(*row) for row in rows])
    made.follow(SegmentIndex(1, 4, tails={"a": 2, "old": 4}, appends=[(some_id(9), 4)]))
    return made


def test_an_index_is_read_back(tmp_path: Path) -> None:
    segment = tmp_path / "seg.mdb"
    an_index(segment).save(segment, "digest")
    found, head = load(segment), load_head(segment)
    assert found is not None
    assert head is not None
    assert (head.first, head.last, head.digest, head.tails) == (5, 7, "digest", {})
    assert found.tails == {"a": 7, "b": 6, "old": 4}
    assert found.appends == [(some_id(9), 4), (some_id(1), 5), (some_id(2), 7)]
    assert list(found.index.after("a", 0, 9)) == [5, 7]
    assert (found.latest, head.latest, list(found.index.marks)) == (30.0, 30.0, [10.0])
    assert found.fits(segment)
    segment.write_bytes(b"more records")
    assert not found.fits(segment)


def test_an_index_with_any_byte_changed_or_missing_is_none(tmp_path: Path) -> None:
    segment, place = tmp_path / "seg.mdb", tmp_path / "seg.idx"
    an_index(segment).save(segment)
    content = place.read_bytes()
    for at in range(len(content) - 1):
        place.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        assert load_head(segment) is None
        place.write_bytes(content[:at])
        assert load(segment) is None


@pytest.mark.parametrize("content", [b"", b"\n\n\n", b"00000000 \n00000000 \n00000000 \n", b"\xff" * 99])
def test_rubbish_is_no_index(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "seg.idx").write_bytes(content)
    assert load(tmp_path / "seg.mdb") is None
    assert load(tmp_path / "other.mdb") is None
