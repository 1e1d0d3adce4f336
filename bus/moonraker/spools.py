"""The spool that Moonraker had in use, as a fact for Spoolman's agent."""

from typing import Any, Final

from .database import Database, Unreadable
from .known import SELECTED, Known
from .part import Part, fact

NAMESPACE, KEY = "moonraker", "spoolman"
MEMBER: Final = "spool_id"


def spools(database: Database, known: Known) -> Part:
    """One at most, and none where one was chosen here."""
    found = [
        _spool(row[2]) for row in database.values() if not isinstance(row, Unreadable) and row[:2] == (NAMESPACE, KEY)
    ]
    chosen = [spool for spool in found if spool is not None and not known.chosen]
    part = Part(lambda: [fact(SELECTED, spool_id=spool, mark=None) for spool in chosen], new=len(chosen))
    part.carried = [f"spool {spool}, which is in use" for spool in chosen]
    return part


def _spool(value: Any) -> int | None:
    spool = value.get(MEMBER) if isinstance(value, dict) else None
    return spool if isinstance(spool, int) else None
