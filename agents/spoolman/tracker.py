"""Which spool is in use, and everything that happens to it: at Klipper, at Spoolman, and between them."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from bus.agent import Actor, Bus, Host, Raw
from bus.aggregate import Aggregate
from bus.envelope import dumps
from bus.errors import BusError, NotFound
from bus.fetch import Unreachable
from schemas import Notification, spoolman

from .account import Account
from .chronicle import Ledger
from .extrusion import Extrusion
from .job import JobSpools
from .link import Link
from .proxy import proxied
from .reports import Reports
from .service import Refused, Service
from .settings import SpoolmanSettings
from .sight import Sight

log = logging.getLogger(__name__)

DOCUMENT = "spoolman"  # the state document
CHECK_TIMEOUT = 3.0  # seconds for Spoolman to say whether it has a spool; a slower one is heard later
RETRY_FIRST = 0.5  # seconds until what could not be reported is tried again
RETRY_GROWTH = 2.0
RETRY_MAX = 60.0

Notify = Callable[[Notification, list[Any]], None]


class Tracker:
    """Follows Klipper and Spoolman, and brings the one's news to the other."""

    def __init__(self, bus: Bus, settings: SpoolmanSettings, ledger: Aggregate[Ledger], notify: Notify) -> None:
        self._bus = bus
        self._sync_rate = settings.sync_rate
        self._notify = notify
        self._extrusion = Extrusion(ledger.fold.mark)
        self._account = Account(ledger, self._extrusion)
        self._job = JobSpools(bus, ledger.fold)
        self._sight = Sight(bus, self._extrusion, self._follow_print)
        self._service = Service(settings.server)
        self._link = Link(self._service.events, self._on_link, self._on_spool)
        self._reports = Reports(self._account, self._service, self._on_gone)
        self._due = asyncio.Event()  # it is time to report
        self._delivering = False
        self._pause = RETRY_FIRST
        self._retry_at = 0.0  # loop time before which nothing is reported
        self._shown = b""

    @classmethod
    async def restored(cls, bus: Bus, settings: SpoolmanSettings, host: Host | None, notify: Notify) -> Self:
        """With what the log knows."""
        ledger = Aggregate(bus, host, Ledger)
        await ledger.restore()
        return cls(bus, settings, ledger, notify)

    async def run(self) -> None:
        """Until cancelled."""
        self._show()
        self._job.show()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sight.run(), name="spoolman: toolhead")
            tasks.create_task(self._count(), name="spoolman: count")
            tasks.create_task(self._deliver(), name="spoolman: reports")
            tasks.create_task(self._link.run(), name="spoolman: link")

    def status(self) -> spoolman.Status:
        """As clients know it."""
        pending = self._reports.pending().items()
        return spoolman.Status(
            spoolman_connected=self._link.connected,
            pending_reports=[spoolman.Pending(spool_id=each, filament_used=length) for each, length in pending],
            spool_id=self._account.fold.active,
        )

    async def proxied(self, params: spoolman.ProxyParams) -> Raw:
        """Spoolman's answer to somebody else's request; raises BusError."""
        return await proxied(self._service, params)

    async def select(self, spool_id: int | None, actor: Actor | None = None) -> None:
        """Uses a spool from now on, or none; raises NotFound where Spoolman says that there is no such spool."""
        if spool_id is not None and self._link.connected and not await self._exists(spool_id):
            raise NotFound(f"Spoolman has no spool {spool_id}")
        await self._select(spool_id, actor)

    async def _exists(self, spool_id: int) -> bool:
        """Whether Spoolman has a spool, or does not say in time; then that is found out later."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                return await self._service.used_length(spool_id) is not None
        except (TimeoutError, Unreachable, Refused):
            return True

    async def _select(self, spool_id: int | None, actor: Actor | None = None) -> None:
        if not await self._account.select(spool_id, actor):
            return
        self._show()
        self._follow_print()
        self._notify(spoolman.SPOOL_SET, [spoolman.Active(spool_id=spool_id)])

    def _follow_print(self) -> None:
        if self._extrusion.complete:
            self._job.follow(self._extrusion.going_on(), self._account.fold.active)

    # -- what is told

    async def _count(self) -> None:
        """A Spoolman that takes its time does not keep anything from being written down."""
        while True:
            await asyncio.sleep(self._sync_rate)
            if not self._delivering:
                self._due.set()
                continue
            with suppress(BusError):  # the next time, then
                await self._account.note()
            self._show()

    async def _deliver(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            self._delivering = True
            try:
                await self._report()
            except (Unreachable, Refused, BusError) as error:
                log.warning("what was drawn from spools is not reported yet: %s", error)
                self._retry_at = asyncio.get_running_loop().time() + self._pause
                self._pause = min(self._pause * RETRY_GROWTH, RETRY_MAX)
            self._delivering = False
            self._show()

    async def _report(self) -> None:
        """Or at least writes down what there is to report."""
        if self._link.connected and asyncio.get_running_loop().time() >= self._retry_at:
            await self._reports.deliver()
            self._pause = RETRY_FIRST
        else:
            await self._reports.note()

    async def _on_link(self, connected: bool) -> None:
        self._show()
        self._notify(spoolman.STATUS_CHANGED, [spoolman.Connected(spoolman_connected=connected)])
        if not connected:
            return
        self._retry_at = 0.0  # what kept it from taking reports is over
        active = self._account.fold.active
        if active is not None and not await self._exists(active):
            await self._on_gone(active)

    async def _on_spool(self, kind: str, spool: dict[str, Any]) -> None:
        if kind == "deleted":
            await self._on_gone(spool["id"])

    async def _on_gone(self, spool_id: int) -> None:
        """Spoolman has no such spool any more."""
        if spool_id != self._account.fold.active:
            return
        log.warning("spool %d is not in use any more: Spoolman has it no longer", spool_id)
        try:
            await self._select(None)
        except BusError as error:
            log.warning("spool %d stays in use: %s", spool_id, error)

    def _show(self) -> None:
        document = dumps(self.status())
        if document != self._shown:
            self._shown = document
            self._bus.publish(self._bus.topics.state(spoolman.OWNER, DOCUMENT), document, retain=True)
