"""The event log on disk, in segments: who writes it, where reading finds what, and what happens when writing fails."""

import logging
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from errno import EIO
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from threading import Lock, RLock, Thread
from typing import Final
from uuid import UUID, uuid4

import lmdb

from .clock import SYSTEM, Clock
from .errors import BusError, Conflict, InvalidParams, OutOfSpace, Unavailable
from .lmdb_segment import Segment, Shelf, create_segment
from .log import READ_BYTES, Append, Ledger, Plan, StoredEvent, only
from .log_check import LogState, examine
from .log_checkpoint import carried
from .log_files import (
    FULL,
    Reserve,
    WriterLock,
    file_digest,
    index_path,
    is_full,
    judge_filesystem,
    make_directory,
    remove_segment,
    segment_path,
    sync_directory,
)
from .log_index import SegmentIndex
from .log_record import START, DamagedRecord, NewEvent, Position, Room, decode, encode

SEGMENT_BYTES: Final = 64 << 20
RESERVE_BYTES: Final = 16 << 20
MAP_SLACK: Final = 32 << 20
"""Room in the map above the size of a segment: for a whole transaction, and pages that readers hold on to."""
RESTORE_PAGE: Final = 500
MAPPED_BYTES: Final = 4 << 20
"""So much is read and written until the active segment is mapped anew, which gives the memory of its pages back."""
PROBE_SLACK: Final = 64 << 10
RESERVE_RETRY_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


class LmdbLog:
    """The event log in a directory, made by `open`. One process writes; others may read the files."""

    def __init__(self, directory: Path, state: LogState, active: Segment, segment_bytes: int, clock: Clock) -> None:
        self.epoch = state.epoch
        self.recoveries = tuple(state.recoveries)
        self.warning: str | None = None
        self._directory = directory
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._firsts = [*state.firsts[:-1], active.first]
        self._latest = dict(state.latest)
        """The latest time in each segment that is not written any more."""
        self._active = active
        self._shelf = Shelf(directory, state.trusted)
        self._ledger = Ledger()
        self._ledger.load(state.known)
        self._writing = Lock()
        self._reading = RLock()
        self._sealing: Thread | None = None
        self._touched = 0
        """Bytes read and written since the active segment was mapped; about as much memory its pages take."""
        self._stopped: str | None = None
        self._suspect = False
        self._lock: WriterLock | None = None
        self._reserve = Reserve(directory, 0)
        self._reserve_due: float | None = None

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        reserve_bytes: int = RESERVE_BYTES,
        clock: Clock = SYSTEM,
    ) -> "LmdbLog":
        """Open for writing, or make, the log in a directory. Blocks: what was not closed properly is checked first.

        Unavailable when another process writes it, or the file system cannot hold it. `recoveries` says what was
        damaged, `warning` what is doubtful about the place.
        """
        make_directory(directory)
        warning = judge_filesystem(directory)
        lock = WriterLock(directory)
        try:
            state, active = _open_active(directory, segment_bytes + MAP_SLACK)
        except BaseException:
            lock.release()
            raise
        opened = cls(directory, state, active, segment_bytes, clock)
        opened._lock, opened.warning = lock, warning
        opened._reserve = Reserve(directory, reserve_bytes)
        opened._reserve.take()
        if warning:
            log.warning("%s", warning)
        return opened

    def append(
        self, stream: str, events: Sequence[NewEvent], *, append_id: UUID, expected: Position | None = None
    ) -> Position:
        return only(self.commit([Append(stream, events, append_id, expected)]))

    def commit(self, appends: Sequence[Append], stored: list[StoredEvent] | None = None) -> list[Position | BusError]:
        results: list[Position | BusError] = []
        with self._writing:
            while len(results) < len(appends):
                results += self._transact(appends[len(results) :], stored)
        return results

    def _transact(self, appends: Sequence[Append], stored: list[StoredEvent] | None) -> list[Position | BusError]:
        plan = self._ledger.plan(appends, self._clock.wall())
        if not plan.items:
            return plan.results
        try:
            self._write(plan)
        except BusError as error:
            head = self._ledger.head
            return [
                type(error)(error.message) if isinstance(result, int) and result > head else result
                for result in plan.results
            ]
        self._remember(plan)
        if stored is not None:
            stored += plan.events
        return plan.results

    def _remember(self, plan: Plan) -> None:
        for event in plan.events:
            self._active.index.add(event)
        self._ledger.apply(plan)

    def _write(self, plan: Plan) -> None:
        if self._stopped:
            raise Unavailable(self._stopped)
        while True:
            try:
                self._put(plan)
                break
            except (lmdb.Error, OSError) as error:
                if not self._is_space(error, plan.size):
                    raise self._stop(error) from error
                self._reserve_due = self._clock.monotonic() + RESERVE_RETRY_SECONDS
                if not self._reserve.give_up():
                    raise OutOfSpace("the disk is full: nothing can be added to the event log") from error
                log.warning("the disk is full: the event log goes on in its reserve")
        if self._reserve_due is not None and self._clock.monotonic() >= self._reserve_due:
            self._reserve_due = None
            self._reserve.take()

    def _put(self, plan: Plan) -> None:
        if self._active.used() + plan.size > self._segment_bytes:
            self._roll()
        self._touched += plan.size
        if self._touched > MAPPED_BYTES:
            with self._reading:
                self._active.close()
                self._touched = 0
        try:
            self._active.write(plan.items)
        except lmdb.MapFullError:  # a reader that stays keeps every page from being used again
            self._roll()
            self._active.write(plan.items)

    def _is_space(self, error: Exception, size: int) -> bool:
        code = error.code if isinstance(error, lmdb.Error) else getattr(error, "errno", 0)
        return code in FULL or (code == EIO and is_full(self._directory, self._active.used(), size + PROBE_SLACK))

    def _stop(self, error: Exception) -> Unavailable:
        self._stopped = f"the event log stopped: {error}"
        log.critical("%s; nothing more is written until the next start", self._stopped)
        return Unavailable(self._stopped)

    def _roll(self) -> None:
        """Go on in a new segment, and seal the old one beside."""
        if self._ledger.head < self._active.first:
            return
        fresh = create_segment(self._directory, self._ledger.head + 1, self._segment_bytes + MAP_SLACK)
        with self._reading:
            sealed, self._active = self._active, fresh
            sealed.close()
            self._firsts.append(fresh.first)
            self._latest[sealed.first] = sealed.index.latest
            self._shelf.put_unsealed(sealed)
        self._finish_sealing()
        self._sealing = Thread(target=self._seal, args=(sealed, self._summary(sealed)), name="log-seal")
        self._sealing.start()

    def _seal(self, segment: Segment, summary: SegmentIndex) -> None:
        if _seal(segment.path, summary):
            self._shelf.sealed(segment.first)

    def _summary(self, segment: Segment) -> SegmentIndex:
        tails, appends = dict(self._ledger.tails), self._ledger.window.latest()
        return SegmentIndex(segment.first, self._ledger.head, tails=tails, appends=appends, index=segment.index)

    def _finish_sealing(self) -> None:
        if self._sealing is not None:
            self._sealing.join()
            self._sealing = None

    def read(self, after: Position = START, *, stream: str | None = None, limit: int = 500) -> Sequence[StoredEvent]:
        events: list[StoredEvent] = []
        room = Room(READ_BYTES)
        with self._reading:
            at = max(bisect_right(self._firsts, after + 1) - 1, 0)
            while len(events) < limit and at < len(self._firsts) and room.left > 0:
                events += self._read(self._segment(at), after, stream, limit - len(events), room)
                at += 1
            self._shelf.rest()
            self._touched += READ_BYTES - room.left
        return events

    def _read(self, segment: Segment, after: Position, stream: str | None, limit: int, room: Room) -> list[StoredEvent]:
        try:
            if stream is not None:
                return segment.pick(stream, after, limit, room)
            return segment.scan(after, limit, lambda items: decode(room.take(items)))
        except (DamagedRecord, ValueError, lmdb.Error) as error:
            self._suspect = True
            if segment is not self._active:
                index_path(segment.path).unlink(missing_ok=True)
            raise Unavailable(f"the event log is damaged: {error}; it is repaired at the next start") from error

    def _segment(self, at: int) -> Segment:
        if self._lock is None:
            raise Unavailable("the event log is closed")
        first = self._firsts[at]
        return self._active if first == self._active.first else self._shelf.get(first)

    def before(self, time: float) -> Position:
        with self._reading:
            for at, first in enumerate(self._firsts):
                if first == self._active.first or self._latest[first] >= time:
                    found = self._segment(at).before(time)
                    self._shelf.rest()
                    return found
        return self._ledger.head

    def head(self) -> Position:
        return self._ledger.head

    def position(self, stream: str) -> Position:
        return self._ledger.tails.get(stream, START)

    def boundaries(self) -> Sequence[Position]:
        return tuple(self._firsts)

    def trim(self, before: Position, keep: Collection[str], stored: list[StoredEvent] | None = None) -> Position:
        with self._writing:
            drop = [first for first, after in pairwise(self._firsts) if after <= before]
            if not drop:
                return self._firsts[0]
            self._finish_sealing()
            boundary = self._firsts[len(drop)]
            for stream in sorted(keep):
                for event in carried(partial(self.read, stream=stream), boundary):
                    only(self._transact([Append(stream, [event], uuid4())], stored))
            self._drop(drop)
            return boundary

    def restore(self, events: Iterable[StoredEvent]) -> int:
        """Fill an empty log with events that keep their numbers, times and ids; how many they were."""
        if self._ledger.head != START:
            raise Conflict("only an empty log can be restored")
        count = 0
        rest = iter(events)
        with self._writing:
            while page := list(islice(rest, RESTORE_PAGE)):
                self._restore(page)
                count += len(page)
        return count

    def _restore(self, page: list[StoredEvent]) -> None:
        if self._ledger.head == START:
            self._begin_at(page[0].seq)
        if [event.seq for event in page] != list(range(self._ledger.head + 1, page[-1].seq + 1)):
            raise InvalidParams(f"events behind {self._ledger.head} are missing")
        plan = Plan(page[-1].seq, items=[encode(event) for event in page], events=page)
        plan.size = sum(len(record) for _, record in plan.items)
        for event in page:
            plan.tails[event.stream] = plan.ids[event.append_id.bytes] = event.seq
        self._write(plan)
        self._remember(plan)

    def _begin_at(self, first: Position) -> None:
        with self._reading:
            self._active.close()
            remove_segment(self._active.path)
            self._active = create_segment(self._directory, first, self._segment_bytes + MAP_SLACK)
            self._firsts = [first]
            self._ledger.head = first - 1

    def _drop(self, drop: Sequence[Position]) -> None:
        with self._reading:
            del self._firsts[: len(drop)]
            for first in drop:
                del self._latest[first]
                self._shelf.drop(first)
                remove_segment(segment_path(self._directory, first))
        self._ledger.forget(self._firsts[0])
        sync_directory(self._directory)

    def close(self) -> None:
        with self._writing, self._reading:
            if self._lock is None:
                return
            self._finish_sealing()
            self._active.close()
            self._shelf.close()
            if not (self._stopped or self._suspect):
                _seal(self._active.path, self._summary(self._active), sealed=False)
            self._lock.release()
            self._lock = None
            self._stopped = "the event log is closed"


def _seal(path: Path, summary: SegmentIndex, *, sealed: bool = True) -> bool:
    """Write an index; without one the segment is only checked at the next start. False when it cannot be written."""
    try:
        summary.save(path, file_digest(path) if sealed else None)
    except OSError as error:
        log.warning("the index of %s cannot be written: %s", path.name, error)
        return False
    return True


def _open_active(directory: Path, map_bytes: int) -> tuple[LogState, Segment]:
    """Examine a log and map its last segment, whose index is removed: it says `closed properly`."""
    state = examine(directory)
    if not state.firsts:
        return state, create_segment(directory, START + 1, map_bytes)
    path = segment_path(directory, state.firsts[-1])
    active = Segment(path, state.firsts[-1], state.known.index, map_bytes=map_bytes)
    index_path(path).unlink(missing_ok=True)
    sync_directory(directory)
    if active.last() == state.known.last:
        return state, active
    active.close()
    return _open_active(directory, map_bytes)
