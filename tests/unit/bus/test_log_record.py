"""Stored records: they come back as written, or not at all."""

import random
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.log_record import DamagedRecord, StoredEvent, decode, encode, pack_key, summary, verified

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # What UTF-8 cannot hold is refused, see below.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text("abc"), children, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text("abc"), json_values, max_size=4)
events = st.builds(
    StoredEvent,
    seq=st.integers(1, 2**40),
    time=st.floats(0, 4e9),
    stream=st.sampled_from(["print", "users"]),
    type=st.sampled_from(["print.started.1", "user.created.2"]),
    actor=st.none() | objects,
    data=objects,
    append_id=st.uuids(),
)
EVENT = StoredEvent(7, 1.5, "print", "print.started.1", None, {"file": "a.gcode"}, UUID(int=9))


@given(st.lists(events, max_size=5))
def test_events_come_back_as_written(written: list[StoredEvent]) -> None:
    found = decode(encode(event) for event in written)
    assert found == written
    assert [hash(event.append_id) for event in found] == [hash(event.append_id) for event in written]


@given(events, st.data())
def test_any_changed_bit_is_noticed(event: StoredEvent, data: st.DataObject) -> None:
    key, record = encode(event)
    whole = bytearray(key + record)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    if bit // 8 < 4:  # the checksum is seeded with the lower half of the key, which no log outgrows
        return
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedRecord):
        decode([(bytes(whole[:8]), bytes(whole[8:]))])


@given(st.binary(max_size=12), st.binary(max_size=40))
def test_rubbish_is_damage(key: bytes, record: bytes) -> None:
    with pytest.raises(DamagedRecord):
        verified((key, record))


def test_a_record_under_another_number_is_damage() -> None:
    with pytest.raises(DamagedRecord):
        decode([(pack_key(8), encode(EVENT)[1])])


def test_a_newer_record_version_is_refused() -> None:
    key, record = encode(EVENT)
    with pytest.raises(DamagedRecord):
        decode([(key, b"\x02" + record[1:])])


@pytest.mark.parametrize("value", [object(), {1, 2}, "\ud800", 2**64, uuid4])
def test_what_is_not_json_is_a_type_error(value: object) -> None:
    event = StoredEvent(1, 0.0, "a", "b", None, {"value": value}, UUID(int=1))  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        encode(event)


def test_a_summary_is_what_an_index_needs() -> None:
    assert summary(encode(EVENT)) == (7, EVENT.time, "print", UUID(int=9).bytes)


def test_the_form_on_disk_does_not_change() -> None:
    key, record = encode(EVENT)
    assert key.hex() == "0000000000000007"
    assert record[:5].hex() == "010000005a"
    body = b'[1.5,"print","print.started.1",null,"00000000000000000000000000000009",{"file":"a.gcode"}]'
    assert record[9:] == body
    assert verified((key, record)) == (7, body)


def test_decoding_a_page_is_not_mixed_up() -> None:
    source = random.Random(3)  # noqa: S311
    many = [StoredEvent(seq, source.random(), f"s{seq % 3}", "x.1", None, {"n": seq}, uuid4()) for seq in range(1, 200)]
    assert decode([encode(event) for event in many]) == many
