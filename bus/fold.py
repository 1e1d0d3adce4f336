"""State as what folding the log gives: kept current, restored from snapshots, computed for any moment."""

import asyncio
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final, Self, TypeVar
from uuid import UUID
from zlib import crc32

import orjson

from .log import START, EventLog, Position, StoredEvent
from .log_checkpoint import CHECKPOINT, Read, whole_history, whole_stream

log = logging.getLogger(__name__)

PAGE: Final = 500  # events read at a time
FIRST: Final = 1  # where a log begins of which nothing was dropped
CHECK_BYTES: Final = 9  # of the first line of a snapshot: the CRC-32 of all behind it
BLOCK: Final = 1 << 20  # bytes read at a time
SNAPSHOT_EVERY: Final = 2000  # events of its streams between two snapshots of a fold
SNAPSHOT_SECONDS: Final = 60.0  # at least, between two looks at which are due

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

    def saved(self) -> Iterable[bytes]:
        """The state as lines of a snapshot, whatever happens to the fold until they are written."""
        return map(orjson.dumps, (self.state(),))

    @classmethod
    def revived(cls, lines: Iterator[bytes]) -> Self:
        """A fold made of such lines; each ends with a line feed."""
        return cls.restored(orjson.loads(next(lines)))


def upcast(event: StoredEvent) -> StoredEvent:
    """The event as its newest version."""
    if event.type not in UPCASTERS:
        return event
    kind, data = event.type, dict(event.data)
    while kind in UPCASTERS:
        kind, change = UPCASTERS[kind]
        data = change(data)
    return event._replace(type=kind, data=data)


def history(source: EventLog, streams: Iterable[str]) -> Iterator[StoredEvent]:
    """Everything that is known of some streams, in sequence, whatever of it was carried forward. Blocks."""
    return merge(*map(whole_history, _reads(source, streams)), key=_seq)


def _reads(source: EventLog, streams: Iterable[str]) -> list[Read]:
    return [partial(source.read, stream=stream, limit=PAGE) for stream in sorted(streams)]


def _seq(event: StoredEvent) -> Position:
    return event.seq


def advance(
    fold: Fold, source: EventLog, after: Position, *, until: Position | None = None, before: float | None = None
) -> None:
    """Applies what the log has after a position, up to a sequence number or a wall time (Unix seconds). Blocks."""
    for event in _events(source, fold.streams, after):
        if (until is not None and event.seq > until) or (before is not None and event.time > before):
            return
        fold.apply(upcast(event))


def _events(source: EventLog, streams: Iterable[str], after: Position) -> Iterator[StoredEvent]:
    """What some streams have after a position, a page of each at a time; from the start, all that is known of them."""
    if after == START and source.boundaries()[0] > FIRST:
        return history(source, streams)
    each = (whole_stream(read, after) for read in _reads(source, streams))
    return (event for event in merge(*each, key=_seq) if event.type != CHECKPOINT)


def as_of(kind: type[Fold], source: EventLog, *, seq: Position | None = None, time: float | None = None) -> Any:
    """The state of a fold as it was after a sequence number or at a wall time (Unix seconds). Blocks."""
    fold = kind()
    advance(fold, source, START, until=seq, before=time)
    return fold.state()


F = TypeVar("F", bound=Fold)


class Snapshots:
    """Snapshots of folds in a folder: they save time, and any of them may be deleted."""

    def __init__(self, folder: Path, epoch: UUID) -> None:
        self._folder = folder
        self._epoch = str(epoch)

    def load(self, kind: type[Fold], first: Position, head: Position) -> tuple[Fold, Position]:
        """The fold as it was at its last snapshot, or empty where none fits a log with these first and last events."""
        try:
            with self._path(kind).open("rb") as file:
                check = int(next(file), 16)
                if check == _checksum(file):
                    file.seek(CHECK_BYTES)
                    about = orjson.loads(next(file))
                    if about["epoch"] == self._epoch and first - 1 <= about["seq"] <= head:
                        return kind.revived(file), about["seq"]
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
            log.warning("the snapshot of %s is not used: %s", kind.name, error)
        return kind(), START

    def save(self, kind: type[Fold], lines: Iterable[bytes], seq: Position) -> None:
        """Replaces a fold's snapshot; a failure costs time at the next start and nothing else."""
        path = self._path(kind)
        fresh = path.with_suffix(".new")
        try:
            self._folder.mkdir(exist_ok=True)
            with fresh.open("w+b") as file:
                file.write(b"%08x\n" % 0)
                for line in chain((orjson.dumps({"epoch": self._epoch, "seq": seq}),), lines):
                    file.write(line + b"\n")
                file.seek(CHECK_BYTES)
                check = _checksum(file)
                file.seek(0)
                file.write(b"%08x" % check)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            log.warning("no snapshot of %s: %s", kind.name, error)

    def _path(self, kind: type[Fold]) -> Path:
        return self._folder / f"{kind.name}.{kind.version}.snapshot"


def _checksum(file: BinaryIO) -> int:
    check = 0
    while block := file.read(BLOCK):
        check = crc32(block, check)
    return check


class Folds:
    """Folds of one log that are kept current: restored at the start, fed with every commit."""

    def __init__(self, source: EventLog, snapshots: Snapshots, kinds: Sequence[type[Fold]]) -> None:
        self._source = source
        self._snapshots = snapshots
        self._kinds = {kind.name: kind for kind in kinds}
        self._folds: dict[str, Fold] = {}
        self._by_stream: dict[str, list[Fold]] = {}
        self._since: dict[str, int] = {}
        self._head: Position = START

    @property
    def kinds(self) -> Mapping[str, type[Fold]]:
        """The folds by name."""
        return self._kinds

    def restore(self, head: Position) -> None:
        """Brings every fold to the head of the log. Blocks."""
        first = self._source.boundaries()[0]
        behind: dict[Position, list[Fold]] = {}
        for name, kind in self._kinds.items():
            self._folds[name], at = self._snapshots.load(kind, first, head)
            self._since[name] = 0
            behind.setdefault(at, []).append(self._folds[name])
            for stream in kind.streams:
                self._by_stream.setdefault(stream, []).append(self._folds[name])
        for at, folds in behind.items():
            self._catch_up(folds, at, head)
        self._head = head

    def _catch_up(self, folds: Sequence[Fold], at: Position, head: Position) -> None:
        streams = frozenset().union(*(fold.streams for fold in folds))
        for event in _events(self._source, streams, at):
            if event.seq > head:
                return
            self._take(event, [fold for fold in folds if event.stream in fold.streams])

    def _take(self, event: StoredEvent, folds: Iterable[Fold]) -> None:
        for fold in folds:
            fold.apply(upcast(event))
            self._since[fold.name] += 1

    def feed(self, events: Sequence[StoredEvent]) -> list[Fold]:
        """Applies committed events; the folds that have taken any."""
        changed: dict[str, Fold] = {}
        for event in events:
            if event.seq <= self._head or event.type == CHECKPOINT:
                continue
            self._head = event.seq
            taking = self._by_stream.get(event.stream, ())
            self._take(event, taking)
            changed.update((fold.name, fold) for fold in taking)
        return list(changed.values())

    def due(self) -> list[str]:
        """Folds whose snapshot is worth replacing."""
        return [name for name, count in self._since.items() if count >= SNAPSHOT_EVERY]

    def save(self) -> None:
        """Writes snapshots of all folds that have changed. Blocks."""
        for name in self._folds:
            if self._since[name]:
                self.snapshot(name)()

    def snapshot(self, name: str) -> Callable[[], None]:
        """Takes the state of a fold as it is; what comes back writes it, and blocks."""
        self._since[name] = 0
        return partial(self._snapshots.save, self._kinds[name], self._folds[name].saved(), self._head)

    def fold(self, kind: type[F]) -> F:
        """A fold itself."""
        found = self._folds[kind.name]
        if not isinstance(found, kind):
            raise TypeError(f"{kind.name} is a fold of another kind")
        return found

    def state(self, name: str) -> Any:
        """The present state of a fold."""
        return self._folds[name].state()


async def keep_snapshots(folds: Folds) -> None:
    """Writes snapshots as they become due, for ever: a start after a kill then has little to read."""
    while True:
        await asyncio.sleep(SNAPSHOT_SECONDS)
        for write in [folds.snapshot(name) for name in folds.due()]:
            await asyncio.to_thread(write)
