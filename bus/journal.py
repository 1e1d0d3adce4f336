"""The asyncio side of the event log: appends that wait at the same time share one transaction on one writer thread."""

import asyncio
import logging
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Final, Self, TypeVar
from uuid import UUID

from .company import Company
from .errors import BusError, Unavailable
from .log import START, Append, EventLog, Excerpt, NewEvent, Position, StoredEvent, excerpt
from .log_record import quick_uuid

BATCH: Final = 512
"""Appends committed in one transaction."""
WAITING_BOUND: Final = 16384
"""Durable appends that may wait; further ones fail with Unavailable."""
GATHER_SECONDS: Final = 0.002
"""How long appends that have waited for a commit may wait for company."""
LAZY_BOUND: Final = 4096
"""Lazy appends that may wait; at the bound the oldest is dropped and counted."""
LAZY_SHARE: Final = BATCH // 2
LAZY_SECONDS: Final = 5.0
IDS_AT_ONCE: Final = 256
VERSION_MASK, VERSION_4 = 0xF000 << 64 | 0xC000 << 48, 0x4000 << 64 | 0x8000 << 48
"""Of a UUID's 128 bits: those that say that it is random (RFC 9562 section 5.4), and their value."""

Listener = Callable[[Sequence[StoredEvent]], None]
Entry = tuple[Append, "asyncio.Future[Position] | None"]

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """How many segments stay, and which streams are carried forward out of those that go."""

    segments: int
    keep: Collection[str] = ()


class Journal:
    """Writes one log from one event loop; `async with` starts it, and flushes and closes the log at the end.

    `append` is for facts that are acknowledged, `append_lazy` for records that may be lost with the last seconds.
    """

    def __init__(self, event_log: EventLog, *, retention: Retention | None = None) -> None:
        self.head: Position = event_log.head()
        """The last position that listeners have been told of."""
        self.error: BusError | None = None
        """Why the last commit failed; None after one that worked."""
        self.dropped = 0
        """Lazy appends that were lost."""
        self._log = event_log
        self._retention = retention
        self._waiting: deque[Entry] = deque()
        self._lazy: deque[Append] = deque()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._listeners: list[Listener] = []
        self._ids = _random_ids()
        self._busy = self._scheduled = self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._company = Company()
        self._idle = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._readers = ThreadPoolExecutor(1, "log-reader")
        self._writer = Thread(target=self._work, name="log-writer", daemon=True)
        self._writer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._closing = True
        self._flush()
        while self._busy:
            self._idle.clear()
            await self._idle.wait()
        self._jobs.put(self._log.close)
        self._jobs.put(None)
        await self._loop.run_in_executor(self._readers, self._writer.join)
        self._readers.shutdown()

    @property
    def epoch(self) -> UUID:
        """The log's epoch: another one is another history."""
        return self._log.epoch

    @property
    def writable(self) -> bool:
        """Whether the last commit worked; it says nothing about the next, which is what finds out."""
        return self.error is None

    def position(self, stream: str) -> Position:
        """The position of a stream, for `expected`."""
        return self._log.position(stream)

    def on_commit(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on the loop with each batch of stored events, in sequence; returns what takes it off again.

        Listeners run before the futures of the same batch are resolved, and must not raise or wait.
        """
        self._listeners.append(listener)
        return partial(self._listeners.remove, listener)

    def append(
        self,
        stream: str,
        events: Sequence[NewEvent],
        *,
        append_id: UUID | None = None,
        expected: Position | None = None,
    ) -> asyncio.Future[Position]:
        """Store events; the future gets the position of the last one when they are durable, or a BusError.

        Giving up the future does not take the events back.
        """
        future = self._loop.create_future()
        if self._closing or len(self._waiting) >= WAITING_BOUND:
            future.set_exception(Unavailable("the event log is closed" if self._closing else "the event log is busy"))
            return future
        self._waiting.append((Append(stream, events, append_id or next(self._ids), expected), future))
        self._schedule()
        return future

    def append_lazy(self, stream: str, events: Sequence[NewEvent]) -> None:
        """Store events with the next durable ones, or within LAZY_SECONDS; never fails (see `dropped`)."""
        if len(self._lazy) >= LAZY_BOUND:
            self._lazy.popleft()
            self._drop(1, "too many wait")
        self._lazy.append(Append(stream, events, next(self._ids)))
        self._start_timer()

    async def read(
        self, after: Position = START, *, stream: str | None = None, limit: int = 500
    ) -> Sequence[StoredEvent]:
        """As `EventLog.read`, on a thread of its own; only what listeners have been told of."""
        return await self.excerpt(Excerpt(after, stream, limit))

    async def excerpt(self, wanted: Excerpt) -> Sequence[StoredEvent]:
        """As `log.excerpt`, on a thread of its own; only what listeners have been told of."""
        found = await self._loop.run_in_executor(self._readers, excerpt, self._log, wanted)
        return found[: bisect_right(found, self.head, key=_seq)]

    async def ask(self, work: Callable[[EventLog], T]) -> T:
        """What `work` finds in the log, on the thread that reads."""
        return await self._loop.run_in_executor(self._readers, work, self._log)

    async def compact(self, retention: Retention) -> Position:
        """Drop segments as `retention` says, now; the first readable position."""
        future: asyncio.Future[Position] = self._loop.create_future()
        self._jobs.put(partial(self._compact, retention, future))
        return await future

    def _schedule(self) -> None:
        wanted = 0 if self._gathering is None else min(self._company.expected, BATCH)
        if self._scheduled or self._busy or len(self._waiting) < wanted:
            return
        self._scheduled = True
        # a turn later than now: by then a command's own facts have joined its record, and share its commit
        self._loop.call_soon(self._loop.call_soon, self._flush)

    def _start_timer(self) -> None:
        if self._timer is None and not self._closing:
            self._timer = self._loop.call_later(LAZY_SECONDS, self._flush)

    def _flush(self) -> None:
        """Hand the writer what waits, if it has nothing to do."""
        self._scheduled = False
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
            self._company.came(len(self._waiting))
        if self._busy:
            return
        batch = self._batch()
        if batch:
            self._busy = True
            self._jobs.put(partial(self._commit, batch))

    def _batch(self) -> list[Entry]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lazy = min(len(self._lazy), max(LAZY_SHARE, BATCH - len(self._waiting)))
        batch: list[Entry] = [(self._lazy.popleft(), None) for _ in range(lazy)]
        durable = min(len(self._waiting), BATCH - lazy)
        batch += [self._waiting.popleft() for _ in range(durable)]
        if self._lazy:
            self._start_timer()
        return batch

    def _committed(self, batch: list[Entry], results: list[Position | BusError], stored: list[StoredEvent]) -> None:
        self._busy = False
        self._tell(stored)
        failures = [result for result in results if isinstance(result, BusError) and result.retryable]
        self.error = failures[0] if failures else None
        again: list[Append] = []
        for (append, future), result in zip(batch, results, strict=True):
            if future is None:
                if isinstance(result, BusError):
                    again.append(append)
            elif future.done():
                continue
            elif isinstance(result, BusError):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._put_back(again)
        if self._closing and (self._waiting or self._lazy):
            self._flush()
        elif self._waiting:
            answered = sum(future is not None for _, future in batch)
            if self._company.is_worth_it(len(self._waiting), answered):
                self._gathering = self._loop.call_later(GATHER_SECONDS, self._flush)
                self._schedule()
            else:
                self._flush()
        self._idle.set()

    def _put_back(self, appends: list[Append]) -> None:
        """Lazy appends that failed are tried again for as long as the disk may be full."""
        if not appends:
            return
        if self._closing or self.error is None:
            self._drop(len(appends), str(self.error or "they are not valid"))
            return
        room = LAZY_BOUND - len(self._lazy)
        if len(appends) > room:
            self._drop(len(appends) - room, str(self.error))
        self._lazy.extendleft(reversed(appends[max(len(appends) - room, 0) :]))
        self._start_timer()

    def _drop(self, count: int, reason: str) -> None:
        if not self.dropped:
            log.error("lazy appends to the event log are lost: %s", reason)
        self.dropped += count

    def _tell(self, stored: list[StoredEvent]) -> None:
        if not stored:
            return
        self.head = stored[-1].seq
        for listener in tuple(self._listeners):
            try:
                listener(stored)
            except Exception:
                log.exception("a listener of the event log failed")

    def _work(self) -> None:
        """The writer thread: the only place that writes the log."""
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                log.exception("the writer of the event log failed")

    def _commit(self, batch: list[Entry]) -> None:
        stored: list[StoredEvent] = []
        try:
            results = self._log.commit([append for append, _ in batch], stored)
        except Exception as error:
            log.exception("the event log failed")
            results = [Unavailable(f"the event log failed: {error}") for _ in batch]
        self._loop.call_soon_threadsafe(self._committed, batch, results, stored)
        if self._retention is not None and stored:
            self._trim(self._retention)

    def _trim(self, retention: Retention) -> Position:
        boundaries = self._log.boundaries()
        if len(boundaries) <= retention.segments:
            return boundaries[0]
        stored: list[StoredEvent] = []
        try:
            return self._log.trim(boundaries[-retention.segments], retention.keep, stored)
        except BusError as error:
            log.warning("old segments of the event log stay: %s", error)
            return boundaries[0]
        finally:
            self._loop.call_soon_threadsafe(self._tell, stored)

    def _compact(self, retention: Retention, future: "asyncio.Future[Position]") -> None:
        self._loop.call_soon_threadsafe(_resolve, future, self._trim(retention))


_seq = attrgetter("seq")


def _random_ids() -> Iterator[UUID]:
    """Ids of appends. Asking the system for randomness lets other threads go first, so that is not done for each."""
    while True:
        block = os.urandom(IDS_AT_ONCE * 16)
        for at in range(0, len(block), 16):
            yield quick_uuid(int.from_bytes(block[at : at + 16], "big") & ~VERSION_MASK | VERSION_4)


def _resolve(future: "asyncio.Future[Position]", first: Position) -> None:
    if not future.done():
        future.set_result(first)
