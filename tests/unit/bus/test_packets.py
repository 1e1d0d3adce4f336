"""Reading and writing MQTT packets."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import packets
from bus.packets import Frames, PacketTooLarge, ProtocolError
from tests import mqtt_wire

LENGTHS = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455]
"""The borders between one, two, three and four bytes of remaining length (table 2.4)."""


@pytest.mark.parametrize(("length", "size"), list(zip(LENGTHS, [1, 1, 1, 2, 2, 3, 3, 4, 4], strict=True)))
def test_length_field_at_its_borders(length: int, size: int) -> None:
    field = packets.length_field(length)
    assert len(field) == size
    assert sum((byte & 127) << 7 * index for index, byte in enumerate(field)) == length
    assert [byte >> 7 for byte in field] == [1] * (size - 1) + [0]


SIZES = st.sampled_from([0, 1, 5, 126, 127, 128, 300, 16_383, 16_384])


def cut(frames: Frames, pieces: list[bytes]) -> list[tuple[int, bytes]]:
    return [(first, data[body:end]) for piece in pieces for first, data, _, body, end in frames.feed(piece)]


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(borders)]


@given(
    st.lists(st.tuples(st.integers(0, 255), SIZES), max_size=6),
    st.lists(st.integers(0, 100_000), max_size=12),
)
def test_frames_are_found_however_the_stream_is_cut(wanted: list[tuple[int, int]], cuts: list[int]) -> None:
    expected = [(first, bytes([first ^ 0x55]) * size) for first, size in wanted]
    stream = b"".join(mqtt_wire.packet(first, body) for first, body in expected)
    assert cut(Frames(20_000), split(stream, cuts)) == expected


def test_frames_fed_byte_by_byte() -> None:
    stream = mqtt_wire.publish("a/b", bytes(300)) * 2 + b"\xc0\x00"
    pieces = [stream[index : index + 1] for index in range(len(stream))]
    assert [first for first, _ in cut(Frames(1000), pieces)] == [0x30, 0x30, 0xC0]


@pytest.mark.parametrize("header", [b"\x30\x81\x08", b"\x10\xff\xff\xff\x7f"])
def test_claimed_length_is_refused_before_it_is_buffered(header: bytes) -> None:
    with pytest.raises(PacketTooLarge):
        list(Frames(1024).feed(header))


def test_length_of_more_than_four_bytes_is_refused() -> None:
    with pytest.raises(ProtocolError):
        list(Frames(1024).feed(b"\x30\x80\x80\x80\x80\x01"))


def test_positions_tell_packet_and_body() -> None:
    one, two = mqtt_wire.publish("t", bytes(200)), mqtt_wire.packet(0xC0)
    (first, second) = list(Frames(1024).feed(one + two))
    assert first[1][first[2] : first[4]] == one
    assert second[2:] == (len(one), len(one) + 2, len(one) + 2)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@given(
    client_id=TEXT,
    clean=st.booleans(),
    keep_alive=st.integers(0, 65_535),
    user=st.none() | TEXT,
    secret=st.none() | st.binary(max_size=20),
    will=st.none() | st.builds(mqtt_wire.Will, TEXT, st.binary(max_size=50), st.integers(0, 2), st.booleans()),
)
def test_connect_is_read_as_it_was_written(
    client_id: str, clean: bool, keep_alive: int, user: str | None, secret: bytes | None, will: mqtt_wire.Will | None
) -> None:
    password = secret if user is not None else None
    stream = mqtt_wire.connect(client_id, clean=clean, keep_alive=keep_alive, user=user, password=password, will=will)
    ((_, body),) = cut(Frames(100_000), [stream])
    read = packets.read_connect(body)
    assert (read.client_id, read.clean, read.keep_alive) == (client_id, clean, keep_alive)
    assert (read.user, read.password) == (user, password)
    expected = will and packets.Will(will.topic, will.payload, will.qos, will.retain)
    assert read.will == expected


@given(st.lists(st.tuples(TEXT, st.integers(0, 2)), min_size=1, max_size=10), st.integers(1, 65_535))
def test_subscribe_is_read_as_it_was_written(filters: list[tuple[str, int]], packet_id: int) -> None:
    ((_, body),) = cut(Frames(100_000), [mqtt_wire.subscribe(*filters, packet_id=packet_id)])
    assert packets.read_subscribe(body) == (packet_id, filters)


@given(TEXT, st.binary(max_size=200), st.integers(0, 2), st.booleans(), st.booleans(), st.integers(1, 65_535))
def test_publish_is_written_as_clients_read_it(
    topic: str, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int
) -> None:
    head = packets.publish_head(packets.encode_topic(topic), len(payload), qos, retain=retain, dup=dup)
    stream = head + (packet_id.to_bytes(2, "big") if qos else b"") + payload
    ((first, body),) = cut(Frames(100_000), [stream])
    expected = mqtt_wire.Published(topic, payload, qos, retain, dup, packet_id if qos else 0)
    assert mqtt_wire.Published.read(first, body) == expected


def test_answers_have_the_bytes_of_the_standard() -> None:
    assert packets.connack(0, present=True) == b"\x20\x02\x01\x00"
    assert packets.connack(5) == b"\x20\x02\x00\x05"
    assert packets.acknowledge(packets.PUBREL, 0x1234) == b"\x62\x02\x12\x34"
    assert packets.suback(1, [0, 1, 2, 0x80]) == b"\x90\x06\x00\x01\x00\x01\x02\x80"
    assert packets.unsuback(7) == b"\xb0\x02\x00\x07"
    assert packets.PINGRESP == b"\xd0\x00"
