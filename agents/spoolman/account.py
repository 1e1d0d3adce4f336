"""What was drawn from which spool: written down in the log, together with whatever else there is to write."""

import logging
from collections.abc import Sequence

from bus.agent import Actor
from bus.aggregate import Aggregate, Fact
from bus.log import JSON

from .chronicle import DROPPED, SELECTED, USED, Ledger
from .extrusion import Extrusion

log = logging.getLogger(__name__)

MAX_WAITING = 100  # spools; for one more, what has waited longest is given up
TOO_MANY = "too many spools wait"


class Account:
    """The ledger, and what the extruders have drawn since its last entry."""

    def __init__(self, ledger: Aggregate[Ledger], extrusion: Extrusion) -> None:
        self._ledger = ledger
        self._extrusion = extrusion

    @property
    def fold(self) -> Ledger:
        """What is written down."""
        return self._ledger.fold

    def owed(self) -> list[int]:
        """Spools of which there is something to report."""
        active = self.fold.active
        drawn = [] if active is None or self._extrusion.used() <= 0 else [active]
        return list(dict.fromkeys((*self.fold.waiting, *drawn)))

    async def note(self, *more: Fact) -> None:
        """Writes down what was drawn, then other facts; raises BusError, and then it counts the next time."""
        async with self._ledger.lock:
            await self._write(more)

    async def select(self, spool_id: int | None, actor: Actor | None) -> bool:
        """Whether another spool is in use now than before, of which was drawn so far; raises BusError."""
        async with self._ledger.lock:
            if spool_id == self.fold.active:
                return False
            mark = self._extrusion.mark()
            data: dict[str, JSON] = {"spool_id": spool_id, "mark": None if mark is None else mark.model_dump()}
            await self._write([(SELECTED, data)], actor)
            return True

    async def _write(self, more: Sequence[Fact], actor: Actor | None = None) -> None:
        length = self._extrusion.used()
        await self._ledger.append([*self._drawn(length), *more], actor)
        self._extrusion.take(length)

    def _drawn(self, length: float) -> list[Fact]:
        """Nothing where no spool is in use."""
        fold, mark = self.fold, self._extrusion.mark()
        if fold.active is None or length <= 0 or mark is None:
            return []
        facts: list[Fact] = [(USED, {"spool_id": fold.active, "length": length, "mark": mark.model_dump()})]
        if fold.active not in fold.waiting and len(fold.waiting) >= MAX_WAITING:
            spool_id, lost = next(iter(fold.waiting.items()))
            log.warning("%.1f mm of filament of spool %d are not reported: %s", lost, spool_id, TOO_MANY)
            facts.insert(0, (DROPPED, {"spool_id": spool_id, "length": lost, "reason": TOO_MANY}))
        return facts
