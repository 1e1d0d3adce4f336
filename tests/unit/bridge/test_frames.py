"""Framing: any split, fragments, and what a client may not send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.frames import (
    BINARY,
    CLOSE,
    PING,
    TEXT,
    FrameReader,
    Violation,
    close_code,
    close_frame,
    frame,
    require_text,
    unmask,
)

from .ws_client import masked

LIMIT = 70_000


def read(*chunks: bytes, limit: int = LIMIT) -> list[tuple[int, bytes]]:
    """The messages in what arrives."""
    found: list[tuple[int, bytes]] = []
    reader = FrameReader(limit, lambda opcode, payload: found.append((opcode, payload)))
    for chunk in chunks:
        reader.feed(chunk)
    return found


def refused(data: bytes, limit: int = LIMIT) -> int:
    """The close code with which bytes are refused."""
    with pytest.raises(Violation) as caught:
        read(data, limit=limit)
    return caught.value.code


@given(st.lists(st.tuples(st.sampled_from((TEXT, BINARY, PING)), st.binary(max_size=125)), max_size=5), st.data())
def test_messages_survive_any_split(messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
    wire = b"".join(masked(opcode, payload) for opcode, payload in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    chunks = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert read(*chunks) == messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536])
def test_each_length_form_is_read_and_written(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    assert read(masked(BINARY, payload)) == [(BINARY, payload)]
    written = frame(BINARY, payload)
    assert written.endswith(payload)
    assert len(written) == size + (2 if size < 126 else 4 if size < 65536 else 10)


def test_byte_by_byte() -> None:
    wire = masked(TEXT, b"a" * 300) + masked(PING, b"?")
    assert read(*(bytes((byte,)) for byte in wire)) == [(TEXT, b"a" * 300), (PING, b"?")]


def test_fragments_with_a_ping_between_them() -> None:
    wire = masked(TEXT, b"one ", fin=False) + masked(PING, b"") + masked(0, b"two ", fin=False) + masked(0, b"three")
    assert read(wire, masked(TEXT, b"next")) == [(PING, b""), (TEXT, b"one two three"), (TEXT, b"next")]


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_unmask_is_xor_with_the_repeated_key(payload: bytes, key: bytes) -> None:
    assert unmask(payload, key) == bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x01a",  # not masked
        masked(0x41, b"x"),  # reserved bit
        masked(3, b"x"),  # reserved opcode
        masked(0xB, b"x"),  # reserved control opcode
        masked(0, b"x"),  # continues nothing
        masked(TEXT, b"x", fin=False) + masked(TEXT, b"y"),  # a new message inside another
        masked(PING, b"x", fin=False),  # control frames are whole
        masked(PING, b"x" * 126),  # and small
    ],
    ids=["unmasked", "reserved bit", "opcode 3", "opcode 11", "continuation", "interleaved", "ping part", "big ping"],
)
def test_protocol_errors_are_1002(data: bytes) -> None:
    assert refused(data) == 1002


def test_too_big_is_refused_by_the_header_alone() -> None:
    assert refused(masked(TEXT, b"x" * 1001)[:8], limit=1000) == 1009
    assert refused(masked(TEXT, b"x" * 600, fin=False) + masked(0, b"x" * 600)[:8], limit=1000) == 1009


def test_the_limit_itself_is_allowed_again_and_again() -> None:
    part = masked(TEXT, b"x" * 500, fin=False) + masked(0, b"x" * 500)
    assert read(part, part, limit=1000) == [(TEXT, b"x" * 1000)] * 2


def test_stop_ends_the_reading_within_a_chunk() -> None:
    found: list[bytes] = []

    def deliver(_: int, payload: bytes) -> None:
        found.append(payload)
        reader.stop()

    reader = FrameReader(LIMIT, deliver)
    reader.feed(masked(TEXT, b"1") + masked(TEXT, b"2"))
    reader.feed(masked(TEXT, b"3"))
    assert found == [b"1"]


@pytest.mark.parametrize(
    ("payload", "code"), [(b"", 1005), (b"\x03\xe8", 1000), (b"\x03\xe9bye", 1001), (b"\x0b\xb8", 3000)]
)
def test_close_codes_that_may_be_sent(payload: bytes, code: int) -> None:
    assert close_code(payload) == code


@pytest.mark.parametrize(
    "payload", [b"\x03", b"\x00\x00", b"\x03\xec", b"\x03\xed", b"\x03\xee", b"\x03\xf7", b"\x04\x4c", b"\xff\xff"]
)
def test_close_codes_that_may_not(payload: bytes) -> None:
    with pytest.raises(Violation) as caught:
        close_code(payload)
    assert caught.value.code == 1002


def test_text_must_be_utf8() -> None:
    require_text("grüße".encode())
    for bad in (b"\xff\xfe", b"\xc3", b"\xed\xa0\x80"):
        with pytest.raises(Violation) as caught:
            require_text(bad)
        assert caught.value.code == 1007
    with pytest.raises(Violation):
        close_code(b"\x03\xe8\xff")


def test_a_close_frame_stays_small() -> None:
    assert close_frame(1001, "x" * 200) == bytes((0x80 | CLOSE, 125)) + b"\x03\xe9" + b"x" * 123
