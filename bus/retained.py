"""The retained messages of the broker, kept in memory and found by filter."""

from collections.abc import Iterator

from .access import Identity
from .limits import Limits

ENTRY_OVERHEAD = 200
"""Bytes counted for one entry beside its topic and payload."""


class Retained:
    """A retained message: who set it, and what it says."""

    __slots__ = ("number", "payload", "qos", "sender", "topic")

    def __init__(self, topic: str, payload: bytes, qos: int, sender: Identity) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.sender = sender
        self.number = 0
        """Under which it is stored; 0 when it is not."""

    @property
    def size(self) -> int:
        """Bytes this entry counts towards the limits."""
        return len(self.topic) + len(self.payload) + ENTRY_OVERHEAD


class _Node:
    __slots__ = ("children", "entry")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.entry: Retained | None = None


class RetainedStore:
    """Retained messages by topic, bounded per socket client and in total; local sessions are not counted."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._root = _Node()
        self._entries: dict[str, Retained] = {}
        self._sizes: dict[str, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def counted_bytes(self) -> int:
        """Bytes held for socket clients."""
        return self._total

    def get(self, topic: str) -> Retained | None:
        """The retained message of one topic."""
        return self._entries.get(topic)

    def put(self, topic: str, payload: bytes, qos: int, sender: Identity) -> bool:
        """Retain, or clear when the payload is empty (section 3.3.1.3); False when a limit forbids it."""
        old = self._entries.get(topic)
        if not payload:
            if old is not None:
                self._drop(old)
            return True
        return self.add(Retained(topic, payload, qos, sender))

    def add(self, new: Retained) -> bool:
        """Retain an entry in the place of any other of its topic; False when a limit forbids it."""
        old = self._entries.get(new.topic)
        if not self._fits(new, old):
            return False
        if old is not None:
            self._uncount(old)
        self._leaf(new.topic).entry = self._entries[new.topic] = new
        self._count(new)
        return True

    def _fits(self, new: Retained, old: Retained | None) -> bool:
        if new.sender.transport == "local":
            return True
        size, held = new.size, self._sizes.get(new.sender.client_id, 0)
        freed = old.size if old is not None and old.sender.transport != "local" else 0
        own = freed if old is not None and old.sender.client_id == new.sender.client_id else 0
        within_own = held - own + size <= self._limits.retained_bytes
        return within_own and self._total - freed + size <= self._limits.retained_bytes_total

    def _count(self, entry: Retained) -> None:
        if entry.sender.transport != "local":
            name = entry.sender.client_id
            self._sizes[name] = self._sizes.get(name, 0) + entry.size
            self._total += entry.size

    def _uncount(self, entry: Retained) -> None:
        if entry.sender.transport != "local":
            name = entry.sender.client_id
            self._total -= entry.size
            self._sizes[name] -= entry.size
            if not self._sizes[name]:
                del self._sizes[name]

    def _leaf(self, topic: str) -> _Node:
        node = self._root
        for level in topic.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        return node

    def _drop(self, entry: Retained) -> None:
        self._uncount(entry)
        del self._entries[entry.topic]
        levels = entry.topic.split("/")
        path = [self._root]
        for level in levels:
            path.append(path[-1].children[level])
        path[-1].entry = None
        for index in range(len(levels), 0, -1):
            if path[index].children or path[index].entry is not None:
                return
            del path[index - 1].children[levels[index - 1]]

    def match(self, name: str) -> list[Retained]:
        """The retained messages a valid filter matches."""
        if "+" not in name and "#" not in name:
            entry = self._entries.get(name)
            return [] if entry is None else [entry]
        levels = name.split("/")
        whole = levels[-1] == "#"
        nodes = [self._root]
        for depth, level in enumerate(levels[:-1] if whole else levels):
            nodes = [child for node in nodes for child in _step(node, level, first=depth == 0)]
        if not whole:
            return [node.entry for node in nodes if node.entry is not None]
        return [entry for node in nodes for entry in _subtree(node, first=len(levels) == 1)]


def _step(node: _Node, level: str, *, first: bool) -> Iterator[_Node]:
    if level != "+":
        if (child := node.children.get(level)) is not None:
            yield child
        return
    for name, child in node.children.items():
        if not (first and name.startswith("$")):
            yield child


def _subtree(node: _Node, *, first: bool) -> Iterator[Retained]:
    pending = list(_step(node, "+", first=True)) if first else [node]
    while pending:
        node = pending.pop()
        if node.entry is not None:
            yield node.entry
        pending.extend(node.children.values())
