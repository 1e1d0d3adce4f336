"""An answer that is made when something else is done, with and without a task."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bus.agent import after
from bus.errors import Conflict
from tests.conftest import Run

Work = Callable[["asyncio.Future[int]"], Awaitable[int]]


def as_it_is(future: "asyncio.Future[int]") -> Awaitable[int]:
    return future


async def in_a_coroutine(future: "asyncio.Future[int]") -> int:
    return await future


def fail() -> Any:
    raise Conflict("too late")


@pytest.mark.parametrize("work", [as_it_is, in_a_coroutine])
def test_it_is_made_once_the_work_is_done(work: Work, run: Run[None]) -> None:
    async def main() -> None:
        made, future = iter(["answer"]), asyncio.get_running_loop().create_future()
        answer = asyncio.ensure_future(after(work(future), lambda: next(made)))
        await asyncio.sleep(0.01)
        assert not answer.done()
        future.set_result(1)
        assert await answer == "answer"

    run(main())


@pytest.mark.parametrize("work", [as_it_is, in_a_coroutine])
def test_errors_of_the_work_and_of_making_it_are_the_answers(work: Work, run: Run[None]) -> None:
    async def main() -> None:
        failed, done = [asyncio.get_running_loop().create_future() for _ in range(2)]
        failed.set_exception(Conflict("in the work"))
        done.set_result(1)
        with pytest.raises(Conflict, match="in the work"):
            await after(work(failed), lambda: None)
        with pytest.raises(Conflict, match="too late"):
            await after(work(done), fail)

    run(main())


@pytest.mark.parametrize("work", [as_it_is, in_a_coroutine])
def test_work_that_is_cancelled_cancels_it(work: Work, run: Run[None]) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        answer = asyncio.ensure_future(after(work(future), fail))
        await asyncio.sleep(0)
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer

    run(main())


def test_nothing_is_made_for_nobody(run: Run[None]) -> None:
    async def main() -> None:
        future = asyncio.get_running_loop().create_future()
        answer = asyncio.ensure_future(after(future, fail))
        answer.cancel()
        future.set_result(1)
        await asyncio.sleep(0)
        assert answer.cancelled()

    run(main())
