"""In which order writes and reads go: as they come, but at once where none needs another's outcome."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

from bus.errors import BusError

from .places import Place

EVERYTHING: Final = Place("")  # no namespace is called so

Durable = asyncio.Future[int]
Work = Callable[
    [], tuple[Durable, Any]
]  # decides and appends; gives what is to be durable, and the answer to give then
Answer = asyncio.Future[Any]
T = TypeVar("T")


class Turns:
    """What is under way, and what waits: each decides by what is durable, so what it depends on has to be.

    What depends on nothing goes at once, and writes share a commit.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Place, Work, Answer]] = deque()
        self._under_way: Counter[Place] = Counter()
        self._around: Counter[Place] = Counter()  # the places under way, and those that they are inside

    def write(self, place: Place, work: Work) -> Answer:
        """The answer of `work`, which begins at once unless something at, in or around the place is under way."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((place, work, answer))
        self._go_on()
        return answer

    def read(self, place: Place, find: Callable[[], T]) -> "T | asyncio.Future[T]":
        """What `find` gives, at once unless that depends on what is under way."""
        if not self._waiting and not self._is_blocked(place):
            return find()
        return self.write(place, lambda: (_nothing(), find()))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nothing else is written meanwhile."""
        entered = asyncio.Event()
        left: Durable = asyncio.get_running_loop().create_future()

        def enter() -> tuple[Durable, None]:
            entered.set()
            return left, None

        self.write(EVERYTHING, enter)
        try:
            await entered.wait()
            yield
        finally:
            left.set_result(0)

    def _go_on(self) -> None:
        while self._waiting and not self._is_blocked(self._waiting[0][0]):
            place, work, answer = self._waiting.popleft()
            try:
                durable, value = work()
            except BusError as error:
                answer.set_exception(error)
                continue
            self._under_way[place] += 1
            self._around.update(place.outwards())
            durable.add_done_callback(partial(self._done, place, answer, value))

    def _is_blocked(self, place: Place) -> bool:
        if place == EVERYTHING:
            return bool(self._under_way)
        return self._around[place] > 0 or any(outer in self._under_way for outer in (EVERYTHING, *place.outwards()))

    def _done(self, place: Place, answer: Answer, value: Any, durable: Durable) -> None:
        _take(self._under_way, (place,))
        _take(self._around, place.outwards())
        error = durable.exception()
        if answer.done():
            pass  # nobody waits for it any more
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)
        self._go_on()


def _nothing() -> Durable:
    """What is durable already."""
    done: Durable = asyncio.get_running_loop().create_future()
    done.set_result(0)
    return done


def _take(counts: Counter[Place], places: Iterable[Place]) -> None:
    for place in places:
        counts[place] -= 1
        if not counts[place]:
            del counts[place]
