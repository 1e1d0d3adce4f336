"""Facts reach the log in their order, through refusals and outages, and never grow without bound."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar
from uuid import UUID

import pytest

from bus import record
from bus.errors import InvalidParams, Unavailable
from bus.log import NewEvent
from bus.record import MAX_WAITING, TOGETHER, Record
from tests.agent_bus import ALICE, RecordingBus


@asynccontextmanager
async def writing(facts: Record) -> AsyncIterator[None]:
    task = asyncio.create_task(facts.run(), name="record")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_facts_are_appended_in_order_with_their_actor(tmp_path: Path) -> None:
    async def main() -> None:
        bus = RecordingBus(tmp_path)
        facts = Record(bus)
        async with writing(facts):
            for number in range(50):
                facts.note("print", f"print.number.{number}", {}, ALICE if number == 7 else None)
            await bus.until(lambda: len(bus.events) == 50)
        assert [event.type for _, event in bus.events] == [f"print.number.{number}" for number in range(50)]
        assert [event.actor for _, event in bus.events if event.actor is not None] == [ALICE.as_dict()]

    asyncio.run(main())


def test_facts_that_wait_go_together_and_a_second_try_brings_the_same(tmp_path: Path) -> None:
    class Slow(RecordingBus):
        """Appends what it is given, but is cut off before it can say so the first time."""

        tries: ClassVar[list[tuple[int, UUID | None]]] = []

        def append(
            self, stream: str, events: Sequence[NewEvent], *, append_id: UUID | None = None
        ) -> asyncio.Future[int]:
            self.tries.append((len(events), append_id))
            done = super().append(stream, events, append_id=append_id)
            return done if len(self.tries) > 1 else asyncio.get_running_loop().create_future()

    async def main() -> None:
        bus = Slow(tmp_path)
        facts = Record(bus)
        for number in range(TOGETHER + 3):
            facts.note("files" if number else "print", f"number.{number}", {})
        async with writing(facts):
            await bus.until(lambda: len(bus.events) == 1)
            facts.note("files", "last.1", {})
        assert [count for count, _ in bus.tries] == [1, 1, TOGETHER, 3]
        assert bus.tries[0] == bus.tries[1]
        assert [event.type for _, event in bus.events] == [*(f"number.{n}" for n in range(TOGETHER + 3)), "last.1"]

    asyncio.run(main())


def test_an_outage_delays_and_a_refusal_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(record, "RETRY", 0.01)

    async def main() -> None:
        bus = RecordingBus(tmp_path)
        facts = Record(bus)
        bus.failing = Unavailable("the log is away")
        async with writing(facts):
            facts.note("print", "first.1", {})
            facts.note("print", "second.1", {})
            await asyncio.sleep(0.05)
            bus.failing = None
            await bus.until(lambda: len(bus.events) == 2)
            bus.failing = InvalidParams("never")
            facts.note("print", "refused.1", {})
            while "refused.1 was not written" not in caplog.text:  # noqa: ASYNC110 - it tells nobody but the log
                await asyncio.sleep(0.01)
            bus.failing = None
            facts.note("print", "third.1", {})
            await bus.until(lambda: len(bus.events) == 3)
        assert [event.type for _, event in bus.events] == ["first.1", "second.1", "third.1"]

    asyncio.run(main())


def test_what_waits_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bus = RecordingBus(tmp_path)
        facts = Record(bus)
        for number in range(MAX_WAITING + 10):
            facts.note("print", f"print.number.{number}", {})
        assert [each.message for each in caplog.records] == [
            f"{MAX_WAITING} facts wait for the event log: newer ones are lost until it has taken some"
        ]
        async with writing(facts):
            await bus.until(lambda: len(bus.events) == MAX_WAITING)
            facts.note("print", "later.1", {})
            await bus.until(lambda: bus.events[-1][1].type == "later.1")
        assert len(bus.events) == MAX_WAITING + 1

    asyncio.run(main())
