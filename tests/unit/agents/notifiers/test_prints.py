"""Facts about prints as occasions to tell: their names, and print_stats before and after."""

import asyncio
from pathlib import Path
from typing import Any

from agents.notifiers.prints import AT_REST, MAX_WAITING, Prints
from schemas.printer import OBJECTS_QUERY
from tests.agent_bus import RecordingBus
from tests.conftest import Run

FACTS = "rig/event/print/+"
FILE = {"filename": "a.gcode"}
ENDED = {"print_duration": 5.0, "total_duration": 6.0, "filament_used": 7.0, "message": ""}


def tell(bus: RecordingBus, kind: str, **data: Any) -> None:
    bus.say(f"rig/event/print/{kind}", {"type": kind, "data": FILE | data}, to=FACTS)


async def occasions(prints: Prints, count: int) -> list[tuple[str, list[dict[str, Any]]]]:
    found: list[tuple[str, list[dict[str, Any]]]] = []
    async with asyncio.timeout(20):
        async for event, occasion in prints.occasions():
            assert event == occasion.event
            found.append((event, list(occasion.args)))
            if len(found) == count:
                break
    return found


def test_facts_have_the_names_that_people_configure(run: Run[None], tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = RecordingBus(tmp_path)
        prints = Prints(bus)
        await prints.start()
        tell(bus, "print.started.1", found=True)  # by a server that was restarted
        for kind in ("started", "paused", "resumed"):
            tell(bus, f"print.{kind}.1")
        for how in ("completed", "cancelled", "error", "interrupted"):
            tell(bus, "print.ended.1", how=how, **ENDED)
        found = await occasions(prints, 7)
        names = ["started", "paused", "resumed", "complete", "cancelled", "error", "error"]
        states = ["printing", "paused", "printing", "complete", "cancelled", "error", "error"]
        assert [event for event, _ in found] == names
        assert [args[1]["state"] for _, args in found] == states
        assert [args[0] for _, args in found] == [AT_REST, *(args[1] for _, args in found[:-1])]

    run(scenario())


def test_what_klipper_says_is_there_and_the_fact_counts(run: Run[None], tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = RecordingBus(tmp_path)
        said = {"state": "standby", "filename": "", "filament_used": 0.0, "info": {"total_layer": 8}}
        bus.results[OBJECTS_QUERY.name] = {"eventtime": 1.0, "status": {"print_stats": said}}
        prints = Prints(bus)
        await prints.start()
        tell(bus, "print.ended.1", how="interrupted", **ENDED | {"message": "Lost communication with MCU"})
        ((_, (before, now)),) = await occasions(prints, 1)
        assert before == AT_REST | said
        assert now == said | FILE | ENDED | {"state": "error", "message": "Lost communication with MCU"}

    run(scenario())


def test_too_many_facts_are_not_told(run: Run[None], tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = RecordingBus(tmp_path)
        prints = Prints(bus)
        await prints.start()
        for _ in range(MAX_WAITING + 5):
            tell(bus, "print.paused.1")
        assert len(await occasions(prints, MAX_WAITING)) == MAX_WAITING

    run(scenario())
