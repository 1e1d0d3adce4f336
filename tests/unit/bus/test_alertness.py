"""The loop stays awake after requests that follow each other closely, and only then."""

import asyncio
from typing import Any

from bus.alertness import CLOSE_SECONDS, Alertness
from tests.conftest import Run

PATIENCE = 5.0  # seconds


async def until_asleep(alertness: Alertness) -> int:
    """How many turns the loop made meanwhile."""
    turns = 0
    async with asyncio.timeout(PATIENCE):
        while alertness.awake:
            await asyncio.sleep(0)
            turns += 1
    return turns


def test_one_request_keeps_nobody_awake(run: Run[Any]) -> None:
    async def check() -> None:
        alertness = Alertness(asyncio.get_running_loop())
        alertness.request()
        assert not alertness.awake
        await asyncio.sleep(CLOSE_SECONDS * 4)
        alertness.request()
        assert not alertness.awake

    run(check())


def test_a_close_one_does_for_a_short_while(run: Run[Any]) -> None:
    async def check() -> None:
        alertness = Alertness(asyncio.get_running_loop())
        for _ in range(100):
            alertness.request()
        assert alertness.awake
        assert await until_asleep(alertness) > 1
        alertness.request()
        assert not alertness.awake

    run(check())


def test_it_is_kept_up_by_further_requests(run: Run[Any]) -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        alertness, end = Alertness(loop), loop.time() + CLOSE_SECONDS * 8
        while loop.time() < end:
            alertness.request()
            await asyncio.sleep(0)
        assert alertness.awake
        await until_asleep(alertness)

    run(check())
