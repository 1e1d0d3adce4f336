"""Which websocket follows which printer objects, and the status updates that each one gets."""

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol, TypeGuard

import orjson

from schemas.printer import STATUS_UPDATE

from .frames import TEXT, frame

RECENT = 64  # deltas kept for subscriptions whose answer is still on its way: 16 s at Klipper's 4 Hz

Objects = Mapping[str, list[str] | None]
Status = dict[str, dict[str, Any]]


def are_objects(value: object) -> TypeGuard[Objects]:
    """Whether a value has the shape of `objects` in a request."""
    return isinstance(value, dict) and all(
        fields is None or (isinstance(fields, list) and all(isinstance(field, str) for field in fields))
        for fields in value.values()
    )


class Follower(Protocol):
    """A websocket that can be sent finished frames."""

    def send_frame(self, data: bytes) -> None: ...


class Delta:
    """Fields that changed, at Klipper's time, with the revision that orders changes and full states.

    Parsed when somebody wants it: most of the time nobody follows anything.
    """

    __slots__ = ("_parsed", "_payload")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._parsed: dict[str, Any] | None = None

    @property
    def revision(self) -> int:
        """Its place in the order."""
        return int(self._get("revision"))

    @property
    def eventtime(self) -> float:
        """Klipper's time."""
        return float(self._get("eventtime"))

    @property
    def status(self) -> Status:
        """The fields by object."""
        status: Status = self._get("status")
        return status

    def _get(self, name: str) -> Any:
        if self._parsed is None:
            self._parsed = orjson.loads(self._payload)
        return self._parsed[name]


class Group:
    """All followers of exactly the same objects and fields: filtered and encoded once for all of them."""

    __slots__ = ("_fields", "followers")

    def __init__(self, objects: Objects) -> None:
        self._fields = {name: None if fields is None else frozenset(fields) for name, fields in objects.items()}
        self.followers: set[Follower] = set()

    def update(self, delta: Delta) -> bytes | None:
        """The frame with what was asked for and changed; None where that is nothing."""
        status = self._pick(delta.status)
        if not status:
            return None
        message = {"jsonrpc": "2.0", "method": STATUS_UPDATE.name, "params": [status, delta.eventtime]}
        return frame(TEXT, orjson.dumps(message))

    def _pick(self, changed: Status) -> Status:
        picked: Status = {}
        for name, values in changed.items():
            fields = self._fields.get(name, ())
            if fields is None:
                picked[name] = values
            elif fields and (wanted := {field: value for field, value in values.items() if field in fields}):
                picked[name] = wanted
        return picked


def key_of(objects: Objects) -> bytes:
    """Equal for equal subscriptions, in whatever order they were written."""
    plain = {name: None if fields is None else sorted(set(fields)) for name, fields in objects.items()}
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


class Subscriptions:
    """One subscription per websocket; a new one replaces it."""

    def __init__(self) -> None:
        self._groups: dict[bytes, Group] = {}
        self._keys: dict[Follower, bytes] = {}
        self._recent: deque[Delta] = deque(maxlen=RECENT)

    def __len__(self) -> int:
        return len(self._keys)

    def install(self, follower: Follower, objects: Objects, revision: int) -> None:
        """Follows objects from the state with this revision on; changes that overtook that state are sent now."""
        self.drop(follower)
        if not objects:
            return
        key = key_of(objects)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = Group(objects)
        group.followers.add(follower)
        self._keys[follower] = key
        for delta in self._since(revision):
            if update := group.update(delta):
                follower.send_frame(update)

    def _since(self, revision: int) -> list[Delta]:
        """The changes after a state, in order; a source that has started anew began with low revisions again."""
        found: list[Delta] = []
        for delta in reversed(self._recent):
            if delta.revision <= revision or (found and delta.revision >= found[-1].revision):
                break
            found.append(delta)
        return found[::-1]

    def drop(self, follower: Follower) -> None:
        """Ends the subscription of a websocket."""
        key = self._keys.pop(follower, None)
        if key is None:
            return
        followers = self._groups[key].followers
        followers.discard(follower)
        if not followers:
            del self._groups[key]

    def clear(self) -> None:
        """Ends all subscriptions: Klipper is gone."""
        self._groups.clear()
        self._keys.clear()
        self._recent.clear()

    def on_delta(self, payload: bytes) -> None:
        """Sends each group its part of what changed."""
        delta = Delta(payload)
        self._recent.append(delta)
        for group in list(self._groups.values()):
            update = group.update(delta)
            if update is not None:
                for follower in list(group.followers):
                    follower.send_frame(update)
