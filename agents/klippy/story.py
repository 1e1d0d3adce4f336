"""The last print as the log tells it: what was printed, for whom, and how it is or how it ended."""

from typing import Any, ClassVar, Self

from bus.fold import Fold
from bus.log import StoredEvent

PHASES = {"print.started.1": "printing", "print.resumed.1": "printing", "print.paused.1": "paused"}


class LastPrint(Fold):
    """`{filename, state, started, by, ended, ...}`: state is printing, paused, or how it ended; {} before any print."""

    name = "last_print"
    version = 1
    streams: ClassVar[frozenset[str]] = frozenset({"print"})

    def __init__(self) -> None:
        self._state: dict[str, Any] = {}

    def apply(self, event: StoredEvent) -> None:
        """Takes an event of a print."""
        if event.type == "print.started.1":
            self._state = {"filename": event.data["filename"], "started": event.time, "by": event.actor, "ended": None}
        if event.type in PHASES:
            self._state["state"] = PHASES[event.type]
        elif event.type == "print.ended.1":
            details = {key: value for key, value in event.data.items() if key not in ("how", "found")}
            self._state |= {**details, "state": event.data["how"], "ended": event.time}

    def state(self) -> dict[str, Any]:
        """The state as JSON."""
        return dict(self._state)

    @classmethod
    def restored(cls, state: Any) -> Self:
        """A fold with that state."""
        fold = cls()
        fold._state = dict(state)
        return fold
