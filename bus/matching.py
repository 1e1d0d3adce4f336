"""Topic filters: their syntax, and the trie that finds the subscriptions a topic matches."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Generic, TypeVar

K = TypeVar("K")


def topic_fault(topic: str) -> str | None:
    """Why this is no topic name (MQTT 3.1.1 section 4.7), or None."""
    if not topic:
        return "a topic is empty"
    if "\0" in topic:
        return "a topic contains NUL"
    if "+" in topic or "#" in topic:
        return "a topic contains a wildcard"
    return None


def filter_fault(name: str) -> str | None:
    """Why this is no topic filter (MQTT 3.1.1 section 4.7), or None."""
    if not name:
        return "a filter is empty"
    if "\0" in name:
        return "a filter contains NUL"
    if "+" not in name and "#" not in name:
        return None
    *front, last = name.split("/")
    if ("#" in last and last != "#") or any("#" in level for level in front):
        return "# must stand alone on the last level"
    if any("+" in level and level != "+" for level in (*front, last)):
        return "+ must stand alone on its level"
    return None


def too_long(topic: str, *, levels: int, size: int) -> bool:
    """Whether a topic or filter has more levels or UTF-8 bytes than allowed."""
    if topic.count("/") >= levels:
        return True
    return len(topic) > size or (len(topic) * 4 > size and len(topic.encode()) > size)


def covers(wide: str, narrow: str) -> bool:
    """Whether each topic that the filter `narrow` matches is matched by `wide`; may miss some cases."""
    if narrow.startswith("$") and wide[0] in "+#":
        return False
    inner = narrow.split("/")
    levels = wide.split("/")
    for index, level in enumerate(levels):
        if level == "#":
            return True
        if index == len(inner) or inner[index] == "#" or level not in ("+", inner[index]):
            return False
    return len(inner) == len(levels)


def overlaps(one: str, other: str) -> bool:
    """Whether some topic matches both filters."""
    if one.startswith("$") != other.startswith("$"):
        return False
    for left, right in zip_longest(one.split("/"), other.split("/")):
        if "#" in (left, right):
            return True
        if left != right and (left is None or right is None or "+" not in (left, right)):
            return False
    return True


class _Node(Generic[K]):
    __slots__ = ("children", "here", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node[K]] = {}
        self.here: dict[K, int] = {}
        self.rest: dict[K, int] = {}


class Trie(Generic[K]):
    """Subscriptions, each a filter, a key and a QoS; a match costs what its levels cost, however many there are."""

    def __init__(self) -> None:
        self._root: _Node[K] = _Node()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, key: K, qos: int = 0) -> None:
        """Subscribe `key` to a valid filter; the same key and filter again replaces the QoS."""
        node, levels = self._root, name.split("/")
        rest = levels[-1] == "#"
        for level in levels[:-1] if rest else levels:
            node = node.children.setdefault(level, _Node())
        keys = node.rest if rest else node.here
        self._count += key not in keys
        keys[key] = qos

    def discard(self, name: str, key: K) -> bool:
        """Remove a subscription and the branches it leaves empty; False when there was none."""
        levels = name.split("/")
        rest = levels[-1] == "#"
        path = self._path(levels[:-1] if rest else levels)
        if path is None:
            return False
        keys = path[-1].rest if rest else path[-1].here
        if keys.pop(key, None) is None:
            return False
        self._count -= 1
        self._prune(path, levels)
        return True

    def _path(self, levels: list[str]) -> list[_Node[K]] | None:
        path = [self._root]
        for level in levels:
            node = path[-1].children.get(level)
            if node is None:
                return None
            path.append(node)
        return path

    @staticmethod
    def _prune(path: list[_Node[K]], levels: list[str]) -> None:
        for index in range(len(path) - 1, 0, -1):
            node = path[index]
            if node.children or node.here or node.rest:
                return
            del path[index - 1].children[levels[index - 1]]

    def match(self, topic: str) -> dict[K, int]:
        """Each key with a matching filter, once, with the highest QoS (section 3.3.5)."""
        found: dict[K, int] = {}
        for keys in self._matching(topic):
            for key, qos in keys.items():
                if found.get(key, -1) < qos:
                    found[key] = qos
        return found

    def _matching(self, topic: str) -> Iterator[dict[K, int]]:
        # `$` topics are not matched by a wildcard on the first level (section 4.7.2).
        wild = not topic.startswith("$")
        nodes = [self._root]
        for level in topic.split("/"):
            following: list[_Node[K]] = []
            for node in nodes:
                if wild and node.rest:
                    yield node.rest
                if (child := node.children.get(level)) is not None:
                    following.append(child)
                if wild and (child := node.children.get("+")) is not None:
                    following.append(child)
            if not following:
                return
            nodes, wild = following, True
        for node in nodes:
            if node.here:
                yield node.here
            if node.rest:
                yield node.rest

    def has_first_level(self, level: str) -> bool:
        """Whether some filter starts with this level."""
        return level in self._root.children
