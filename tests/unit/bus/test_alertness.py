"""The loop stays awake after requests that follow each other closely, and only then."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bus.alertness import CLOSE_SECONDS, Alertness
from tests.conftest import Run


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


Check = Callable[[Alertness, Clock], Coroutine[Any, Any, None]]


@pytest.fixture
def hold(run: Run[Any]) -> Callable[[Check], None]:
    """Runs a check with an alertness and its clock."""

    def holds(check: Check) -> None:
        async def checked() -> None:
            clock = Clock()
            await check(Alertness(asyncio.get_running_loop(), clock), clock)

        run(checked())

    return holds


async def turns(count: int) -> None:
    """Lets the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_requests_that_are_apart_keep_nobody_awake(hold: Callable[[Check], None]) -> None:
    async def check(alertness: Alertness, clock: Clock) -> None:
        for _ in range(3):
            alertness.request()
            assert not alertness.awake
            clock.now += 2 * CLOSE_SECONDS

    hold(check)


def test_a_close_one_does_until_none_has_come_for_a_while(hold: Callable[[Check], None]) -> None:
    async def check(alertness: Alertness, clock: Clock) -> None:
        alertness.request()
        clock.now += CLOSE_SECONDS / 2
        alertness.request()
        await turns(5)
        assert alertness.awake
        clock.now += 2 * CLOSE_SECONDS
        await turns(2)
        assert not alertness.awake

    hold(check)


def test_further_requests_keep_it_awake(hold: Callable[[Check], None]) -> None:
    async def check(alertness: Alertness, clock: Clock) -> None:
        for _ in range(10):
            alertness.request()
            clock.now += CLOSE_SECONDS * 0.9
            await turns(2)
        assert alertness.awake

    hold(check)
