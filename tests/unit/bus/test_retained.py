"""The retained store: found by filter, and bounded."""

from hypothesis import given
from hypothesis import strategies as st

from bus.access import Identity, Role
from bus.limits import Limits
from bus.retained import ENTRY_OVERHEAD, RetainedStore
from tests.unit.bus.test_matching import FILTERS, TOPICS, matches

LOCAL = Identity("printbus", Role.BUS, transport="local")
ONE, TWO = Identity("one", Role.CLIENT), Identity("two", Role.CLIENT)


@given(st.lists(st.tuples(TOPICS, st.sampled_from([b"", b"x", b"y"])), max_size=30), FILTERS)
def test_match_agrees_with_single_filters(changes: list[tuple[str, bytes]], name: str) -> None:
    store, expected = RetainedStore(Limits()), dict[str, bytes]()
    for topic, payload in changes:
        assert store.put(topic, payload, 0, ONE)
        expected[topic] = payload
    expected = {topic: payload for topic, payload in expected.items() if payload}
    assert len(store) == len(expected)
    found = {entry.topic: entry.payload for entry in store.match(name)}
    assert found == {topic: payload for topic, payload in expected.items() if matches(name, topic)}


def test_everything_is_given_back_when_all_is_cleared() -> None:
    store = RetainedStore(Limits())
    for payload in (b"12345", b"1", b""):
        for topic in ("a", "a/b", "a/b/c", "a//c"):
            store.put(topic, payload, 1, ONE if payload == b"1" else TWO)
    assert (len(store), store.counted_bytes, store._sizes, store._root.children) == (0, 0, {}, {})


def test_taking_over_a_topic_moves_its_size_to_the_new_sender() -> None:
    store = RetainedStore(Limits(retained_bytes=ENTRY_OVERHEAD + 11))
    assert store.put("t", bytes(10), 0, ONE)
    assert not store.put("u", b"x", 0, ONE)
    assert store.put("t", bytes(10), 0, TWO)
    assert store.put("u", b"x", 0, ONE)
    assert not store.put("v", b"x", 0, TWO)
    assert store.put("t", bytes(100), 0, LOCAL)
    assert store.put("v", b"x", 0, TWO)


def test_refused_message_leaves_the_old_one() -> None:
    store = RetainedStore(Limits(retained_bytes=ENTRY_OVERHEAD + 11))
    store.put("t", b"old", 1, ONE)
    assert not store.put("t", bytes(1000), 1, ONE)
    entry = store.get("t")
    assert entry is not None and entry.payload == b"old"
