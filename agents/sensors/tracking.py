"""What a job's history keeps of a sensor: what its strategy makes of the values that come while the job is going on."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from schemas.history import Measured
from schemas.sensors import Strategy, Value

from .settings import HistoryFieldSettings

MAX_COLLECTED = 500  # values of one field; with one more, the oldest goes


@dataclass(slots=True)
class Seen:
    """The values of one job, as far as any strategy needs them; only numbers are counted."""

    last: Value | None = None
    numbers: int = 0
    first: float = 0
    latest: float = 0
    total: float = 0
    least: float = 0
    greatest: float = 0
    all: deque[Value] = field(default_factory=lambda: deque(maxlen=MAX_COLLECTED))

    def saved(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"all": list(self.all)}

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Self:
        """From that; raises TypeError and KeyError for anything else."""
        return cls(**{**saved, "all": deque(saved["all"], MAX_COLLECTED)})

    def take(self, value: Value) -> None:
        """One more."""
        self.last = value
        self.all.append(value)
        if isinstance(value, str):
            return
        if not self.numbers:
            self.first = self.least = self.greatest = value
        self.numbers += 1
        self.latest = value
        self.total += value
        self.least, self.greatest = min(self.least, value), max(self.greatest, value)


RESULTS: Mapping[Strategy, Callable[[Seen], Value | list[Value] | None]] = {
    "basic": lambda seen: seen.last,
    "delta": lambda seen: seen.latest - seen.first,
    "accumulate": lambda seen: seen.total,
    "average": lambda seen: seen.total / max(seen.numbers, 1),
    "maximum": lambda seen: seen.greatest,
    "minimum": lambda seen: seen.least,
    "collect": lambda seen: list(seen.all),
}


class Tracker:
    """One field of the job that is going on, or of the last one."""

    def __init__(self, provider: str, name: str, settings: HistoryFieldSettings) -> None:
        self.settings = settings
        self.name = name
        self.seen = Seen()
        self._provider = provider

    def begin(self, known: Value | None) -> None:
        """A job has begun; `known` is what the sensor said last."""
        self.seen = Seen()
        if self.settings.init_tracker and known is not None:
            self.seen.take(known)

    def take(self, value: Value, *, paused: bool) -> None:
        """A value has come while the job is going on."""
        if not (paused and self.settings.exclude_paused):
            self.seen.take(value)

    def shown(self) -> Measured:
        """As the history takes it; where no number has come, 0."""
        settings = self.settings
        value = RESULTS[settings.strategy](self.seen)
        if isinstance(value, float) and settings.precision is not None:
            value = round(value, settings.precision)
        return Measured(
            provider=self._provider,
            name=self.name,
            value=value,
            description=settings.desc,
            units=settings.units,
            total=settings.report_total,
            maximum=settings.report_maximum,
        )
