"""The process statistics agent on a bus: how often it samples, what it tells, and what it answers."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from agents.procstats import ProcStats, agent
from bus.agent import Settings
from bus.host import BrokerHost
from schemas import machine
from tests.agent_bus import RecordingBus, running, start_call
from tests.conftest import Run
from tests.machines import MACHINES

USAGE, THROTTLED = "rig/state/procstats/usage", "rig/state/procstats/throttled"
FIRMWARE = "sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled"
UPDATE = machine.PROC_STAT_UPDATE.name


class Neighbours(BrokerHost):
    """A host that has as many websockets as a test says."""

    def __init__(self) -> None:
        self.count = 0

    def websockets(self) -> int:
        """As said."""
        return self.count


class Scene:
    """An agent whose seconds are short, on a Raspberry Pi."""

    def __init__(self, folder: Path) -> None:
        self.bus, self.host = RecordingBus(folder), Neighbours()
        self.root = MACHINES["Raspberry Pi 3"].build(folder / "root")
        self.agent = ProcStats(self.bus, Settings(), self.host, root=self.root)

    async def ask(self) -> dict[str, Any]:
        """The answer, of the shape that is promised."""
        found = await asyncio.wait_for(start_call(self.agent, machine.PROC_STATS), 20)
        TypeAdapter(machine.ProcStats).validate_python(found)
        return dict(found)

    def told(self) -> list[Any]:
        """The notifications so far."""
        return [params for name, params in self.bus.notifications() if name == UPDATE]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds."""
    monkeypatch.setattr(agent, "PERIOD", 0.01)


def test_the_first_who_asks_gets_everything_but_samples(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "PERIOD", 60.0)

    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            found = await here.ask()
            assert (found["moonraker_stats"], found["cpu_temp"]) == ([], 45.622)
            assert found["throttled_state"] == {"bits": 0, "flags": []}
            assert here.told() == []

    run(body())


def test_each_sample_is_told_on_both_topics_and_thirty_are_kept(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        here.host.count = 3
        async with running(here.agent):
            await here.bus.until(lambda: len(here.told()) > 35, 20)
            found = await here.ask()
            told = here.told()
        for (usage,) in told:
            TypeAdapter(machine.Usage).validate_python(usage)
        assert here.bus.messages(USAGE)[: len(told)] == [usage for (usage,) in told]
        newest = [usage["moonraker_stats"] for (usage,) in told][-30:]
        assert found["moonraker_stats"] == newest
        assert [each["time"] for each in newest] == sorted(each["time"] for each in newest)
        assert (told[-1][0]["websocket_connections"], found["websocket_connections"]) == (3, 3)

    run(body())


def test_an_answer_counts_the_websockets_of_this_moment(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "PERIOD", 60.0)

    async def body() -> None:
        here = Scene(tmp_path)
        async with running(here.agent):
            for count in (0, 2, 1):
                here.host.count = count
                assert (await here.ask())["websocket_connections"] == count

    run(body())


def test_throttling_is_told_when_it_changes(tmp_path: Path, run: Run[None]) -> None:
    async def body() -> None:
        here = Scene(tmp_path)
        (here.root / FIRMWARE).write_text("10000\n")
        async with running(here.agent):
            await here.bus.until(lambda: len(here.told()) > 12, 20)
            (here.root / FIRMWARE).write_text("50005\n")
            await here.bus.until(lambda: here.bus.retained[THROTTLED]["bits"] != 0x10000, 20)
            found = await here.ask()
        changed = [params for name, params in here.bus.notifications() if name == machine.CPU_THROTTLED.name]
        assert changed == [[found["throttled_state"]]]
        assert found["throttled_state"]["bits"] == 0x50005
        assert [each["bits"] for each in here.bus.messages(THROTTLED)] == [0x10000, 0x50005]

    run(body())


def test_a_slow_measurement_is_not_made_up_for(tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples stay a period apart also after one that took three."""
    monkeypatch.setattr(agent, "PERIOD", 0.1)

    async def body() -> None:
        here = Scene(tmp_path)
        began: list[float] = []
        ended = 0.0
        loop = asyncio.get_running_loop()
        measure = here.agent._meter.measure

        def slow() -> Any:
            nonlocal ended
            began.append(loop.time())
            if len(began) == 2:
                time.sleep(0.35)
                ended = loop.time()
            return measure()

        monkeypatch.setattr(here.agent._meter, "measure", slow)
        async with running(here.agent):
            await here.bus.until(lambda: len(began) > 5)
        assert all(at - ended > number * 0.1 - 0.01 for number, at in enumerate(began[2:]))  # each may begin late

    run(body())
