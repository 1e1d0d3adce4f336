"""The process statistics agent: takes a sample a second, tells it to everybody, and keeps the last ones."""

import asyncio
from collections import deque
from pathlib import Path
from typing import Any

from orjson import Fragment

from bus.agent import Agent, Bus, Call, Host, Raw, Settings, implements
from bus.clock import SYSTEM, Clock
from bus.envelope import dumps
from schemas import NoParams, machine

from .meter import Measured, Meter

PERIOD = 1.0  # seconds from one sample to the next
KEPT = 30  # samples


class ProcStats(Agent):
    """How busy program and host are; it measures its own process, so it runs beside the broker only."""

    name = machine.PROCSTATS
    components = ("proc_stats",)
    beside_broker = True

    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        host: Host | None = None,
        root: Path = Path("/"),
        clock: Clock = SYSTEM,
    ) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("process statistics are taken beside the broker only")
        self._host = host
        self._meter = Meter(root, clock)
        self._samples: deque[Fragment] = deque(maxlen=KEPT)
        self._latest: Measured | None = None
        self._known = asyncio.Event()
        self._shown: tuple[Measured, int, Raw] | None = None  # the answer, and what it was made of

    async def run(self) -> None:
        """Samples until cancelled; never oftener than once a period, even after a delay."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        self._look(await asyncio.to_thread(self._meter.measure))
        while True:
            due = max(due + PERIOD, loop.time())
            await asyncio.sleep(due - loop.time())
            measured = await asyncio.to_thread(self._meter.measure)
            self._look(measured)
            self._tell(measured)

    def _look(self, measured: Measured) -> None:
        before, self._latest = self._latest, measured
        self._known.set()
        if measured.throttled is not None and (before is None or measured.throttled != before.throttled):
            self.bus.publish(self.bus.topics.state(self.name, "throttled"), dumps(measured.throttled), retain=True)
            if before is not None:
                self.notify(machine.CPU_THROTTLED, [measured.throttled])

    def _tell(self, measured: Measured) -> None:
        sample = Fragment(dumps(measured.process))
        self._samples.append(sample)
        usage = dumps({"moonraker_stats": sample, **measured.host, "websocket_connections": self._host.websockets()})
        self.bus.publish(self.bus.topics.state(self.name, "usage"), usage, retain=True)
        self.notify(machine.PROC_STAT_UPDATE, [Fragment(usage)])

    @implements(machine.PROC_STATS)
    def proc_stats(self, params: NoParams, call: Call) -> Any:
        """Waits only while nothing is known yet."""
        return self._first() if self._latest is None else self._answer(self._latest)

    async def _first(self) -> Raw:
        while self._latest is None:
            await self._known.wait()
        return self._answer(self._latest)

    def _answer(self, measured: Measured) -> Raw:
        """Made anew only when something of it has changed."""
        websockets = self._host.websockets()
        if self._shown is None or self._shown[:2] != (measured, websockets):
            answer = {
                "moonraker_stats": list(self._samples),
                "throttled_state": measured.throttled,
                **measured.host,
                "system_uptime": measured.uptime,
                "websocket_connections": websockets,
            }
            self._shown = measured, websockets, Raw(dumps(answer))
        return self._shown[2]
