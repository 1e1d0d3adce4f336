"""Which spools the history is told of."""

from pathlib import Path
from typing import Any

from agents.spoolman.chronicle import Ledger
from agents.spoolman.job import JobSpools
from schemas.spoolman import PrintMoment
from tests.agent_bus import RecordingBus

TOPIC = "rig/state/spoolman/job_data"


def moment(duration: float) -> PrintMoment:
    return PrintMoment(filename="a.gcode", total_duration=duration)


def shown(bus: RecordingBus) -> Any:
    fields = bus.retained[TOPIC]["fields"]
    return [field["value"] for field in fields]


def test_a_job_has_all_spools_that_were_in_use_until_the_next_one_begins() -> None:
    bus = RecordingBus(Path())
    job = JobSpools(bus, Ledger())
    job.show()
    assert shown(bus) == []
    job.follow(None, 7)
    assert shown(bus) == []
    for duration, spool_id in ((0.0, 1), (1.0, None), (2.0, 2), (3.0, 1)):
        job.follow(moment(duration), spool_id)
    assert shown(bus) == [[1, 2]]
    job.follow(None, 3)
    assert shown(bus) == [[1, 2]]
    job.follow(moment(4.0), 3)
    assert shown(bus) == [[3]]
    job.follow(moment(0.5), None)
    assert shown(bus) == []


def test_after_a_restart_those_from_which_was_drawn_are_still_known() -> None:
    for duration, expected in ((9.0, [[4, 5]]), (1.0, [[5]])):
        bus, ledger = RecordingBus(Path()), Ledger()
        ledger.print, ledger.print_spools = moment(8.0), [4]
        job = JobSpools(bus, ledger)
        job.follow(moment(duration), 5)
        assert shown(bus) == expected
