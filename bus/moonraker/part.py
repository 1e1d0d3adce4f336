"""One kind of data that is carried over: what of it is new, and the facts that say so."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.events import EVENTS

from ..log import NewEvent
from .database import Unreadable

ACTOR: Final = {"user": None, "transport": "import", "client": "moonraker"}

Fact = tuple[str, NewEvent]  # with its stream


@dataclass(slots=True)
class Part:
    """What is to be told about it; `there` says what the target has of the kind, nothing where it has none."""

    facts: Callable[[], Iterable[Fact]]
    there: str = ""
    new: int = 0
    carried: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def fact(kind: str, **data: Any) -> Fact:
    """A fact of a type in the table of events, in its stream; raises ValidationError for data that does not fit."""
    EVENTS[kind].data.model_validate(data)
    return EVENTS[kind].stream or "", NewEvent(kind, data, ACTOR)


def unreadable(row: Unreadable) -> str:
    """A row that cannot be read, in words."""
    return f"{row.what}: cannot be read ({row.reason})"


def counted(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}{'s' * (number != 1)}"
