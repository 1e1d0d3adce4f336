"""Effects are credited to the latest caller who asked for them, for a short while."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from agents.klippy.credits import MAX_CREDITS, WINDOW, Credits
from agents.klippy.prints import ENDED, PAUSED, RESUMED, STARTED
from bus.agent import Actor

ALICE, BOB = Actor("alice", "http", "a"), Actor("bob", "mqtt", "b")


class Time:
    now = 0.0


def scene(body: Callable[[Credits, Time, "asyncio.Future[Any]"], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        time = Time()
        await body(Credits(lambda: time.now), time, asyncio.get_running_loop().create_future())

    asyncio.run(main())


def test_the_latest_matching_caller_is_credited() -> None:
    async def body(credits: Credits, time: Time, answer: "asyncio.Future[Any]") -> None:
        credits.asked(STARTED, ALICE, answer, "FILENAME=a.gcode")
        credits.asked(STARTED, BOB, answer, "FILENAME=b.gcode")
        credits.asked(PAUSED, BOB, answer)
        assert credits.who(STARTED, "a.gcode") is ALICE
        assert credits.who(STARTED, "b.gcode") is BOB
        assert credits.who(STARTED, "c.gcode") is None
        assert credits.who(PAUSED, "a.gcode") is BOB
        assert credits.who(ENDED, "a.gcode") is None

    scene(body)


def test_a_request_counts_while_it_waits_and_a_little_longer() -> None:
    async def body(credits: Credits, time: Time, answer: "asyncio.Future[Any]") -> None:
        credits.asked(ENDED, ALICE, answer)
        time.now = 3600.0
        assert credits.who(ENDED) is ALICE
        answer.set_result("ok")
        await asyncio.sleep(0)
        time.now += WINDOW
        assert credits.who(ENDED) is ALICE
        time.now += 0.1
        assert credits.who(ENDED) is None

    scene(body)


def test_scripts_are_searched_for_commands() -> None:
    async def body(credits: Credits, time: Time, answer: "asyncio.Future[Any]") -> None:
        script = 'G28\n sdcard_print_file FILENAME="my part.gcode"\nM117 PAUSE\nPAUSED_MACRO\ncancel_print'
        credits.asked_by_script(script, ALICE, answer)
        assert credits.who(STARTED, "my part.gcode") is ALICE
        assert credits.who(STARTED, "other.gcode") is None
        assert credits.who(PAUSED) is None
        assert credits.who(ENDED, "my part.gcode") is ALICE
        credits.asked_by_script("M24", BOB, answer)
        assert credits.who(RESUMED) is credits.who(STARTED, "any.gcode") is BOB

    scene(body)


def test_memory_is_bounded() -> None:
    async def body(credits: Credits, time: Time, answer: "asyncio.Future[Any]") -> None:
        credits.asked(ENDED, ALICE, answer)
        credits.asked_by_script("PAUSE\n" * 100_000, BOB, answer)
        assert credits.who(ENDED) is None
        assert credits.who(PAUSED) is BOB
        assert len(credits._recent) == MAX_CREDITS

    scene(body)
