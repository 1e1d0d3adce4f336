"""Changed records on their way to the disk: gathered, committed in batches on a thread, and who waits for that."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

from .counters import Counters
from .errors import BusError, OutOfSpace

GATHER_SECONDS: Final = 0.01
"""How long a commit waits for company; what a subscriber acknowledges meanwhile need not be written at all."""
COMMITS_PER_SECOND: Final = 5.0
"""Under lasting load; flash memory wears with each commit."""
COMMITS_AT_ONCE: Final = 20
"""How many may follow each other after a quiet time."""
LAZY_SECONDS: Final = 30.0
"""How long a change that nobody waits for may stay in memory."""
RETRY_SECONDS: Final = 2.0
"""Between attempts while the disk is full."""
MOST_HELD: Final = 65_535
"""Packets of one connection that may wait for the disk, as many as there are packet ids; then it is cut."""
ALWAYS: Final = -1
"""A mark that lies before every change."""

Record = Callable[[], bytes]
Changes = dict[bytes, Record | None]

log = logging.getLogger(__name__)


class Store(Protocol):
    """Where records are stored; all but `found` is called on one thread."""

    found: list[tuple[bytes, bytes]]

    def write(self, changes: Changes) -> None: ...
    def close(self) -> None: ...


class Line:
    """What a connection, which this is a part of, sends only when something is stored; and nothing overtakes that."""

    def __init__(self, commits: "Commits") -> None:
        self._commits = commits
        self._unstored = 0

    def send(self, *parts: bytes) -> None:
        """Send at once."""
        raise NotImplementedError

    def cut(self, reason: str) -> None:
        """End the connection."""
        raise NotImplementedError

    def send_stored(self, since: int, *parts: bytes) -> None:
        """Send when what has changed since a mark is stored, at once if nothing has, and in the order of the calls."""
        if not self._unstored and self._commits.is_stored(since):
            self.send(*parts)
        else:
            self._wait(partial(self.send, *parts))

    def when_stored(self, since: int, work: Callable[[], None]) -> None:
        """As `send_stored`, for other work than sending."""
        if not self._unstored and self._commits.is_stored(since):
            work()
        else:
            self._wait(work)

    def _wait(self, work: Callable[[], None]) -> None:
        self._unstored += 1
        self._commits.wait(self, work)
        if self._unstored > MOST_HELD:
            self.cut("sends more than can be stored")

    def release(self, work: Callable[[], None]) -> None:
        """Do what was held."""
        self._unstored -= 1
        try:
            work()
        except Exception:
            log.exception("what waited for the disk failed")
            self.cut("what waited for the disk failed")


Held = tuple[Line, Callable[[], None]]


class _Batch:
    """What is being written, and who waits for it."""

    __slots__ = ("held", "lazy", "urgent")

    def __init__(self, urgent: Changes, lazy: Changes, held: list[Held]) -> None:
        self.urgent = urgent
        self.lazy = lazy
        self.held = held


class Commits:
    """Gathers changes and commits them: soon those that somebody waits for, with them or later the others.

    While a commit fails for want of space everything stays gathered and is tried again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counters, store: Store | None = None) -> None:
        self.mark = 0
        """Counts changes that are waited for."""
        self._loop = loop
        self._counters = counters
        self._store = store
        self._urgent: Changes = {}
        self._lazy: Changes = {}
        self._unwritten: set[bytes] = set()
        """Keys of gathered records of which no earlier state was ever given to the disk."""
        self._held: list[Held] = []
        self._batch: _Batch | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._allowance = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._full = self._stopped = self._closing = False
        self._idle = asyncio.Event()

    def is_stored(self, since: int) -> bool:
        """Whether no change since a mark has to be waited for."""
        return self.mark == since or not (self._urgent or self._batch)

    def wait(self, line: Line, work: Callable[[], None]) -> None:
        """Have a line released when all that has changed so far is stored."""
        self._held.append((line, work))

    def put(self, key: bytes, record: Record | None, *, urgent: bool, new: bool = False) -> None:
        """Change a record or, with None, remove it; `new` when there was none with this key before."""
        if new:
            self._unwritten.add(key)
        if urgent or key in self._urgent:
            self._lazy.pop(key, None)
            self._urgent[key] = record
            self.mark += urgent
            self._expect(GATHER_SECONDS)
        else:
            self._lazy[key] = record
            self._expect(LAZY_SECONDS)

    def remove(self, key: bytes, *, urgent: bool) -> None:
        """Remove a record; one that has not been written yet never will be."""
        if key not in self._unwritten:
            self.put(key, None, urgent=urgent)
            return
        self._unwritten.discard(key)
        self._lazy.pop(key, None)
        if self._urgent.pop(key, self) is not self and not self._urgent:
            self._settle()

    def _settle(self) -> None:
        """Let go of those who have nothing more to wait for."""
        if self._urgent or self._batch is not None:
            return
        held, self._held = self._held, []
        for line, work in held:
            line.release(work)

    def _expect(self, seconds: float) -> None:
        """See to it that there is a commit in so many seconds, or as soon as the allowance permits."""
        if self._batch is not None or self._full or self._stopped or self._closing:
            return
        now = self._loop.time()
        due = max(now + seconds, self._allowance - COMMITS_AT_ONCE / COMMITS_PER_SECOND)
        if self._timer is None or due < self._timer.when():
            self._set_timer(due)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._commit)

    def _commit(self) -> None:
        self._timer, self._full = None, False
        if self._batch is not None or not (self._urgent or self._lazy) or self._stopped:
            return
        self._allowance = max(self._loop.time(), self._allowance) + 1 / COMMITS_PER_SECOND
        batch = self._batch = _Batch(self._urgent, self._lazy, self._held)
        self._urgent, self._lazy, self._unwritten, self._held = {}, {}, set(), []
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "broker-store")
        written = self._loop.run_in_executor(self._thread, self._write, {**batch.lazy, **batch.urgent})
        written.add_done_callback(self._written)

    def _write(self, changes: Changes) -> None:
        if self._store is not None:
            self._store.write(changes)

    def _written(self, written: "asyncio.Future[None]") -> None:
        batch, self._batch = self._batch, None
        assert batch is not None  # noqa: S101 - one is written at a time
        error = written.exception()
        if error is None:
            self._counters.store_commits += 1
            for line, work in batch.held:
                line.release(work)
        else:
            self._take_back(batch, error)
        self._settle()
        if self._urgent or self._lazy:
            self._expect(GATHER_SECONDS if self._urgent else LAZY_SECONDS)
        self._idle.set()

    def _take_back(self, batch: _Batch, error: BaseException) -> None:
        if not self._counters.store_failures or not isinstance(error, OutOfSpace):
            log.error("what clients retain and what waits for them is not stored, nor acknowledged: %s", error)
        self._counters.store_failures += 1
        for key, record in batch.urgent.items():
            if key not in self._lazy:
                self._urgent.setdefault(key, record)
        for key, record in batch.lazy.items():
            if key not in self._urgent:
                self._lazy.setdefault(key, record)
        self._held[:0] = batch.held
        if isinstance(error, OutOfSpace):
            self._full = not self._closing
            if self._full:
                self._set_timer(self._loop.time() + RETRY_SECONDS)
        else:
            self._stopped = True

    async def aclose(self) -> None:
        """Commit what is gathered and close the store."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        while self._batch is not None:
            self._idle.clear()
            await self._idle.wait()
        thread = self._thread or ThreadPoolExecutor(1, "broker-store")
        await self._loop.run_in_executor(thread, self._finish, {**self._lazy, **self._urgent})
        thread.shutdown()

    def _finish(self, changes: Changes) -> None:
        if changes and not self._stopped:
            try:
                self._write(changes)
            except BusError as error:
                log.error("the last changes to the broker's store are lost: %s", error)
        if self._store is not None:
            self._store.close()
