"""Moonraker's SQLite database: a copy of it is read, so that nothing is changed and nothing has to be stopped."""

import shutil
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import orjson

from ..config import ConfigError

FILE: Final = Path("database", "moonraker-sql.db")
OLD_FILE: Final = Path("database", "data.mdb")  # of LMDB, before version 0.9
PARTS: Final = ("", "-wal", "-journal")  # of a database: what it says is in all of them
ATTEMPTS: Final = 10
PAUSE: Final = 0.3  # seconds between two
DISK: Final = Path("/var/tmp")  # noqa: S108 - large files; /tmp may be in memory
JOBS: Final = "job_history"
NOTES: Final = "moonraker"  # the namespace of what it keeps for itself
NUMBER, FRACTION, TRUTH, TEXT = b"q", b"d", b"?", b"s"

Row = dict[str, Any]


def nobody(_done: int, _size: int) -> None:
    """Is told of progress where it matters to nobody."""


class Unreadable(NamedTuple):
    """A row that is not what Moonraker writes."""

    what: str
    reason: str


class Database:
    """The tables of a copy, read row by row; what cannot be read is an Unreadable in its place."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.on_job: Callable[[int, int], None] = nobody
        """Is told how many jobs have been read, and how many there are."""
        self._connection = connection
        self._connection.text_factory = _text
        self._connection.row_factory = _row
        self.tables = {row["name"] for row in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def count(self, table: str) -> int:
        """The number of rows."""
        if table not in self.tables:
            return 0
        (row,) = self._rows(f"SELECT count(*) AS n FROM {table}")  # noqa: S608 - one of our own names
        return int(row["n"])

    def values(self) -> Iterator[tuple[str, str, Any] | Unreadable]:
        """Namespace, key and value."""
        for row in self._table("namespace_store", "rowid"):
            what = f"key {row['key']} of the namespace {row['namespace']}"
            found = _readable(what, value_of, row["value"])
            yield found if isinstance(found, Unreadable) else (row["namespace"], row["key"], found)

    def note(self, key: str, member: str) -> Any:
        """A member of what Moonraker keeps for itself under a key; None where there is none."""
        for row in self.values():
            if not isinstance(row, Unreadable) and row[:2] == (NOTES, key) and isinstance(row[2], dict):
                return row[2].get(member)
        return None

    def jobs(self) -> Iterator[Row | Unreadable]:
        """Jobs as their table has them, the oldest first; `metadata` and `auxiliary_data` as values."""
        size = self.count(JOBS)
        for number, row in enumerate(self._table(JOBS, "job_id"), 1):
            self.on_job(number, size)
            yield _readable(f"job {row['job_id']}", _parsed, row, "metadata", "auxiliary_data")

    def totals(self) -> Iterator[Row]:
        """Sums and maxima by provider and field."""
        return self._table("job_totals", "rowid")

    def users(self) -> Iterator[Row | Unreadable]:
        """Users as their table has them."""
        for row in self._table("authorized_users", "rowid"):
            yield _readable(f"user {row['username']}", _parsed, row, "groups")

    def _table(self, name: str, order: str) -> Iterator[Row]:
        if name in self.tables:
            yield from self._rows(f"SELECT * FROM {name} ORDER BY {order}")  # noqa: S608 - our own names

    def _rows(self, query: str) -> Iterator[Row]:
        with closing(self._connection.execute(query)) as cursor:
            yield from cursor


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    """A copy of the database in a file, as of one moment; raises ConfigError. Blocks.

    It loses its name as soon as it is open: there are secrets in it, and nothing is left of it however this ends.
    """
    with TemporaryDirectory(prefix="printbus-import-", dir=DISK if DISK.is_dir() else None) as folder:
        connection = _copied(path, Path(folder) / "copy.db")
        connection.execute("PRAGMA journal_mode = delete")  # all of it in one file
    with closing(connection):
        yield Database(connection)


def _copied(path: Path, copy: Path) -> sqlite3.Connection:
    """Moonraker may be writing meanwhile: a copy counts when nothing has changed while it was made, and it is whole."""
    problem = ""
    for attempt in range(ATTEMPTS):
        time.sleep(PAUSE if attempt else 0)
        before = _state(path)
        _copy(path, copy)
        if _state(path) != before:
            problem = "is being written again and again; stop Moonraker first"
            continue
        connection = sqlite3.connect(copy)
        problem = _damage(connection)
        if not problem:
            return connection
        connection.close()
    raise ConfigError(f"{path}: {problem}")


def _copy(path: Path, copy: Path) -> None:
    for part in PARTS:
        target = copy.with_name(copy.name + part)
        target.unlink(missing_ok=True)
        try:
            shutil.copyfile(path.with_name(path.name + part), target)
        except FileNotFoundError:
            if not part:
                raise


def _state(path: Path) -> list[tuple[int, int, int] | None]:
    """What shows whether a database was changed."""
    found: list[tuple[int, int, int] | None] = []
    for part in PARTS:
        try:
            status = path.with_name(path.name + part).stat()
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            found.append(None)
    return found


def _damage(connection: sqlite3.Connection) -> str:
    try:
        ((result,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        return f"cannot be read: {error}"
    return "" if result == "ok" else f"is damaged: {' '.join(str(result).split())}"


def value_of(record: bytes) -> Any:
    """A value of a namespace: a letter for its kind and the value, or JSON; ValueError for anything else."""
    kind, rest = record[:1], record[1:]
    try:
        if kind == NUMBER:
            return struct.unpack("<q", rest)[0]
        if kind == FRACTION:
            return struct.unpack("<d", rest)[0]
        if kind == TRUTH:
            return struct.unpack("?", rest)[0]
        return rest.decode() if kind == TEXT else orjson.loads(record)
    except struct.error:
        raise ValueError("a number that is cut off") from None


def _parsed(row: Row, *names: str) -> Row:
    return row | {name: None if row[name] is None else orjson.loads(row[name]) for name in names}


def _readable(what: str, read: Callable[..., Any], *of: Any) -> Any:
    try:
        return read(*of)
    except (ValueError, TypeError) as error:
        return Unreadable(what, str(error))


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}
