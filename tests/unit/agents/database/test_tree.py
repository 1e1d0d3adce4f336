"""The tree of a namespace against nested dictionaries, with limits so small that values are kept in every form."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.database import tree
from agents.database.tree import (
    DEEPEST_VALUE,
    Node,
    cut,
    find,
    graft,
    is_object,
    packed,
    pieces,
    portions,
    put,
    text_of,
)

NAMES = st.sampled_from(["a", "b", "c.d", "ä", '"'])
PATHS = st.lists(NAMES, min_size=1, max_size=4)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner), max_leaves=8)
CHANGES = st.lists(st.tuples(PATHS, VALUES | st.just(...)), max_size=12)
LIMITS = st.sampled_from([(1, 1, 1), (20, 10, 4), (60, 60, 1), (1000, 1, 8), (1000, 1000, 64)])


@contextmanager
def limits(sizes: tuple[int, int, int]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(("LOOK", "TOUCH", "CRUMB"), sizes, strict=True):
            patch.setattr(tree, name, size)
        yield


def model_put(values: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[path[-1]] = deepcopy(value)


def model_find(values: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return ...
        values = values[name]
    return values


def model_cut(values: dict[str, Any], path: list[str]) -> None:
    holder = model_find(values, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def grown(changes: list[tuple[list[str], Any]]) -> tuple[dict[str, Node], dict[str, Any]]:
    members: dict[str, Node] = {}
    model: dict[str, Any] = {}
    for path, value in changes:
        if value is ...:
            cut(members, path)
            model_cut(model, path)
        else:
            put(members, path, text_of(value))
            model_put(model, path, value)
    return members, model


@given(CHANGES, st.lists(PATHS, max_size=8), LIMITS)
def test_it_holds_what_nested_dictionaries_hold(changes: Any, looks: Any, sizes: tuple[int, int, int]) -> None:
    with limits(sizes):
        members, model = grown(changes)
        assert orjson.loads(packed(members)) == model
        for path in looks:
            there, wanted = find(members, path), model_find(model, path)
            assert (there is None) == (wanted is ...)
            assert there is None or orjson.loads(there) == wanted
            assert is_object(members, path) == (None if wanted is ... else isinstance(wanted, dict))


@given(CHANGES, LIMITS)
def test_its_pieces_make_it_again(changes: Any, sizes: tuple[int, int, int]) -> None:
    with limits(sizes):
        members, _ = grown(changes)
        again: dict[str, Node] = {}
        for path, text in pieces(members):
            graft(again, path, text)
        assert packed(again) == packed(members)


@given(CHANGES, st.sampled_from([1, 40, 10_000]), LIMITS)
def test_its_portions_put_together_hold_the_same(changes: Any, size: int, sizes: tuple[int, int, int]) -> None:
    with limits(sizes):
        members, model = grown(changes)
        again: dict[str, Node] = {}
        for path, text in portions(members, size):
            put(again, path, text)
        assert orjson.loads(packed(again)) == model


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def test_the_deepest_value_under_the_deepest_key_can_be_written_and_a_deeper_one_is_refused() -> None:
    members: dict[str, Node] = {}
    put(members, ["a"] * tree.DEEPEST_KEY, text_of(nested(DEEPEST_VALUE)))
    assert orjson.dumps(orjson.loads(packed(members))) == packed(members)
    with pytest.raises(ValueError, match="deep"):
        text_of(nested(DEEPEST_VALUE + 1))


def test_a_piece_inside_another_one_is_refused() -> None:
    members: dict[str, Node] = {"a": b"1"}
    with pytest.raises(ValueError, match="inside"):
        graft(members, ["a", "b"], b"2")


def test_a_large_object_is_kept_member_by_member_but_not_in_crumbs() -> None:
    members: dict[str, Node] = {}
    put(members, ["large"], text_of({f"k{number}": "x" * 500 for number in range(200)}))
    put(members, ["crumbs"], text_of({f"k{number}": number for number in range(20_000)}))
    assert isinstance(members["large"], dict)
    assert isinstance(members["crumbs"], bytes)
    put(members, ["crumbs", "new"], b"1")  # a change of it costs no more than of others, from the first one on
    assert isinstance(members["crumbs"], dict)
    assert find(members, ["crumbs", "k77"]) == b"77"
