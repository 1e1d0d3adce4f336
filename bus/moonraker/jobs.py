"""Moonraker's history, as facts about ours: jobs, and what they come to."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from schemas import history

from .database import Database, Row, Unreadable
from .fitting import reason
from .known import JOB, TOTALS, Known
from .part import Fact, Part, counted, fact, unreadable

HISTORY: Final = "history"  # what provides the totals that are about all jobs
NO_USERS: Final = {"", "No User", "_TRUSTED_USER_", "_API_KEY_USER_"}
OPEN: Final = "in_progress"
INTERRUPTED: Final = "interrupted"
NOT_METADATA: Final = {"filename", "job_id", "print_start_time"}

Key = tuple[str, str]  # provider and field


def jobs(database: Database, known: Known) -> Part:
    """Those that no import has brought before."""
    there = [counted(len(known.jobs), "imported job")] if known.jobs else []
    there += [counted(known.prints, "print")] if known.prints else []
    part = Part(lambda: _facts(database, known), " and ".join(there))
    totals = _totals_by_key(database)
    for found in _new(database, known, totals):
        if isinstance(found, Unreadable):
            part.lost.append(unreadable(found))
        else:
            part.new += 1
    if part.new or (not known.counted and any(_counted(totals).values())):
        part.carried.append(f"history: {counted(part.new, 'job')}, and the totals")
        part.new += 1
    if part.new > 1 and known.prints:
        part.carried.append(f"  (listed behind the {counted(known.prints, 'print')} that printbus has made)")
    return part


def _facts(database: Database, known: Known) -> Iterable[Fact]:
    totals = _totals_by_key(database)
    count = _Count()
    for found in _new(database, known, totals):
        if not isinstance(found, Unreadable):
            row, told = found
            count.add(row)
            yield told
    if not known.counted:  # Moonraker's count has jobs that were deleted
        yield fact(TOTALS, totals=_counted(totals), auxiliary=_auxiliary_totals(totals))
    elif count.totals["total_jobs"]:
        yield fact(TOTALS, totals=count.totals, auxiliary=[])


def _totals_by_key(database: Database) -> dict[Key, Row]:
    return {(row["provider"], row["field"]): row for row in database.totals()}


def _new(database: Database, known: Known, totals: Mapping[Key, Row]) -> Iterator[tuple[Row, Fact] | Unreadable]:
    """Jobs that are not known, each with its fact."""
    for row in database.jobs():
        if isinstance(row, Unreadable):
            yield row
        elif (row["start_time"], row["filename"] or "") not in known.jobs:
            try:
                yield row, _job(row, totals)
            except ValidationError as error:
                yield Unreadable(f"job {row['job_id']}", reason(error))
            except (TypeError, KeyError, AttributeError):
                yield Unreadable(
                    f"job {row['job_id']}", "its times or its auxiliary data are not what Moonraker writes"
                )


class _Count:
    """What jobs come to that a count which was carried over before does not have."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = dict.fromkeys(history.Totals.model_fields, 0)

    def add(self, row: Row) -> None:
        """Moonraker counts jobs whose end it has seen."""
        if row["end_time"] is None:
            return
        totals = self.totals
        totals["total_jobs"] += 1
        totals["total_time"] += row["total_duration"]
        totals["total_print_time"] += row["print_duration"]
        totals["total_filament_used"] += row["filament_used"]
        totals["longest_job"] = max(totals["longest_job"], row["total_duration"])
        totals["longest_print"] = max(totals["longest_print"], row["print_duration"])


def _job(row: Row, totals: Mapping[Key, Row]) -> Fact:
    end = row["end_time"]
    return fact(
        JOB,
        job=row["job_id"],
        filename=row["filename"] or "",
        status=INTERRUPTED if row["status"] == OPEN else row["status"],
        start_time=row["start_time"],
        end_time=row["start_time"] + row["total_duration"] if end is None else end,
        print_duration=row["print_duration"],
        total_duration=row["total_duration"],
        filament_used=row["filament_used"],
        metadata={name: value for name, value in (row["metadata"] or {}).items() if name not in NOT_METADATA},
        user=None if row["user"] in NO_USERS else row["user"],
        auxiliary=[_measured(each, totals) for each in row["auxiliary_data"] or []],
    )


def _measured(given: Mapping[str, Any], totals: Mapping[Key, Row]) -> dict[str, Any]:
    kept = totals.get((given["provider"], given["name"]), {})
    fields = {name: given.get(name) for name in ("provider", "name", "value", "units")}
    described = {"description": given.get("description") or ""}
    return {**fields, **described, **{name: kept.get(name) is not None for name in ("total", "maximum")}}


def _counted(totals: Mapping[Key, Row]) -> dict[str, float]:
    """Sums stand in one column; of the longest Moonraker has put the maximum into either."""
    found = {name: totals.get((HISTORY, name), {}) for name in history.Totals.model_fields}
    sums = {name: row.get("total") or row.get("maximum") or 0 for name, row in found.items()}
    return {**sums, "total_jobs": int(sums["total_jobs"])}


def _auxiliary_totals(totals: Mapping[Key, Row]) -> list[dict[str, Any]]:
    return [
        {"provider": provider, "field": name, "maximum": row["maximum"], "total": row["total"]}
        for (provider, name), row in totals.items()
        if provider != HISTORY
    ]
