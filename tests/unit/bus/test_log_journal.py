"""The journal: order, batches, laziness, bounds, and what is left when it ends."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest

from bus import journal as journal_module
from bus.errors import BusError, Conflict, InvalidParams, Unavailable
from bus.journal import BATCH, LAZY_BOUND, WAITING_BOUND, Journal, Retention
from bus.log import Append, MemoryLog, NewEvent, StoredEvent
from bus.log_checkpoint import CHECKPOINT
from tests.conftest import Run

EVENT = NewEvent("job.queued.1", {"n": 1})


class GatedLog(MemoryLog):
    """A log whose commits wait for `gate`; it notes the size of each."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.sizes: list[int] = []
        self.threads: set[str] = set()

    def commit(self, appends: Sequence[Append], stored: list[StoredEvent] | None = None) -> list[int | BusError]:
        self.begun.set()
        self.gate.wait()
        self.sizes.append(len(appends))
        self.threads.add(threading.current_thread().name)
        return super().commit(appends, stored)


def test_an_append_resolves_to_its_position(run: Run[Any]) -> None:
    async def scenario() -> None:
        async with Journal(MemoryLog()) as journal:
            assert await journal.append("jobs", [EVENT, EVENT]) == 2
            assert await journal.append("jobs", [EVENT], expected=2) == 3
            assert (journal.head, journal.position("jobs"), journal.writable) == (3, 3, True)
            assert [event.seq for event in await journal.read(1, limit=1)] == [2]
            assert await journal.read(stream="other") == []

    run(scenario())


def test_errors_are_the_appends_own(run: Run[Any]) -> None:
    async def scenario() -> None:
        async with Journal(MemoryLog()) as journal:
            good, late, bad = (
                journal.append("jobs", [EVENT]),
                journal.append("jobs", [EVENT], expected=0),
                journal.append("Jobs", [EVENT]),
            )
            assert await good == 1
            with pytest.raises(Conflict):
                await late
            with pytest.raises(InvalidParams):
                await bad
            assert journal.writable

    run(scenario())


def test_what_waits_at_once_shares_a_transaction(run: Run[Any]) -> None:
    async def scenario() -> list[int]:
        log = GatedLog()
        async with Journal(log) as journal:
            positions = await asyncio.gather(*(journal.append("jobs", [EVENT]) for _ in range(BATCH + 100)))
        assert positions == list(range(1, BATCH + 101))
        assert log.threads == {"log-writer"}
        return log.sizes

    assert run(scenario()) == [BATCH, 100]


async def out_of_step(log: GatedLog, journal: Journal, appends: int) -> None:
    """Two who append one event after the other, the second of whom begins while the first one's is committed."""

    async def client() -> None:
        for _ in range(appends):
            await journal.append("jobs", [EVENT])

    log.gate.clear()
    first = asyncio.create_task(client())
    await asyncio.to_thread(log.begun.wait)
    second = asyncio.create_task(client())
    await asyncio.sleep(0.01)
    log.gate.set()
    await asyncio.gather(first, second)


def test_clients_out_of_step_come_to_share_transactions(run: Run[Any]) -> None:
    async def scenario() -> list[int]:
        log = GatedLog()
        async with Journal(log) as journal:
            await out_of_step(log, journal, 100)
        return log.sizes

    sizes = run(scenario())
    assert sum(sizes) == 200
    assert sizes.count(2) > 50


def test_nobody_waits_long_for_company_that_does_not_come(run: Run[Any]) -> None:
    async def scenario() -> list[int]:
        log = GatedLog()
        async with Journal(log) as journal, asyncio.timeout(20):
            await out_of_step(log, journal, 1)
        return log.sizes

    assert run(scenario()) == [1, 1]


def test_listeners_hear_events_in_sequence_before_the_appender_goes_on(run: Run[Any]) -> None:
    async def scenario() -> None:
        heard: list[int] = []
        async with Journal(MemoryLog()) as journal:
            remove = journal.on_commit(lambda events: heard.extend(event.seq for event in events))

            async def one(count: int) -> None:
                for _ in range(count):
                    position = await journal.append("jobs", [EVENT])
                    assert heard[-1] >= position
                    assert journal.head == heard[-1]

            await asyncio.gather(*(one(count) for count in range(1, 9)))
            remove()
            await journal.append("jobs", [EVENT])
        assert heard == list(range(1, 37))

    run(scenario())


def test_a_repeated_append_is_not_told_again(run: Run[Any]) -> None:
    async def scenario() -> None:
        heard: list[StoredEvent] = []
        async with Journal(MemoryLog()) as journal:
            journal.on_commit(heard.extend)
            append_id = uuid4()
            assert await journal.append("jobs", [EVENT], append_id=append_id) == 1
            assert await journal.append("jobs", [EVENT], append_id=append_id) == 1
        assert [event.append_id for event in heard] == [append_id]

    run(scenario())


def test_a_failing_listener_harms_nobody(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    def fail(events: Sequence[StoredEvent]) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        heard: list[StoredEvent] = []
        async with Journal(MemoryLog()) as journal:
            journal.on_commit(fail)
            journal.on_commit(heard.extend)
            assert await journal.append("jobs", [EVENT]) == len(heard) == 1

    run(scenario())
    assert "a listener of the event log failed" in caplog.text


def test_lazy_records_go_with_the_next_durable_ones_and_before_them(run: Run[Any]) -> None:
    async def scenario() -> None:
        log = GatedLog()
        async with Journal(log) as journal:
            for _ in range(3):
                journal.append_lazy("commands", [EVENT])
            await asyncio.sleep(0.02)
            assert log.sizes == []
            assert await journal.append("jobs", [EVENT]) == 4
            assert log.sizes == [4]

    run(scenario())


def test_lazy_records_are_flushed_in_time(run: Run[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "LAZY_SECONDS", 0.02)

    async def scenario() -> None:
        stored = asyncio.Event()
        async with Journal(MemoryLog()) as journal:
            journal.on_commit(lambda events: stored.set())
            journal.append_lazy("commands", [EVENT])
            await asyncio.wait_for(stored.wait(), 20)
            assert journal.head == 1

    run(scenario())


def test_lazy_records_beyond_the_bound_push_out_the_oldest(run: Run[Any], caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        log = MemoryLog()
        async with Journal(log) as journal:
            for number in range(LAZY_BOUND + 5):
                journal.append_lazy("commands", [NewEvent("x.1", {"n": number})])
            assert journal.dropped == 5
            await journal.append("jobs", [EVENT])
            while journal.head < LAZY_BOUND + 1:
                journal.append("jobs", [EVENT])
                await asyncio.sleep(0.001)
            commands = await journal.read(stream="commands", limit=LAZY_BOUND + 9)
            assert [event.data["n"] for event in commands] == list(range(5, LAZY_BOUND + 5))

    run(scenario())
    assert len([record for record in caplog.records if "lost" in record.message]) == 1


def test_a_full_queue_refuses_and_recovers(run: Run[Any]) -> None:
    async def scenario() -> None:
        log = GatedLog()
        async with Journal(log) as journal:
            log.gate.clear()
            first = journal.append("jobs", [EVENT])
            await asyncio.to_thread(log.begun.wait)
            waiting = [journal.append("jobs", [EVENT]) for _ in range(WAITING_BOUND)]
            with pytest.raises(Unavailable, match="busy"):
                await journal.append("jobs", [EVENT])
            log.gate.set()
            assert [await first, *await asyncio.gather(*waiting)] == list(range(1, WAITING_BOUND + 2))

    run(scenario())


def test_giving_up_does_not_take_the_events_back(run: Run[Any]) -> None:
    async def scenario() -> None:
        log = GatedLog()
        async with Journal(log) as journal:
            log.gate.clear()
            journal.append("jobs", [EVENT]).cancel()
            log.gate.set()
            assert await journal.append("jobs", [EVENT]) == 2

    run(scenario())


def test_reading_does_not_wait_for_a_commit(run: Run[Any]) -> None:
    async def scenario() -> None:
        log = GatedLog()
        async with Journal(log) as journal:
            await journal.append("jobs", [EVENT])
            log.gate.clear()
            waiting = journal.append("jobs", [EVENT])
            assert len(await asyncio.wait_for(journal.read(), 20)) == 1
            log.gate.set()
            await waiting

    run(scenario())


def test_the_end_flushes_everything_and_closes_the_log(run: Run[Any]) -> None:
    async def scenario() -> None:
        log = MemoryLog()
        kept: list[StoredEvent] = []
        async with Journal(log) as journal:
            journal.on_commit(kept.extend)
            futures = [journal.append("jobs", [EVENT]) for _ in range(2 * BATCH)]
            for _ in range(2 * BATCH):
                journal.append_lazy("commands", [EVENT])
        assert len(kept) == log.head() == 4 * BATCH
        assert all(future.done() for future in futures)
        with pytest.raises(Unavailable):
            log.read()
        with pytest.raises(Unavailable):
            await journal.append("jobs", [EVENT])

    run(scenario())


def test_a_log_that_breaks_fails_its_appends_and_the_journal_lives_on(
    run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    class BrokenOnce(MemoryLog):
        broken = True

        def commit(self, appends: Sequence[Append], stored: list[StoredEvent] | None = None) -> list[int | BusError]:
            if self.broken:
                self.broken = False
                raise ZeroDivisionError("by design")
            return super().commit(appends, stored)

    async def scenario() -> None:
        async with Journal(BrokenOnce()) as journal:
            with pytest.raises(Unavailable, match="by design"):
                await journal.append("jobs", [EVENT])
            assert not journal.writable
            assert await journal.append("jobs", [EVENT]) == 1
            assert journal.writable

    run(scenario())
    assert "the event log failed" in caplog.text


class Segmented(MemoryLog):
    """A memory log that says it has a segment for every ten events."""

    def boundaries(self) -> Sequence[int]:
        [first] = super().boundaries()
        return (first, *range(first - first % 10 + 10, self.head() + 1, 10))


def test_retention_drops_segments_and_tells_checkpoints(run: Run[Any]) -> None:
    async def scenario() -> None:
        heard: list[StoredEvent] = []
        async with Journal(Segmented(), retention=Retention(3, ["users"])) as journal:
            journal.on_commit(heard.extend)
            await journal.append("users", [EVENT])
            for _ in range(50):
                await journal.append("jobs", [EVENT])
            first = await journal.compact(Retention(2, ["users"]))
            assert first == 40
            assert (await journal.read(limit=1))[0].seq == 40
        assert [event.seq for event in heard] == list(range(1, len(heard) + 1))
        checkpoints = [event for event in heard if event.type == CHECKPOINT]
        assert {event.stream for event in checkpoints} == {"users"}
        assert len(checkpoints) >= 2

    run(scenario())
