"""Reports what was drawn from spools: each length once, whatever is lost on the way, and however this program ends."""

import logging
from collections.abc import Awaitable, Callable

from bus.aggregate import Fact

from .account import Account
from .chronicle import DROPPED, RETURNED, SENT, TAKEN, Report
from .service import Refused, Service

log = logging.getLogger(__name__)

GONE = "Spoolman has no such spool any more"


class Reports:
    """Writes down what it is about to say before it says it.

    Where no answer comes, how much Spoolman says was drawn from the spool tells later whether it was taken. So an
    answer need not be written down at once: that waits for the next report, which saves the disk half of the work.
    """

    def __init__(self, account: Account, service: Service, gone: Callable[[int], Awaitable[None]]) -> None:
        self._account = account
        self._service = service
        self._gone = gone
        self._taken: list[Fact] = []  # not written down yet

    def pending(self) -> dict[int, float]:
        """Millimetres by spool that Spoolman has not confirmed."""
        return dict(self._account.fold.waiting) if self._taken else self._account.fold.pending()

    async def deliver(self) -> None:
        """Reports everything that waits; raises Unreachable, Refused and BusError, and then the rest still waits."""
        sent = self._account.fold.sent
        if sent is not None and not self._taken:
            await self._settle(sent)
        owed = self._account.owed()
        for spool_id in owed:
            await self._report(spool_id)
        if not owed:
            await self.note()

    async def note(self, *more: Fact) -> None:
        """Writes facts down, and what else there is to write; raises BusError, and then nothing has changed."""
        await self._account.note(*self._taken, *more)
        self._taken = []

    async def _report(self, spool_id: int) -> None:
        before = await self._service.used_length(spool_id)
        if before is None:
            return await self._drop(spool_id)
        await self.note((SENT, {"spool_id": spool_id, "used_before": before}))
        if sent := self._account.fold.sent:
            await self._send(sent)

    async def _send(self, sent: Report) -> None:
        try:
            used = await self._service.use(sent.spool_id, sent.length)
        except Refused:
            await self.note((RETURNED, {"spool_id": sent.spool_id}))
            raise
        await self._end(sent, used)

    async def _settle(self, sent: Report) -> None:
        """Whether a report arrived that was never answered: the amount is nearer to the one than to the other."""
        used = await self._service.used_length(sent.spool_id)
        if used is not None and used - sent.used_before < sent.length / 2:
            await self.note((RETURNED, {"spool_id": sent.spool_id}))
        else:
            await self._end(sent, used)

    async def _end(self, sent: Report, used: float | None) -> None:
        if used is None:
            await self._drop(sent.spool_id)
        else:
            self._taken = [(TAKEN, {"spool_id": sent.spool_id})]

    async def _drop(self, spool_id: int) -> None:
        await self.note()
        length = self.pending().get(spool_id, 0.0)
        log.warning("%.1f mm of filament of spool %d are not reported: %s", length, spool_id, GONE)
        await self.note((DROPPED, {"spool_id": spool_id, "length": length, "reason": GONE}))
        await self._gone(spool_id)
