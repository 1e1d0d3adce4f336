"""The database agent on a real event log in a folder, without a broker: it can be stopped, killed and started again."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from agents.database import Database
from agents.database.chronicle import Namespaces
from agents.database.settings import DatabaseSettings
from bus.errors import BusError
from bus.fold import Folds, Snapshots
from bus.journal import Journal
from bus.lmdb_log import LmdbLog
from bus.log import EventLog, NewEvent, StoredEvent
from schemas import METHODS
from tests.agent_bus import ALICE, RecordingBus, running, start_call
from tests.bus_rig import LogHost

T = TypeVar("T")


class JournalBus(RecordingBus):
    """Appends go to a journal."""

    def __init__(self, data: Path, journal: Journal) -> None:
        super().__init__(data)
        self._journal = journal

    def append(self, stream: str, events: Sequence[NewEvent], *, append_id: UUID | None = None) -> asyncio.Future[int]:
        """Durable when it ends."""
        return self._journal.append(stream, events, append_id=append_id)


class JournalHost(LogHost):
    """A host that has a log, and folds beside it."""

    def __init__(self, journal: Journal, folds: Folds) -> None:
        super().__init__(folds)
        self._journal = journal
        self.restarts = 0

    async def ask_log(self, work: Callable[[EventLog], T]) -> T:
        """What is found in the log."""
        return await self._journal.ask(work)

    def restart(self) -> None:
        """Is only counted."""
        self.restarts += 1


class Life:
    """The agent while it runs."""

    def __init__(self, agent: Database, bus: JournalBus, journal: Journal, host: JournalHost) -> None:
        self.agent = agent
        self.bus = bus
        self.journal = journal
        self.host = host
        self.commits: list[int] = []  # how many events each had
        journal.on_commit(self._count)

    def _count(self, events: Sequence[StoredEvent]) -> None:
        self.commits.append(len(events))

    def begin(self, name: str, **params: Any) -> "asyncio.Future[Any]":
        """The answer to come."""
        return start_call(self.agent, METHODS[f"server.database.{name}"], params, ALICE)

    async def ask(self, name: str, **params: Any) -> Any:
        """The result, or the class of the error."""
        try:
            return await asyncio.wait_for(self.begin(name, **params), 10)
        except BusError as error:
            return type(error)

    async def value(self, namespace: str, key: Any = None, **more: Any) -> Any:
        """A value, or the class of the error."""
        found = await self.ask("get_item", namespace=namespace, key=key, **more)
        return found["value"] if isinstance(found, dict) else found


@asynccontextmanager
async def database(data: Path) -> AsyncIterator[Life]:
    """The agent on the log in a folder; at the end everything is stopped in order."""
    log = LmdbLog.open(data / "log", reserve_bytes=0)
    async with Journal(log) as journal:
        folds, begun = Folds(log, Snapshots(data / "snapshots", log.epoch), [Namespaces]), asyncio.Event()
        await journal.ask(lambda _: folds.restore(journal.head))

        def committed(events: Sequence[StoredEvent]) -> None:
            folds.feed(events)
            begun.set()

        journal.on_commit(committed)
        bus, host = JournalBus(data, journal), JournalHost(journal, folds)
        agent = Database(bus, DatabaseSettings(debug=True), host)
        async with running(agent):
            if not journal.head:
                await begun.wait()
            yield Life(agent, bus, journal, host)
        folds.save()


def as_after_a_kill(data: Path, copy: Path) -> None:
    """What would be on the disk if the program had been killed at this moment."""
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*-lock", "lock", "reserve"))
