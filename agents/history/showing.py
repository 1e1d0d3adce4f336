"""Jobs as they are shown: as JSON, and as lines of an export."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any, Final

import orjson

from bus.envelope import dumps, loads

from .packing import modified, unpack
from .table import STATUSES, Table
from .totals import Json

Exists = Callable[[str, float | None], bool]
COLUMNS: Final = (
    "job_id",
    "status",
    "filename",
    "start_time",
    "end_time",
    "print_duration",
    "total_duration",
    "filament_used",
    "user",
    "transport",
    "client",
)
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # with one of these a spreadsheet begins to calculate


def job_id(number: int) -> str:
    """The id of a job by its number."""
    return f"{number:06X}"


def number_of(uid: str) -> int | None:
    """The number of a job by its id; None for what is no id."""
    try:
        return int(uid, 16)
    except ValueError:
        return None


def shown(table: Table, row: int, exists: Exists) -> Json:
    """A job (schemas.history.Job) that `orjson` can write."""
    found = _facts(table, row)
    packed = table.metadata[row]
    return {
        **found,
        "exists": exists(found["filename"], modified(packed)),
        "metadata": orjson.Fragment(unpack(packed)),
        "auxiliary_data": [_auxiliary(each) for each in table.auxiliary.get(row, ())],
    }


def json_lines(table: Table, rows: Iterable[int], exists: Exists) -> Iterator[str]:
    """One job a line, with everything."""
    return (f"{dumps(shown(table, row, exists)).decode()}\n" for row in rows)


def csv_lines(table: Table, rows: Iterable[int], *, names: bool) -> Iterator[str]:
    """One job a line, times in UTC; `names` puts the names of the columns first."""
    if names:
        yield _csv(COLUMNS)
    for row in rows:
        found = _facts(table, row)
        starter = found["started_by"] or {}
        values = {**found, **{name: starter.get(name) for name in ("transport", "client")}}
        values |= {name: _time(found[name]) for name in ("start_time", "end_time")}
        yield _csv([_cell(values[name]) for name in COLUMNS])


def _csv(values: Iterable[Any]) -> str:
    line = StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()


def _facts(table: Table, row: int) -> Json:
    value, columns = table.value, table.columns
    starter = table.starters.all[columns["starter"][row]]
    started_by = loads(starter.encode()) if starter else None
    return {
        "job_id": job_id(columns["id"][row]),
        "filename": table.filename(row),
        "status": STATUSES[columns["status"][row]],
        "start_time": value("start", row),
        "end_time": value("end", row),
        "print_duration": value("print", row),
        "total_duration": value("total", row),
        "filament_used": value("filament", row),
        "user": started_by and started_by["user"],
        "started_by": started_by,
    }


def _auxiliary(field: Mapping[str, Any]) -> Json:
    return {name: field[name] for name in ("provider", "name", "value", "description", "units")}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _cell(value: Any) -> Any:
    """Names come from uploads: none of them may become a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
