"""Filtering of changes per websocket."""

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bridge.subscriptions import RECENT, Subscriptions, key_of


class Listener:
    """A websocket that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send_frame(self, data: bytes) -> None:
        self.frames.append(data)

    @property
    def params(self) -> list[Any]:
        """Params of the updates."""
        texts = [data[2 if data[1] < 126 else 4 if data[1] == 126 else 10 :] for data in self.frames]
        messages = [orjson.loads(text) for text in texts]
        assert all(message["method"] == "notify_status_update" for message in messages)
        return [message["params"] for message in messages]


def delta(revision: int, status: dict[str, dict[str, Any]]) -> bytes:
    return orjson.dumps({"revision": revision, "eventtime": float(revision), "status": status})


def test_only_changed_fields_that_were_asked_for() -> None:
    subscriptions, one, two, none = Subscriptions(), Listener(), Listener(), Listener()
    subscriptions.install(one, {"toolhead": ["position"], "fan": None}, 0)
    subscriptions.install(two, {"extruder": ["temperature"]}, 0)
    subscriptions.install(none, {"toolhead": []}, 0)
    subscriptions.on_delta(delta(1, {"toolhead": {"position": [1], "status": "x"}, "extruder": {"target": 5}}))
    subscriptions.on_delta(delta(2, {"fan": {"speed": 1.0, "rpm": None}}))
    assert one.params == [[{"toolhead": {"position": [1]}}, 1.0], [{"fan": {"speed": 1.0, "rpm": None}}, 2.0]]
    assert two.frames == none.frames == []


def test_equal_subscriptions_share_one_frame() -> None:
    subscriptions, listeners = Subscriptions(), [Listener() for _ in range(3)]
    subscriptions.install(listeners[0], {"a": ["x", "y"], "b": None}, 0)
    subscriptions.install(listeners[1], {"b": None, "a": ["y", "x", "y"]}, 0)
    subscriptions.install(listeners[2], {"a": ["x"], "b": None}, 0)
    subscriptions.on_delta(delta(1, {"a": {"x": 1}}))
    first, second, third = (listener.frames[0] for listener in listeners)
    assert first is second
    assert first == third and first is not third


def test_changes_that_overtook_the_answer_are_sent_after_it() -> None:
    subscriptions, listener = Subscriptions(), Listener()
    for revision in (5, 6, 7):
        subscriptions.on_delta(delta(revision, {"a": {"x": revision}}))
    subscriptions.install(listener, {"a": None}, 5)
    assert [params[0]["a"]["x"] for params in listener.params] == [6, 7]


def test_the_memory_of_changes_is_bounded_and_forgets_an_earlier_life_of_the_source() -> None:
    subscriptions, late, fresh = Subscriptions(), Listener(), Listener()
    for revision in range(1, 2 * RECENT):
        subscriptions.on_delta(delta(revision, {"a": {"x": revision}}))
    subscriptions.install(late, {"a": None}, 0)
    assert len(late.frames) == RECENT
    subscriptions.on_delta(delta(1, {"a": {"x": "new"}}))
    subscriptions.install(fresh, {"a": None}, 0)
    assert fresh.params == [[{"a": {"x": "new"}}, 1.0]]


def test_replacing_cancelling_dropping_and_clearing() -> None:
    subscriptions, listener, other = Subscriptions(), Listener(), Listener()
    subscriptions.install(listener, {"a": None}, 0)
    subscriptions.install(listener, {"b": None}, 0)
    subscriptions.on_delta(delta(1, {"a": {"x": 1}}))
    assert listener.frames == []
    subscriptions.install(listener, {}, 1)
    subscriptions.on_delta(delta(2, {"b": {"x": 1}}))
    assert listener.frames == [] and len(subscriptions) == 0
    subscriptions.install(listener, {"a": None}, 2)
    subscriptions.install(other, {"a": None}, 2)
    subscriptions.drop(listener)
    subscriptions.drop(listener)
    subscriptions.on_delta(delta(3, {"a": {"x": 1}}))
    assert listener.frames == [] and len(other.frames) == 1
    subscriptions.clear()
    subscriptions.on_delta(delta(4, {"a": {"x": 1}}))
    assert len(other.frames) == 1


names = st.sampled_from("abcd")
fields = st.dictionaries(names, st.integers(0, 9), min_size=1)


@given(st.dictionaries(names, st.none() | st.lists(names)), st.lists(st.dictionaries(names, fields), max_size=10))
def test_a_client_that_merges_updates_has_the_state_it_asked_for(
    objects: dict[str, list[str] | None], changes: list[dict[str, dict[str, int]]]
) -> None:
    subscriptions, listener = Subscriptions(), Listener()
    subscriptions.install(listener, objects, 0)
    merged: dict[str, dict[str, int]] = {}
    expected: dict[str, dict[str, int]] = {}
    for revision, status in enumerate(changes, 1):
        subscriptions.on_delta(delta(revision, status))
        for name, values in status.items():
            wanted = objects.get(name, [])
            for field, value in values.items():
                if wanted is None or field in wanted:
                    expected.setdefault(name, {})[field] = value
    for status, _ in listener.params:
        for name, values in status.items():
            merged.setdefault(name, {}).update(values)
    assert merged == expected


def test_keys_tell_all_fields_from_none() -> None:
    assert key_of({"a": None}) != key_of({"a": []})
