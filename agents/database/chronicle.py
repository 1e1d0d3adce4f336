"""The facts about the database, and what they amount to."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, ClassVar, Final, Self

import orjson

from bus.fold import Fold
from bus.log import StoredEvent

from .tree import Node, Path, Piece, cut, find, graft, is_object, packed, pieces, planted, put, written

STREAM: Final = "database"
SET, DELETED, COMPACTED = "database.set.1", "database.deleted.1", "database.compacted.1"

Members = dict[str, Node]


class Namespaces(Fold):
    """All namespaces: a write makes what it needs on its way, and a namespace that is empty is none."""

    name = "database"
    version = 1
    streams: ClassVar[frozenset[str]] = frozenset({STREAM})
    published = False  # it may be as large as anybody likes

    def __init__(self) -> None:
        self._spaces: dict[str, Members] = {}
        self.compacted = 0
        """The event before which nothing is known of earlier states."""

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact of the log."""
        data: Any = event.data
        if event.type == SET:
            self.put(data["namespace"], data["key"], written(data["value"]))
        elif event.type == DELETED:
            self._delete(data["namespace"], data["key"])
        elif event.type == COMPACTED:
            self.compacted = event.seq

    def put(self, namespace: str, path: Path, text: bytes) -> None:
        """Puts a value in its place, as JSON."""
        put(self._spaces.setdefault(namespace, {}), path, text)

    def _delete(self, namespace: str, path: Path) -> None:
        members = self._spaces.get(namespace)
        if members is not None:
            cut(members, path)
            if not members:
                del self._spaces[namespace]

    def names(self) -> list[str]:
        """Of the namespaces that hold anything."""
        return sorted(self._spaces)

    def find(self, namespace: str, path: Path = ()) -> bytes | None:
        """The JSON of a key, or of the whole namespace; None where there is none."""
        members = self._spaces.get(namespace)
        return None if members is None else find(members, path)

    def is_object(self, namespace: str, path: Path) -> bool | None:
        """Whether a key holds an object; None where it holds nothing."""
        return is_object(self._spaces.get(namespace, {}), path)

    def members(self, namespace: str) -> Members:
        """The tree of a namespace, to be read only."""
        return self._spaces.get(namespace, {})

    def state(self) -> Any:
        """Values by key, by namespace."""
        return {name: orjson.loads(packed(members)) for name, members in self._spaces.items()}

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With those values."""
        made = cls()
        for name, values in state.items():
            made._spaces[name] = {key: planted(written(value)) for key, value in values.items()}
        return made

    def pieces(self) -> list[Piece]:
        """All that there is, in pieces, at paths that begin with the namespace."""
        return [([name, *path], text) for name, members in self._spaces.items() for path, text in pieces(members)]

    def saved(self) -> Iterable[bytes]:
        """A line about the whole, and one for each piece: its place and its text, which need not be parsed again."""
        lines = (orjson.dumps(path) + b"\t" + text for path, text in self.pieces())
        return chain((b"%d" % self.compacted,), lines)

    @classmethod
    def revived(cls, lines: Iterator[bytes]) -> Self:
        """From such lines."""
        made = cls()
        made.compacted = int(next(lines))
        for line in lines:
            place, _, text = line.partition(b"\t")
            name, *path = orjson.loads(place)
            graft(made._spaces.setdefault(name, {}), path, text[:-1])
        return made
