"""Topic filters and the subscription trie, against a plain reading of the standard."""

from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.matching import Trie, covers, filter_fault, overlaps, too_long, topic_fault

LEVELS = st.sampled_from(["", "a", "b", "ab", "$x", "ä"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
FILTERS = st.builds(
    lambda front, last: "/".join([*front, last]),
    st.lists(st.sampled_from(["", "a", "b", "ab", "$x", "+"]), max_size=4),
    st.sampled_from(["", "a", "b", "ab", "$x", "+", "#"]),
).filter(bool)


def matches(name: str, topic: str) -> bool:
    """Section 4.7, level by level."""
    if topic.startswith("$") and name[0] in "+#":
        return False
    wanted, given_ = name.split("/"), topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index >= len(given_) or level not in ("+", given_[index]):
            return False
    return len(wanted) == len(given_)


@pytest.mark.parametrize(
    ("name", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/broker", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/broker", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("a", "A", False),
        ("#", "/", True),
        ("a/b/c", "a/b", False),
    ],
)
def test_examples_of_the_standard(name: str, topic: str, expected: bool) -> None:
    trie: Trie[str] = Trie()
    trie.add(name, "x")
    assert bool(trie.match(topic)) is expected
    assert matches(name, topic) is expected


@given(st.lists(st.tuples(FILTERS, st.integers(0, 3), st.integers(0, 2)), max_size=30), st.lists(TOPICS, max_size=8))
def test_trie_finds_what_single_filters_match(subscriptions: list[tuple[str, int, int]], topics: list[str]) -> None:
    trie: Trie[int] = Trie()
    expected = {}
    for name, key, qos in subscriptions:
        trie.add(name, key, qos)
        expected[name, key] = qos
    assert len(trie) == len(expected)
    for topic in topics:
        found: dict[int, int] = {}
        for (name, key), qos in expected.items():
            if matches(name, topic):
                found[key] = max(qos, found.get(key, 0))
        assert trie.match(topic) == found


@given(st.lists(st.tuples(FILTERS, st.integers(0, 3)), max_size=30), st.lists(TOPICS, max_size=4))
def test_trie_is_empty_after_all_is_discarded(subscriptions: list[tuple[str, int]], topics: list[str]) -> None:
    trie: Trie[int] = Trie()
    for name, key in subscriptions:
        trie.add(name, key)
    for name, key in set(subscriptions):
        assert trie.discard(name, key)
        assert not trie.discard(name, key)
    assert len(trie) == 0
    assert not any(trie.match(topic) for topic in topics)
    assert not trie._root.children


@given(FILTERS)
def test_well_formed_filters_are_accepted(name: str) -> None:
    assert filter_fault(name) is None


@pytest.mark.parametrize("name", ["", "a/#/b", "a#", "#a", "#/", "a+", "+a/b", "a/b+/c", "a\0"])
def test_malformed_filters_are_named(name: str) -> None:
    assert filter_fault(name)


@pytest.mark.parametrize("topic", ["", "+", "a/#", "a+b", "a\0b"])
def test_malformed_topics_are_named(topic: str) -> None:
    assert topic_fault(topic)


def test_length_counts_bytes_and_levels() -> None:
    assert not too_long("a/b/c", levels=3, size=10)
    assert too_long("a/b/c/d", levels=3, size=10)
    assert not too_long("ä" * 5, levels=3, size=10)
    assert too_long("ä" * 6, levels=3, size=11)


def test_hostile_filters_cost_no_more_than_their_nodes() -> None:
    trie: Trie[int] = Trie()
    for mask in range(512):
        trie.add("/".join("+" if mask >> bit & 1 else "a" for bit in range(9)), mask)
    assert len(trie.match("a/a/a/a/a/a/a/a/a")) == 512
    assert trie.match("a/a/a/a/a/a/a/a/a/a") == {}


def witness(one: str, other: str) -> str:
    """A topic that both filters match, if there is any."""
    pairs = zip_longest(one.split("/"), other.split("/"))
    chosen = [next((level for level in pair if level not in (None, "+", "#")), "a") for pair in pairs]
    return "/".join(str(level) for level in chosen)


@given(FILTERS, FILTERS)
def test_filters_overlap_where_a_topic_matches_both(one: str, other: str) -> None:
    topic = witness(one, other)
    shorter = topic.rpartition("/")[0]  # `a/#` matches `a` too
    assert overlaps(one, other) is any(matches(one, each) and matches(other, each) for each in (topic, shorter))
    assert overlaps(one, other) is overlaps(other, one)


@given(FILTERS, FILTERS, TOPICS)
def test_a_filter_covers_another_where_it_matches_all_its_topics(wide: str, narrow: str, topic: str) -> None:
    if covers(wide, narrow):
        assert overlaps(wide, narrow)
        assert not matches(narrow, topic) or matches(wide, topic)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("#", "a/+/b", True),
        ("a/#", "a", True),
        ("a/+", "a/#", False),
        ("+/b", "a/b", True),
        ("a/b", "a/+", False),
        ("#", "$SYS/#", False),
        ("$SYS/#", "$SYS/+", True),
        ("a", "a/b", False),
        ("a/b", "a", False),
    ],
)
def test_covering(wide: str, narrow: str, expected: bool) -> None:
    assert covers(wide, narrow) is expected
