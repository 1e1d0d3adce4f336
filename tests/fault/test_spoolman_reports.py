"""Reports to Spoolman under lost answers, errors and deaths between any two facts: each length arrives once."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.spoolman.chronicle import STREAM, USED, Ledger
from agents.spoolman.reports import Reports
from agents.spoolman.service import Refused, Service
from bus.aggregate import Aggregate
from bus.fetch import Unreachable
from bus.log import JSON, NewEvent
from bus.mandate import Mandate
from tests.agent_bus import RecordingBus
from tests.spoolman_script import Spoolman, Trouble, spoolman

MARK: dict[str, JSON] = {"extruder": "extruder", "position": 0.0, "print": None}
TROUBLES = [Trouble(counts, status) for counts in (True, False) for status in (None, 500)] + [Trouble(False, 422)]
STEPS = st.tuples(
    st.integers(1, 3),  # the spool
    st.integers(1, 4000).map(lambda tenths: tenths / 10),
    st.none() | st.sampled_from(TROUBLES),
    st.none() | st.tuples(st.integers(0, 2), st.booleans()),
)
Step = tuple[int, float, Trouble | None, tuple[int, bool] | None]


class Died(BaseException):
    """The power was lost."""


class LastingLog(RecordingBus):
    """Keeps its events over restarts; `death` loses the power at one of the next appends, before or after it."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.death: tuple[int, bool] | None = None

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """Pages of events."""
        page = list(enumerate(self.events, 1))[params["since"] :][: params["limit"]]
        return {"events": [vars_of(number, event) for number, (_, event) in page]}

    async def _append(self, stream: str, events: Sequence[NewEvent]) -> int:
        left, after = self.death or (-1, False)
        if self.death is not None:
            self.death = left - 1, after
        if left == 0 and not after:
            raise Died
        head = await super()._append(stream, events)
        if left == 0:
            raise Died
        return head


def vars_of(number: int, event: NewEvent) -> dict[str, Any]:
    return {"seq": number, "time": 0.0, "stream": STREAM, "type": event.type, "actor": None, "data": event.data}


@pytest.fixture(scope="module")
def server() -> Iterator[Spoolman]:
    with spoolman({}) as found:
        yield found


async def started(log: LastingLog, server: Spoolman) -> tuple[Aggregate[Ledger], Reports]:
    ledger = Aggregate(log, None, Ledger)
    await ledger.restore()

    async def gone(_spool_id: int) -> None:
        raise AssertionError("no spool was deleted")

    return ledger, Reports(ledger, Service(server.url), gone)


async def told(server: Spoolman, steps: list[Step]) -> None:
    log, owed = LastingLog(), dict.fromkeys(server.spools, 0.0)
    ledger, reports = await started(log, server)
    for spool_id, length, trouble, death in steps:
        await ledger.append([(USED, {"spool_id": spool_id, "length": length, "mark": MARK})])
        owed[spool_id] += length
        server.troubles.extend([] if trouble is None else [trouble])
        log.death = death
        try:
            await reports.deliver()
        except (Unreachable, Refused):
            continue
        except Died:
            ledger, reports = await started(log, server)
        finally:
            log.death = None
            server.troubles.clear()
    ledger, reports = await started(log, server)
    await reports.deliver()
    assert ledger.fold.pending() == {}
    assert server.spools == pytest.approx(owed)


@settings(max_examples=20)
@given(st.lists(STEPS, max_size=6))
def test_each_length_arrives_once(server: Spoolman, steps: list[Step]) -> None:
    server.spools.update({1: 0.0, 2: 0.0, 3: 0.0})
    asyncio.run(told(server, steps))


def test_a_spool_that_somebody_else_changes_is_asked_before_it_is_told(server: Spoolman) -> None:
    async def main() -> None:
        log = LastingLog()
        ledger, reports = await started(log, server)
        for length, used, trouble in ((5.0, 0.0, None), (3.0, 5.0, None), (4.0, 900.0, Trouble(True))):
            server.spools[1] = used
            await ledger.append([(USED, {"spool_id": 1, "length": length, "mark": MARK})])
            server.troubles.extend([] if trouble is None else [trouble])
            with suppress(Unreachable):
                await reports.deliver()
        await reports.deliver()
        assert (server.spools[1], ledger.fold.pending()) == (904, {})

    asyncio.run(main())
