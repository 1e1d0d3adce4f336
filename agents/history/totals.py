"""Sums over jobs, which can be added up from parts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Field = tuple[str, str]  # provider and name of an auxiliary value


@dataclass(slots=True)
class Totals:
    """What has been added; of auxiliary values, the greatest and the sum, where they are kept."""

    jobs: int = 0
    time: float = 0.0
    print_time: float = 0.0
    filament: float = 0.0
    longest_job: float = 0.0
    longest_print: float = 0.0
    auxiliary: dict[Field, tuple[float | None, float | None]] = field(default_factory=dict)

    def add(self, print_duration: float, total_duration: float, filament_used: float) -> None:
        """Adds a job."""
        self.jobs += 1
        self.time += total_duration
        self.print_time += print_duration
        self.filament += filament_used
        self.longest_job = max(self.longest_job, total_duration)
        self.longest_print = max(self.longest_print, print_duration)

    def measured(self, fields: Iterable[Mapping[str, Any]]) -> None:
        """Adds auxiliary values of a job that has been added."""
        for each in fields:
            value = each["value"]
            if isinstance(value, (int, float)) and (each.get("total") or each.get("maximum")):
                kept = (value if each.get("maximum") else None, value if each.get("total") else None)
                self._keep((each["provider"], each["name"]), kept)

    def merge(self, other: "Totals") -> None:
        """Adds all that the other one has."""
        self.jobs += other.jobs
        self.time += other.time
        self.print_time += other.print_time
        self.filament += other.filament
        self.longest_job = max(self.longest_job, other.longest_job)
        self.longest_print = max(self.longest_print, other.longest_print)
        for name, kept in other.auxiliary.items():
            self._keep(name, kept)

    def job_totals(self) -> Json:
        """The members of a row of the table of methods (schemas.history.Totals)."""
        return {
            "total_jobs": self.jobs,
            "total_time": self.time,
            "total_print_time": self.print_time,
            "total_filament_used": self.filament,
            "longest_job": self.longest_job,
            "longest_print": self.longest_print,
        }

    def auxiliary_totals(self) -> list[Json]:
        """The same of auxiliary values."""
        return [
            {"provider": provider, "field": name, "maximum": maximum, "total": total}
            for (provider, name), (maximum, total) in self.auxiliary.items()
        ]

    @classmethod
    def of(cls, job_totals: Mapping[str, Any], auxiliary: Sequence[Mapping[str, Any]] = ()) -> "Totals":
        """From that form."""
        made = cls(*(job_totals[name] for name in cls().job_totals()))
        made.auxiliary = {(each["provider"], each["field"]): (each["maximum"], each["total"]) for each in auxiliary}
        return made

    def _keep(self, name: Field, kept: tuple[float | None, float | None]) -> None:
        maximum, total = self.auxiliary.get(name, (None, None))
        more, extra = kept
        self.auxiliary[name] = (
            more if maximum is None else maximum if more is None else max(maximum, more),
            extra if total is None else total + (extra or 0.0),
        )
