"""Reports what was drawn from spools: each length once, whatever is lost on the way, and however this program ends."""

import logging
from collections.abc import Awaitable, Callable

from bus.aggregate import Aggregate, Fact
from schemas.spoolman import Sent

from .chronicle import DROPPED, RETURNED, SENT, TAKEN, Ledger
from .service import Refused, Service

log = logging.getLogger(__name__)

GONE = "Spoolman has no such spool any more"


class Reports:
    """Writes down what it is about to say before it says it.

    Where no answer comes, how much Spoolman says was drawn from the spool tells later whether it was taken.
    """

    def __init__(self, ledger: Aggregate[Ledger], service: Service, gone: Callable[[int], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._service = service
        self._gone = gone

    async def deliver(self) -> None:
        """Reports everything that waits; raises Unreachable, Refused and BusError, and then the rest still waits."""
        sent = self._ledger.fold.sent
        if sent is not None:
            await self._settle(sent)
        for spool_id in list(self._ledger.fold.waiting):
            await self._report(spool_id)

    async def _report(self, spool_id: int) -> None:
        before = await self._service.used_length(spool_id)
        if before is None:
            return await self._drop(spool_id)
        sent = Sent(spool_id=spool_id, length=self._ledger.fold.waiting[spool_id], used_before=before)
        await self._note((SENT, sent.model_dump()))
        try:
            after = await self._service.use(spool_id, sent.length)
        except Refused:
            await self._note((RETURNED, {"spool_id": spool_id}))
            raise
        await self._taken(spool_id, after)

    async def _settle(self, sent: Sent) -> None:
        """Whether a report arrived that was never answered: the amount moved nearer to the one than to the other."""
        used = await self._service.used_length(sent.spool_id)
        if used is not None and used - sent.used_before < sent.length / 2:
            return await self._note((RETURNED, {"spool_id": sent.spool_id}))
        await self._taken(sent.spool_id, used)

    async def _taken(self, spool_id: int, used: float | None) -> None:
        if used is None:
            return await self._drop(spool_id)
        await self._note((TAKEN, {"spool_id": spool_id}))

    async def _drop(self, spool_id: int) -> None:
        length = self._ledger.fold.pending()[spool_id]
        log.warning("%.1f mm of filament of spool %d are not reported: %s", length, spool_id, GONE)
        await self._note((DROPPED, {"spool_id": spool_id, "length": length, "reason": GONE}))
        await self._gone(spool_id)

    async def _note(self, fact: Fact) -> None:
        async with self._ledger.lock:
            await self._ledger.append([fact])
