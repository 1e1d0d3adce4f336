"""Jobs and what is seen of them: when they begin, what a file of an earlier run is worth, and when it is written."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.sensors.job import FILE, Job
from agents.sensors.settings import HistoryFieldSettings
from agents.sensors.tracking import Tracker
from tests.agent_bus import RecordingBus
from tests.conftest import Run

LAST_PRINT, SHOWN = "rig/state/klippy/last_print", "rig/state/sensors/job_data"
FIELD = HistoryFieldSettings(parameter="energy", strategy="delta", init_tracker=True)


class Desk:
    """A job with one tracker, on a bus that records."""

    def __init__(self, data: Path) -> None:
        self.bus = RecordingBus(data)
        self.job = Job(self.bus, {"meter": [Tracker("sensor meter", "used", FIELD)]}, lambda _: {"energy": 1.0})

    def printing(self, started: float, state: str = "printing") -> None:
        self.bus.say(LAST_PRINT, {"filename": "a.gcode", "started": started, "state": state})

    def value(self) -> Any:
        self.job.show()
        return self.bus.retained[SHOWN]["fields"][0]["value"]


@asynccontextmanager
async def desk(data: Path) -> AsyncIterator[Desk]:
    (data / FILE).parent.mkdir(exist_ok=True)
    made = Desk(data)
    task = asyncio.create_task(made.job.run(), name="job")
    await made.bus.until(lambda: SHOWN in made.bus.retained)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_only_what_comes_during_a_job_counts(run: Run[None], tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as made:
            made.job.take("meter", {"energy": 5.0})
            made.printing(7.5)
            made.job.take("meter", {"energy": 4.0})
            made.job.take("meter", {"other": 9.0})
            made.job.take("door", {"energy": 9.0})
            made.printing(7.5, "completed")
            made.job.take("meter", {"energy": 6.0})
            assert made.value() == 3.0

    run(scenario())


def test_a_job_that_ends_early_has_nothing_of_the_one_before_and_all_of_its_own(run: Run[None], tmp_path: Path) -> None:
    def shown(made: Desk) -> Any:
        return made.bus.retained[SHOWN]["fields"][0]["value"]

    async def scenario() -> None:
        async with desk(tmp_path) as made:
            made.printing(7.5)
            made.job.take("meter", {"energy": 4.0})
            made.bus.say("rig/state/klippy/server", {"klippy_state": "shutdown"})
            assert shown(made) == 3.0
            made.printing(8.5)
            assert shown(made) == 0.0

    run(scenario())


def test_another_job_begins_anew_and_a_pause_is_none(run: Run[None], tmp_path: Path) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as made:
            made.printing(7.5)
            made.job.take("meter", {"energy": 4.0})
            made.printing(7.5, "paused")
            assert made.value() == 3.0
            made.printing(8.5)
            assert made.value() == 0.0

    run(scenario())


@pytest.mark.parametrize(("started", "value"), [(7.5, 5.0), (8.5, 2.0)])
def test_the_job_of_an_earlier_run_goes_on_and_no_other(
    run: Run[None], tmp_path: Path, started: float, value: float
) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as made:
            made.printing(7.5)
            made.job.take("meter", {"energy": 4.0})
        async with desk(tmp_path) as made:
            made.printing(started)
            made.job.take("meter", {"energy": 3.0 if started == 8.5 else 6.0})
            assert made.value() == value

    run(scenario())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"job": ["a.gcode", 7.5]}',
        b'{"job": ["a.gcode", 7.5], "seen": []}',
        b'{"job": ["a.gcode", 7.5], "seen": {"meter": {"used": {"all": 5}}}}',
        b'{"job": ["a.gcode", 7.5], "seen": {"meter": {"used": {"all": [], "colour": "red"}}}}',
    ],
)
def test_a_file_that_cannot_be_used_is_as_good_as_none(run: Run[None], tmp_path: Path, content: bytes) -> None:
    async def scenario() -> None:
        (tmp_path / FILE).parent.mkdir()
        (tmp_path / FILE).write_bytes(content)
        async with desk(tmp_path) as made:
            made.printing(7.5)
            made.job.take("meter", {"energy": 4.0})
            assert made.value() == 3.0
        assert json.loads((tmp_path / FILE).read_text())["job"] == ["a.gcode", 7.5]

    run(scenario())


def test_a_disk_that_takes_nothing_is_a_warning(
    run: Run[None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with desk(tmp_path) as made:
            made.printing(7.5)
            (tmp_path / FILE).parent.rmdir()

    run(scenario())
    assert "sensors.json could not be written: No such file or directory" in caplog.text
