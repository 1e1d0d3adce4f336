"""The LMDB files of the event log: one segment each, and the shelf of those that are sealed."""

import sys
from collections.abc import Callable, Collection, Iterator
from errno import EACCES, EPERM, EROFS
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import lmdb

from .errors import Unavailable
from .log_files import file_digest, index_path, remove_segment, segment_path, sync_directory
from .log_index import TIME_MARK, EventIndex, load
from .log_record import DamagedRecord, Item, Position, Room, StoredEvent, decode, pack_key

KNOWN_SEALED: Final = 2
"""How many sealed segments stay known to readers, with their index."""

REPLAY_PAGE: Final = 500
"""Events that are decoded at once where all are read."""

T = TypeVar("T")


def environment(path: Path, **options: Any) -> lmdb.Environment:
    """An LMDB file in the 0.9 format; lmdb 3 bundles two formats that cannot read each other, older ones know one."""
    options |= {"subdir": False, "mode": 0o640}
    try:
        return lmdb.open(str(path), lib_version=0, **options)
    except TypeError:
        return lmdb.open(str(path), **options)


def _read_only(path: Path) -> lmdb.Environment:
    try:
        return environment(path, readonly=True, create=False)
    except lmdb.Error as error:
        if error.code not in (EACCES, EPERM, EROFS):
            raise
    return environment(path, readonly=True, create=False, lock=False)


def structure_problem(path: Path) -> str | None:
    """What is wrong with the pages of a file nobody writes; None when nothing is, or this build cannot tell."""
    if sys.maxsize < 1 << 32:  # the checker knows 64-bit files only
        return None
    try:
        from lmdb import verify
    except ImportError:
        return None
    try:
        problems: list[str] = verify.verify(str(path), subdir=False)  # type: ignore[no-untyped-call]
    except verify.VerifyError as error:
        return str(error)
    return problems[0] if problems else None


class Segment:
    """One LMDB file: the records from `first` on, and where their streams are; to write it, `map_bytes` is given."""

    def __init__(self, path: Path, first: Position, index: EventIndex, *, map_bytes: int = 0) -> None:
        self.path = path
        self.first = first
        self.index = index
        self._map_bytes = map_bytes
        self._mapped: lmdb.Environment | None = self._map()
        self._page_bytes = self._env.stat()["psize"]

    def _map(self) -> lmdb.Environment:
        if self._map_bytes:
            env = environment(self.path, map_size=self._map_bytes, metasync=True, sync=True, writemap=False)
            env.reader_check()
        else:
            env = _read_only(self.path)
            env.set_mapsize(0)
        return env

    @property
    def _env(self) -> lmdb.Environment:
        if self._mapped is None:
            self._mapped = self._map()
        return self._mapped

    def write(self, items: list[Item]) -> None:
        """Add records behind the last one in one synchronous transaction."""
        with self._env.begin(write=True) as txn:
            _, added = txn.cursor().putmulti(items, append=True)
            if added != len(items):
                raise Unavailable(f"{self.path.name}: records are out of order")

    def rehearse(self) -> None:
        """Begin to write and take it back: touches what a damaged file would break on."""
        with self._env.begin(write=True) as txn:
            txn.put(pack_key(self.last() + 1), b"")
            txn.abort()

    def scan(self, after: Position, limit: int, use: Callable[[Iterator[Item]], list[T]]) -> list[T]:
        """What `use` makes of up to `limit` records behind a position."""
        with self._env.begin() as txn:
            cursor = txn.cursor()
            if not cursor.set_range(pack_key(max(after + 1, self.first))):
                return []
            return use(islice(cursor, max(limit, 0)))

    def pick(self, stream: str, after: Position, limit: int, room: Room) -> list[StoredEvent]:
        """Up to `limit` events of one stream behind a position."""
        keys = [pack_key(seq) for seq in self.index.after(stream, after, limit)]
        with self._env.begin() as txn:
            return decode(room.take((key, txn.get(key, b"")) for key in keys))

    def before(self, time: float) -> Position:
        """The position before the first event at or after a wall time; the last one when there is none."""
        after = self.first - 1 + self.index.before(time)
        while events := self.scan(after, TIME_MARK, decode):
            for event in events:
                if event.time >= time:
                    return event.seq - 1
            after = events[-1].seq
        return after

    def last(self) -> Position:
        """The last sequence number, `first - 1` when the segment is empty."""
        with self._env.begin() as txn:
            cursor = txn.cursor()
            return int.from_bytes(cursor.key(), "big") if cursor.last() else self.first - 1

    def used(self) -> int:
        """Bytes of the map that have been used."""
        return int(self._env.info()["last_pgno"] + 1) * self._page_bytes

    def close(self) -> None:
        """Let go of the map, and of the memory that everything read and written has taken; the next use maps anew."""
        env, self._mapped = self._mapped, None
        if env is not None:
            env.close()


def replayed(path: Path, first: Position, after: Position) -> Iterator[StoredEvent]:
    """The events of a segment behind a position; DamagedRecord where they cannot be read, FileNotFoundError."""
    try:
        segment = Segment(path, first, EventIndex())
        try:
            while events := segment.scan(after, REPLAY_PAGE, decode):
                after = events[-1].seq
                yield from events
        finally:
            segment.close()
    except lmdb.Error as error:
        if not path.exists():
            raise FileNotFoundError(path) from None
        raise DamagedRecord(str(error)) from error


def create_segment(directory: Path, first: Position, map_bytes: int) -> Segment:
    """A new, empty segment; it gets its name only when it is complete."""
    path = segment_path(directory, first)
    fresh = path.with_suffix(".new")
    remove_segment(fresh)
    try:
        Segment(fresh, first, EventIndex(), map_bytes=map_bytes).close()
        fresh.replace(path)
        sync_directory(directory)
    finally:
        remove_segment(fresh)
    return Segment(path, first, EventIndex(), map_bytes=map_bytes)


class Shelf:
    """The sealed segments: mapped while they are read, and only if their file is what was sealed."""

    def __init__(self, directory: Path, trusted: Collection[Position]) -> None:
        self._directory = directory
        self._trusted = set(trusted)
        self._known: dict[Position, Segment] = {}
        self._unsealed: set[Position] = set()

    def get(self, first: Position) -> Segment:
        """A sealed segment for reading; Unavailable when it is damaged (a damaged map can kill the process)."""
        segment = self._known.pop(first, None) or self._load(first)
        self.put(segment)
        return segment

    def put(self, segment: Segment) -> None:
        """Keep a segment as the most recently used."""
        self._known[segment.first] = segment
        self._trusted.add(segment.first)
        spare = [first for first in self._known if first not in self._unsealed]
        for first in spare[: max(len(self._known) - KNOWN_SEALED, 0)]:
            self.drop(first)

    def put_unsealed(self, segment: Segment) -> None:
        """Keep a segment until it is `sealed`: without its index it could not be opened again."""
        self._unsealed.add(segment.first)
        self.put(segment)

    def sealed(self, first: Position) -> None:
        """A segment may be let go of; called by the thread that seals."""
        self._unsealed.discard(first)

    def rest(self) -> None:
        """Let go of all maps: pages that were read take no memory once nobody reads."""
        for segment in self._known.values():
            segment.close()

    def drop(self, first: Position) -> None:
        """Let go of a segment."""
        if segment := self._known.pop(first, None):
            segment.close()

    def close(self) -> None:
        """Let go of all."""
        for first in list(self._known):
            self.drop(first)

    def _load(self, first: Position) -> Segment:
        path = segment_path(self._directory, first)
        index = load(path)
        if index is None or (first not in self._trusted and index.digest != file_digest(path)):
            index_path(path).unlink(missing_ok=True)
            raise Unavailable(f"the log segment {path.name} is damaged; it is checked and repaired at the next start")
        return Segment(path, first, index.index)
