"""State as what folding the log gives: kept current, restored from snapshots, computed for any moment."""

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from uuid import UUID
from zlib import crc32

import orjson

from .log import START, EventLog, Position, StoredEvent
from .log_checkpoint import CHECKPOINT, expand, whole_stream

log = logging.getLogger(__name__)

PAGE: Final = 500  # events read at a time
SNAPSHOT_EVERY: Final = 2000  # events of its streams between two snapshots of a fold

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[str, tuple[str, Upcaster]] = {}
"""By event type: the type of the next version, and how its data is made of the old data."""


class Fold(ABC):
    """State made of events, and of nothing else: the same events give the same state on every machine.

    A change of what `apply` does needs a new `version`: snapshots of other versions are not used.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    streams: ClassVar[frozenset[str]]
    published: ClassVar[bool] = True  # as a state document of its agent

    @abstractmethod
    def apply(self, event: StoredEvent) -> None:
        """Takes one event of the fold's streams, in sequence."""

    @abstractmethod
    def state(self) -> Any:
        """The whole state as plain JSON."""

    @classmethod
    @abstractmethod
    def restored(cls, state: Any) -> Self:
        """A fold with that state."""


def upcast(event: StoredEvent) -> StoredEvent:
    """The event as its newest version."""
    kind, data = event.type, dict(event.data)
    while kind in UPCASTERS:
        kind, change = UPCASTERS[kind]
        data = change(data)
    if kind == event.type:
        return event
    return StoredEvent(event.seq, event.time, event.stream, kind, event.actor, data, event.append_id)


def history(source: EventLog, streams: Iterable[str]) -> Iterator[StoredEvent]:
    """Everything that is known of some streams, in sequence, whatever of it was carried forward. Blocks."""
    return merge(*(_whole(source, stream) for stream in sorted(streams)), key=_seq)


def _whole(source: EventLog, stream: str) -> list[StoredEvent]:
    return expand(whole_stream(lambda after: source.read(after, stream=stream, limit=PAGE)))


def _seq(event: StoredEvent) -> Position:
    return event.seq


def _after(source: EventLog, after: Position) -> Iterator[StoredEvent]:
    while page := source.read(after, limit=PAGE):
        yield from (event for event in page if event.type != CHECKPOINT)
        after = page[-1].seq


def advance(
    fold: Fold, source: EventLog, after: Position, *, until: Position | None = None, before: float | None = None
) -> None:
    """Applies what the log has after a position, up to a sequence number or a wall time (Unix seconds). Blocks."""
    for event in history(source, fold.streams) if after == START else _after(source, after):
        if (until is not None and event.seq > until) or (before is not None and event.time > before):
            return
        if event.stream in fold.streams:
            fold.apply(upcast(event))


def as_of(kind: type[Fold], source: EventLog, *, seq: Position | None = None, time: float | None = None) -> Any:
    """The state of a fold as it was after a sequence number or at a wall time (Unix seconds). Blocks."""
    fold = kind()
    advance(fold, source, START, until=seq, before=time)
    return fold.state()


class Snapshots:
    """Snapshots of folds in a folder: they save time, and any of them may be deleted."""

    def __init__(self, folder: Path, epoch: UUID) -> None:
        self._folder = folder
        self._epoch = str(epoch)

    def load(self, kind: type[Fold], head: Position) -> tuple[Fold, Position]:
        """The fold as it was at its last snapshot, or empty where there is none that fits this log."""
        try:
            content = self._path(kind).read_bytes()
            body = content[8:]
            if int(content[:8], 16) == crc32(body):
                snapshot = orjson.loads(body)
                if snapshot["epoch"] == self._epoch and snapshot["seq"] <= head:
                    return kind.restored(snapshot["state"]), snapshot["seq"]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the snapshot of %s is not used: %s", kind.name, error)
        return kind(), START

    def save(self, fold: Fold, seq: Position) -> None:
        """Replaces the fold's snapshot; a failure costs time at the next start and nothing else."""
        body = orjson.dumps({"epoch": self._epoch, "seq": seq, "state": fold.state()})
        path = self._path(type(fold))
        fresh = path.with_suffix(".new")
        try:
            self._folder.mkdir(exist_ok=True)
            with fresh.open("wb") as file:
                file.write(b"%08x" % crc32(body) + body)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            log.warning("no snapshot of %s: %s", fold.name, error)

    def _path(self, kind: type[Fold]) -> Path:
        return self._folder / f"{kind.name}.{kind.version}.snapshot"


class Folds:
    """Folds of one log that are kept current: restored at the start, fed with every commit."""

    def __init__(self, source: EventLog, snapshots: Snapshots, kinds: Sequence[type[Fold]]) -> None:
        self._source = source
        self._snapshots = snapshots
        self._kinds = {kind.name: kind for kind in kinds}
        self._folds: dict[str, Fold] = {}
        self._since: dict[str, int] = {}
        self._head: Position = START

    @property
    def kinds(self) -> Mapping[str, type[Fold]]:
        """The folds by name."""
        return self._kinds

    def restore(self, head: Position) -> None:
        """Brings every fold to the head of the log. Blocks."""
        for name, kind in self._kinds.items():
            fold, at = self._snapshots.load(kind, head)
            advance(fold, self._source, at, until=head)
            self._folds[name], self._since[name] = fold, 0
        self._head = head

    def feed(self, events: Sequence[StoredEvent]) -> list[Fold]:
        """Applies committed events; the folds that have taken any."""
        changed: dict[str, Fold] = {}
        for event in events:
            if event.seq <= self._head or event.type == CHECKPOINT:
                continue
            self._head = event.seq
            for name, fold in self._folds.items():
                if event.stream in fold.streams:
                    fold.apply(upcast(event))
                    changed[name] = fold
                    self._since[name] += 1
        return list(changed.values())

    def due(self) -> list[str]:
        """Folds whose snapshot is worth replacing."""
        return [name for name, count in self._since.items() if count >= SNAPSHOT_EVERY]

    def save(self, names: Sequence[str] | None = None) -> None:
        """Writes snapshots of these folds, or of all that have changed. Blocks."""
        for name in self._folds if names is None else names:
            if self._since[name]:
                self._snapshots.save(self._folds[name], self._head)
                self._since[name] = 0

    def state(self, name: str) -> Any:
        """The present state of a fold."""
        return self._folds[name].state()
