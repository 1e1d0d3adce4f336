"""Which spools a print has used, for its job in the history."""

from bus.agent import Bus
from bus.envelope import dumps
from schemas import history, spoolman
from schemas.spoolman import PrintMoment

from .chronicle import Ledger
from .extrusion import same_print


class JobSpools:
    """The spools that were in use during a print, and, after a restart, those that it has drawn from before.

    They are shown until the next print begins, so that the history finds them when this one ends.
    """

    def __init__(self, bus: Bus, ledger: Ledger) -> None:
        self._bus = bus
        self._print = ledger.print
        self._spools = list(ledger.print_spools)

    def follow(self, going_on: PrintMoment | None, spool_id: int | None) -> None:
        """The print that is not over, if any, and the spool in use."""
        anew = going_on is not None and not same_print(self._print, going_on)
        self._print = going_on
        if anew:
            self._spools = []
        added = going_on is not None and spool_id is not None and spool_id not in self._spools
        if spool_id is not None and added:
            self._spools.append(spool_id)
        if anew or added:
            self.show()

    def show(self) -> None:
        """On the topic from which the history takes it over."""
        field = history.Measured(
            provider=spoolman.OWNER, name="spool_ids", value=self._spools, description="Spool IDs used", units=None
        )
        document = history.JobData(fields=[field] if self._spools else [])
        self._bus.publish(self._bus.topics.state(spoolman.OWNER, history.JOB_DATA), dumps(document), retain=True)
