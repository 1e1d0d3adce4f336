"""The agent on a bus that records: what it writes down, whatever the log and its settings allow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.spoolman import Spoolman
from agents.spoolman.account import MAX_WAITING
from agents.spoolman.chronicle import DROPPED, STREAM, USED
from agents.spoolman.settings import SpoolmanSettings
from bus.errors import InvalidParams, OutOfSpace
from schemas import server, spoolman
from tests.agent_bus import RecordingBus, running, start_call

NOBODY = "http://127.0.0.1:9"  # the port to discard everything, where nobody listens


def extruder_at(e: float) -> Any:
    return {"eventtime": 1.0, "revision": 1, "status": {"toolhead": {"position": [0, 0, 0, e], "extruder": "extruder"}}}


class Desk:
    """The agent and its bus."""

    def __init__(self, folder: Path) -> None:
        self.bus = RecordingBus(folder)
        self.bus.results[server.EVENTS_READ.name] = {"events": []}
        self.agent = Spoolman(self.bus, SpoolmanSettings(server=NOBODY, sync_rate=0.1))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with running(self.agent):
            await self.status()
            await self.bus.until(lambda: self.bus.topics.klipper_delta in self.bus.handlers)
            yield

    async def status(self) -> Any:
        return await start_call(self.agent, spoolman.STATUS)

    async def select(self, spool_id: int | None) -> None:
        await start_call(self.agent, spoolman.POST_SPOOL, {"spool_id": spool_id})

    def extrude_to(self, e: float) -> None:
        self.bus.say(self.bus.topics.klipper_delta, extruder_at(e))

    def used(self) -> list[tuple[int, float]]:
        return [(data["spool_id"], data["length"]) for kind, data in self.bus.facts(STREAM) if kind == USED]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_the_log_does_not_take_is_written_down_later(desk: Desk) -> None:
    async def main() -> None:
        async with desk.open():
            await desk.select(1)
            desk.extrude_to(0)
            desk.bus.failing = OutOfSpace("full")
            desk.extrude_to(5)
            with pytest.raises(OutOfSpace):
                await desk.select(2)
            assert (await desk.status())["spool_id"] == 1
            desk.extrude_to(7)
            desk.bus.failing = None
            await desk.bus.until(desk.used)
        assert desk.used() == [(1, 7)]

    asyncio.run(main())


def test_no_more_spools_wait_than_are_kept(desk: Desk) -> None:
    async def main() -> None:
        async with desk.open():
            desk.extrude_to(0)
            for spool_id in range(MAX_WAITING + 2):
                await desk.select(spool_id)
                desk.extrude_to(spool_id + 1)
            await desk.select(None)
            pending = (await desk.status())["pending_reports"]
            assert [each["spool_id"] for each in pending] == list(range(2, MAX_WAITING + 2))
        dropped = [data for kind, data in desk.bus.facts(STREAM) if kind == DROPPED]
        assert [(data["spool_id"], data["length"]) for data in dropped] == [(0, 1), (1, 1)]

    asyncio.run(main())


@pytest.mark.parametrize("arguments", [{"spool_id": "first"}, {"spool_id": [1]}, {"spool_id": -1}])
def test_a_macro_with_something_else_than_a_spool_is_refused(desk: Desk, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams, match="spool_id"):
        asyncio.run(desk.agent._select_by_macro(arguments))
