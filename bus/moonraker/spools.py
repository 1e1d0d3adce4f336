"""The spool that Moonraker had in use, as a fact for Spoolman's agent."""

from .database import Database
from .known import SELECTED, Known
from .part import Part, fact


def spools(database: Database, known: Known) -> Part:
    """One at most, and none where one was chosen here."""
    spool = database.note("spoolman", "spool_id")
    if not isinstance(spool, int) or known.chosen:
        return Part(list)
    return Part(lambda: [fact(SELECTED, spool_id=spool, mark=None)], new=1, carried=[f"spool {spool}, which is in use"])
