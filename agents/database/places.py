"""Where a value is, and who may do what there (behaviours.md section 11)."""

from collections.abc import Iterator
from dataclasses import dataclass

from bus.errors import Forbidden, InvalidParams

from .tree import DEEPEST_KEY

READ_ONLY = frozenset({"moonraker", "gcode_metadata", "history", "update_manager", "announcements"})
FORBIDDEN = frozenset({"database", "simplyprint"})

Key = str | list[str] | None


@dataclass(frozen=True, slots=True)
class Place:
    """A key of a namespace; without a path all of it."""

    namespace: str
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = ".".join(self.path)
        return f"key '{name}' in namespace '{self.namespace}'" if self.path else f"namespace '{self.namespace}'"

    def leads_to(self, other: "Place") -> bool:
        """Whether the other is the same place, or inside."""
        return self.namespace == other.namespace and other.path[: len(self.path)] == self.path

    def outwards(self) -> Iterator["Place"]:
        """The place, what it is inside, and so on up to the namespace."""
        for depth in range(len(self.path), -1, -1):
            yield Place(self.namespace, self.path[:depth])


def readable(namespace: str, key: Key) -> Place:
    """What a client may read; raises Forbidden and InvalidParams."""
    if namespace in FORBIDDEN:
        raise Forbidden(f"Namespace '{namespace}' is not for clients")
    return any_place(namespace, key)


def writable(namespace: str, key: Key) -> Place:
    """What a client may change; raises Forbidden and InvalidParams."""
    if namespace in READ_ONLY:
        raise Forbidden(f"Namespace '{namespace}' can only be read")
    return readable(namespace, key)


def any_place(namespace: str, key: Key) -> Place:
    """A place, whoever may go there; raises InvalidParams."""
    if key is None:
        return Place(namespace)
    names = tuple(key.split(".") if isinstance(key, str) else key)
    if not names or not all(names):
        raise InvalidParams("A key, and each part of it, must have a name")
    if len(names) > DEEPEST_KEY:
        raise InvalidParams(f"A key has at most {DEEPEST_KEY} parts")
    return Place(namespace, names)
