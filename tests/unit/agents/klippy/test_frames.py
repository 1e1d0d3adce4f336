"""Framing: any split, any size up to the bound, and what Klipper's encoder lets through."""

import time
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.klippy.frames import decode, encode
from bus.framing import MAX_FRAME, Frames, FrameTooLong

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(st.binary(max_size=40).filter(lambda part: b"\x03" not in part), max_size=8), st.data())
def test_frames_survive_any_split(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame + b"\x03" for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    splitter, found = Frames(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[start:end])
    assert found == frames


@given(st.integers(1), st.text(), st.dictionaries(st.text(), json_values, max_size=4))
def test_a_request_is_one_frame_whatever_it_carries(number: int, method: str, params: dict[str, object]) -> None:
    number %= 2**53
    (frame,) = Frames().feed(encode(number, method, params))
    assert orjson.loads(frame) == {"id": number, "method": method, "params": params}


def test_ten_megabytes_in_small_pieces_are_one_frame_and_quick() -> None:
    body = b"x" * (10 << 20)
    frames, found = Frames(), []
    started = time.thread_time()
    for at in range(0, len(body), 4096):
        found += frames.feed(body[at : at + 4096])
    found += frames.feed(b"\x03")
    assert found == [body]
    assert time.thread_time() - started < 2


@pytest.mark.parametrize("ending", [b"", b"\x03"])
def test_a_frame_over_the_bound_is_refused(ending: bytes) -> None:
    frames = Frames()
    frames.feed(b"x" * MAX_FRAME)
    with pytest.raises(FrameTooLong):
        frames.feed(b"x" + ending)


def test_many_frames_may_together_be_over_the_bound() -> None:
    frames, part = Frames(), b"x" * (MAX_FRAME - 1)
    assert frames.feed(part + b"\x03" + part) == [part]
    assert frames.feed(b"\x03") == [part]


def test_nan_infinity_and_lone_surrogates_are_read() -> None:
    frame = b'{"a": NaN, "b": [Infinity, -Infinity], "c": "\\ud83d!"}'
    assert decode(frame) == {"a": None, "b": [None, None], "c": "?!"}


@pytest.mark.parametrize("frame", [b"", b"{", b"[]", b"1", b"null", b"\xff\xfe", b'{"a": 1e999999', b"[" * 5000])
def test_anything_else_is_a_value_error(frame: bytes) -> None:
    with pytest.raises(ValueError):
        decode(frame)


@given(st.binary(max_size=64))
def test_random_bytes_raise_nothing_else(frame: bytes) -> None:
    with suppress(ValueError):
        assert isinstance(decode(frame), dict)
