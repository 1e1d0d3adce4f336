"""Reports to Spoolman under lost answers, errors and deaths between any two facts: each length arrives once."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.spoolman.account import Account
from agents.spoolman.chronicle import STREAM, Ledger
from agents.spoolman.extrusion import Extrusion
from agents.spoolman.reports import Reports
from agents.spoolman.service import Refused, Service
from bus.aggregate import Aggregate
from bus.fetch import Unreachable
from bus.log import NewEvent
from bus.mandate import Mandate
from tests.agent_bus import RecordingBus
from tests.spoolman_script import Spoolman, Trouble, spoolman

TROUBLES = [Trouble(counts, status) for counts in (True, False) for status in (None, 500)] + [Trouble(False, 422)]
STEPS = st.tuples(
    st.none() | st.integers(1, 3),  # the spool that is in use from now on
    st.integers(1, 4000).map(lambda tenths: tenths / 10),
    st.none() | st.sampled_from(TROUBLES),
    st.none() | st.tuples(st.integers(0, 2), st.booleans()),
)
Step = tuple[int | None, float, Trouble | None, tuple[int, bool] | None]


class Died(BaseException):
    """The power was lost."""


class LastingLog(RecordingBus):
    """Keeps its events over restarts; `death` loses the power at one of the next appends, before or after it."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.death: tuple[int, bool] | None = None
        self.appends = 0

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
        self.appends += 1
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


class Host:
    """One life of the program after the other, beside a printer that prints all the time."""

    def __init__(self, server: Spoolman) -> None:
        self.server = server
        self.log = LastingLog()
        self.position = 0.0

    async def start(self) -> None:
        """Knows what the log knows, and sees the extruder."""
        ledger = Aggregate(self.log, None, Ledger)
        await ledger.restore()
        self.extrusion = Extrusion(ledger.fold.mark)
        self.account = Account(ledger, self.extrusion)
        self.reports = Reports(self.account, Service(self.server.url), self._gone)
        self.extrude(0.0)

    async def _gone(self, _spool_id: int) -> None:
        raise AssertionError("no spool was deleted")

    def extrude(self, length: float) -> None:
        self.position += length
        stats = {"state": "printing", "filename": "a.gcode", "total_duration": self.position}
        toolhead = {"position": [0.0, 0.0, 0.0, self.position], "extruder": "extruder"}
        self.extrusion.seen({"toolhead": toolhead, "print_stats": stats})

    async def select(self, spool_id: int | None) -> None:
        await self.account.select(spool_id, None)

    async def deliver(self) -> None:
        """Until nothing is left to say."""
        await self.reports.deliver()
        await self.reports.deliver()
        assert self.account.fold.pending() == {}


async def lived(host: Host, steps: list[Step]) -> None:
    await host.start()
    await host.select(1)
    drawn = dict.fromkeys(host.server.spools, 0.0)
    for spool_id, length, trouble, death in steps:
        host.extrude(length)
        if host.account.fold.active is not None:
            drawn[host.account.fold.active] += length
        host.server.troubles.extend([] if trouble is None else [trouble])
        host.log.death = death
        try:
            await host.reports.deliver()
            await host.select(spool_id)
        except (Unreachable, Refused):
            continue
        except Died:
            host.log.death = None
            await host.start()
        finally:
            host.log.death = None
            host.server.troubles.clear()
    await host.start()
    await host.deliver()
    assert host.server.spools == pytest.approx(drawn)


@given(st.lists(STEPS, max_size=6))
def test_each_length_arrives_once(server: Spoolman, steps: list[Step]) -> None:
    server.spools.update({1: 0.0, 2: 0.0, 3: 0.0})
    asyncio.run(lived(Host(server), steps))


def test_a_spool_that_somebody_else_changes_is_asked_before_it_is_told(server: Spoolman) -> None:
    async def main(host: Host) -> None:
        await host.start()
        await host.select(1)
        for length, used, trouble in ((5.0, 0.0, None), (3.0, 5.0, None), (4.0, 900.0, Trouble(True))):
            server.spools[1] = used
            host.extrude(length)
            server.troubles.extend([] if trouble is None else [trouble])
            with suppress(Unreachable):
                await host.reports.deliver()
        await host.deliver()
        assert server.spools[1] == 904

    server.spools.update({1: 0.0})
    asyncio.run(main(Host(server)))


def test_a_report_costs_one_write_and_its_end_one_more(server: Spoolman) -> None:
    async def main(host: Host) -> None:
        await host.start()
        await host.select(1)
        host.log.appends = 0
        for _ in range(5):
            host.extrude(2.0)
            await host.reports.deliver()
            assert host.reports.pending() == {}
        assert (server.spools[1], host.log.appends) == (10, 5)
        await host.deliver()
        assert host.log.appends == 6

    server.spools.update({1: 0.0})
    asyncio.run(main(Host(server)))
