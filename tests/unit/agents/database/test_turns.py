"""Writes at the same time: those that depend on each other wait, all others go at once, and none overtakes another."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from agents.database.places import Place
from agents.database.turns import Durable, Turns
from bus.errors import NotFound, OutOfSpace

KEYS = st.sampled_from(["a", "a.b", "a.b.c", "a.d", "e", "e.f"])


class Disk:
    """Writes that become durable when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.waiting: dict[str, Durable] = {}

    def write(self, name: str) -> tuple[Durable, str]:
        self.begun.append(name)
        self.waiting[name] = asyncio.get_running_loop().create_future()
        return self.waiting[name], name

    async def settle(self) -> None:
        """Lets everything become durable that has begun."""
        for durable in self.waiting.values():
            durable.set_result(1)
        self.waiting.clear()
        for _ in range(3):
            await asyncio.sleep(0)


def place(name: str) -> Place:
    return Place("n", tuple(name.split("#")[0].split(".")))


async def order_of(*writes: str) -> list[list[str]]:
    """Which begin together, commit by commit; what is behind a # tells writes of one place apart."""
    turns, disk, steps = Turns(), Disk(), []
    answers = [turns.write(place(name), lambda name=name: disk.write(name)) for name in writes]  # type: ignore[misc]
    while disk.begun:
        steps.append(disk.begun)
        disk.begun = []
        await disk.settle()
    assert [answer.result() for answer in answers] == list(writes)
    return steps


def test_independent_writes_begin_at_once() -> None:
    assert asyncio.run(order_of("a.b", "a.c", "d")) == [["a.b", "a.c", "d"]]


def test_a_write_waits_for_what_is_inside_around_and_in_its_place() -> None:
    assert asyncio.run(order_of("a.b", "a")) == [["a.b"], ["a"]]
    assert asyncio.run(order_of("a", "a.b.c")) == [["a"], ["a.b.c"]]
    assert asyncio.run(order_of("a.b#1", "a.b#2")) == [["a.b#1"], ["a.b#2"]]


def test_nothing_overtakes_what_waits() -> None:
    assert asyncio.run(order_of("a", "a.b", "c", "a#2")) == [["a"], ["a.b", "c"], ["a#2"]]


@given(st.lists(KEYS, max_size=12))
def test_the_order_is_that_of_arrival_and_no_commit_holds_two_that_overlap(keys: list[str]) -> None:
    names = [f"{key}#{number}" for number, key in enumerate(keys)]
    steps = asyncio.run(order_of(*names))
    assert [name for step in steps for name in step] == names
    for step in steps:
        places = [place(name) for name in step]
        assert not any(one.leads_to(other) for one in places for other in places if one is not other)


async def lonely(turns: Turns, entered: asyncio.Event, leave: asyncio.Event) -> None:
    async with turns.alone():
        entered.set()
        await leave.wait()


def test_alone_nothing_else_is_written() -> None:
    async def main() -> None:
        turns, disk = Turns(), Disk()
        first = turns.write(place("a"), lambda: disk.write("a"))
        entered, leave = asyncio.Event(), asyncio.Event()
        alone = asyncio.create_task(lonely(turns, entered, leave), name="alone")
        await asyncio.sleep(0)
        second = turns.write(place("b"), lambda: disk.write("b"))
        assert (entered.is_set(), disk.begun) == (False, ["a"])
        await disk.settle()
        assert (entered.is_set(), disk.begun, first.result()) == (True, ["a"], "a")
        leave.set()
        await alone
        await asyncio.sleep(0)
        await disk.settle()
        assert second.result() == "b"

    asyncio.run(main())


def test_a_write_that_is_refused_or_fails_holds_up_nobody() -> None:
    def refuse() -> tuple[Durable, str]:
        raise NotFound("nothing")

    async def main() -> None:
        turns, disk = Turns(), Disk()
        failing = turns.write(place("a"), lambda: disk.write("a"))
        refused = turns.write(place("a.b"), refuse)
        last = turns.write(place("a.b"), lambda: disk.write("a.b"))
        disk.waiting.pop("a").set_exception(OutOfSpace("full"))
        for _ in range(2):
            await asyncio.sleep(0)
        await disk.settle()
        assert [type(answer.exception()) for answer in (failing, refused, last)] == [OutOfSpace, NotFound, type(None)]

    asyncio.run(main())
