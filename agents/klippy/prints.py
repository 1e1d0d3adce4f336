"""Follows print_stats and says what happened to prints: started, paused, resumed, ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bus.log import JSON

STARTED, PAUSED, RESUMED, ENDED = "print.started.1", "print.paused.1", "print.resumed.1", "print.ended.1"
ACTIVE = ("printing", "paused")
SLACK = 60.0  # seconds by which the clock of a print may seem to be behind the log's


class How(StrEnum):
    """How a print ended."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ERROR = "error"
    INTERRUPTED = "interrupted"  # Klipper shut down or went away: nobody knows more


# Standby after a print means that it was cancelled and its file released within one tick.
_ENDS = {"complete": How.COMPLETED, "cancelled": How.CANCELLED, "standby": How.CANCELLED, "error": How.ERROR}


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened to a print; `filename` is the file's."""

    kind: str
    filename: str
    data: dict[str, JSON]


@dataclass(frozen=True, slots=True)
class Stats:
    """print_stats as far as it tells prints apart; whatever else Klipper may send counts as absent."""

    state: str = "standby"
    filename: str = ""
    message: str = ""
    print_duration: float = 0.0
    total_duration: float = 0.0
    filament_used: float = 0.0

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "Stats":
        """From the object's fields."""
        return cls(
            _text(status.get("state")) or "standby",
            _text(status.get("filename")),
            _text(status.get("message")),
            _number(status.get("print_duration")),
            _number(status.get("total_duration")),
            _number(status.get("filament_used")),
        )

    @property
    def active(self) -> bool:
        """Whether a file is being printed, or waits in the middle."""
        return self.state in ACTIVE

    def same_print(self, before: "Stats") -> bool:
        """Whether this can be a later moment of the same print: the clock of a print only goes forward."""
        return self.filename == before.filename and self.total_duration >= before.total_duration


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A print that the log knows as begun and not as ended, from before this program was started."""

    stats: Stats  # as last seen
    age: float  # seconds since it began

    def is_now(self, now: Stats) -> bool:
        """Whether print_stats shows this print, or how it ended."""
        told = now.active or (now.state in _ENDS and now.state != "standby")
        return told and now.same_print(self.stats) and (not now.active or now.total_duration + SLACK >= self.age)


class PrintWatch:
    """Compares each print_stats with the one before; states between two ticks may have been missed."""

    def __init__(self) -> None:
        self._last: Stats | None = None  # None: not seen since Klipper connected
        self._open: Stats | None = None  # the print whose start was reported, as last seen
        self._unfinished: Unfinished | None = None
        self._paused = False
        self._blind = False

    @property
    def running(self) -> Stats | None:
        """The print that is going on, as last seen."""
        return self._open

    def recall(self, unfinished: Unfinished) -> None:
        """Says what was printing when this program ended; what Klipper shows first tells what has become of it."""
        self._unfinished, self._paused = unfinished, unfinished.stats.state == "paused"

    def connected(self) -> None:
        """Klipper is there again."""
        self._last, self._blind = None, False

    def observe(self, status: Mapping[str, Any]) -> list[Fact]:
        """What happened since the last call."""
        if self._blind:
            return []
        now, before = Stats.of(status), self._last
        self._last = now
        facts = self._remembered(now)
        if now.active:
            return [*facts, *self._running(now, found=before is None)]
        return [*facts, *self._at_rest(now, before)]

    def interrupted(self, message: str, cause: str | None = None) -> list[Fact]:
        """Klipper has shut down or is gone; what print_stats says until it connects again means nothing."""
        self._blind = True
        return [] if self._open is None else [self._end(self._open, How.INTERRUPTED, message, cause=cause)]

    def _remembered(self, now: Stats) -> list[Fact]:
        """The print of before goes on, has ended well or badly, or nobody knows more than that it does not go on."""
        unfinished, self._unfinished = self._unfinished, None
        if unfinished is None:
            return []
        if not unfinished.is_now(now):
            return [self._end(unfinished.stats, How.INTERRUPTED, "", found=True)]
        if not now.active:
            return [self._end(now, _ENDS[now.state], now.message, found=True)]
        self._open = now
        return []

    def _running(self, now: Stats, *, found: bool) -> list[Fact]:
        facts: list[Fact] = []
        if self._open is not None and not now.same_print(self._open):
            facts.append(self._end(self._open, How.CANCELLED, ""))
        if self._open is None:
            facts.append(_started(now, found=found))
            self._paused = False
        if self._paused != (now.state == "paused"):
            self._paused = not self._paused
            facts.append(Fact(PAUSED if self._paused else RESUMED, now.filename, {"filename": now.filename}))
        self._open = now
        return facts

    def _at_rest(self, now: Stats, before: Stats | None) -> list[Fact]:
        opened = self._open
        if opened is not None:
            # A released file has no name and no times any more: then the last ones that were seen count.
            return [self._end(now if now.same_print(opened) else opened, _ENDS.get(now.state, How.ERROR), now.message)]
        if before is None or now.state == "standby" or not _new_end(now, before):
            return []
        return [_started(now, found=False), self._end(now, _ENDS.get(now.state, How.ERROR), now.message)]

    def _end(self, stats: Stats, how: How, message: str, *, cause: str | None = None, found: bool = False) -> Fact:
        self._open = None
        data: dict[str, JSON] = {"filename": stats.filename, "how": str(how), **numbers(stats), "message": message}
        if cause is not None:
            data["cause"] = cause
        if found:
            data["found"] = True
        return Fact(ENDED, stats.filename, data)


def numbers(stats: Stats) -> dict[str, JSON]:
    """How far a print is: seconds, and millimetres of filament."""
    return {
        "print_duration": stats.print_duration,
        "total_duration": stats.total_duration,
        "filament_used": stats.filament_used,
    }


def _started(stats: Stats, *, found: bool) -> Fact:
    data: dict[str, JSON] = {"filename": stats.filename}
    if found:
        data |= {"found": True, "total_duration": stats.total_duration}
    return Fact(STARTED, stats.filename, data)


def _new_end(now: Stats, before: Stats) -> bool:
    """Whether a whole print passed unseen: times stand still once a print has ended."""
    return (now.state, now.filename, now.total_duration) != (before.state, before.filename, before.total_duration)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
