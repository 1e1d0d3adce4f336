"""All jobs in memory, in columns: a hundred bytes each besides their metadata, with blocks that make reads short."""

from array import array
from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from math import inf, isnan
from typing import Any, Final, get_args

from schemas.history import Status

from .packing import EMPTY
from .totals import Json, Totals

STATUSES: Final[tuple[str, ...]] = get_args(Status)  # snapshots hold their places: a new one comes last
RUNNING: Final = 0
BLOCK: Final = 256  # rows
# Fixed sizes, so that a snapshot means the same on 32 and 64 bits.
COLUMNS: Final = {
    "id": "I",
    "seq": "Q",
    "status": "B",
    "deleted": "B",
    "start": "d",
    "end": "d",
    "print": "d",
    "total": "d",
    "filament": "d",
    "file": "I",
    "starter": "I",
}


@dataclass(slots=True)
class Block:
    """What is known of BLOCK rows together; times are bounds of all that began and ended in it."""

    shown: int = 0  # rows that are not deleted
    running: int = 0
    statuses: int = 0  # a bit for each that occurs or has occurred
    starters: set[int] = field(default_factory=set)
    first_start: float = inf
    last_start: float = -inf
    first_end: float = inf
    last_end: float = -inf
    totals: Totals = field(default_factory=Totals)

    def outside(self, since: float, before: float) -> bool:
        """Whether no row is of that period."""
        return self.last_start <= since or self.first_end >= before

    def inside(self, since: float, before: float) -> bool:
        """Whether all rows are."""
        return not self.running and self.first_start > since and self.last_end < before


class Names:
    """Texts that many rows share, by number."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.all = list(names)
        self._numbers = {name: number for number, name in enumerate(self.all)}

    def number(self, name: str) -> int:
        """The number of a text, which is added where it is new."""
        found = self._numbers.setdefault(name, len(self.all))
        if found == len(self.all):
            self.all.append(name)
        return found

    def find(self, name: str) -> int | None:
        """The number of a text; None where no row has it."""
        return self._numbers.get(name)


class Table:
    """Rows in the order in which jobs began, with ids and log positions that only go up.

    Deleted rows stay for the totals of periods, without their metadata.
    """

    def __init__(self) -> None:
        self.columns: dict[str, array[Any]] = {name: array(kind) for name, kind in COLUMNS.items()}
        self.files = Names()
        self.starters = Names([""])  # JSON; empty where nobody is known
        self.metadata: list[bytes] = []
        self.auxiliary: dict[int, list[Json]] = {}
        self.blocks: list[Block] = []
        self._last: array[int] = array("I")  # the latest row of each file, counted from 1
        self._previous: array[int] = array("I")  # the row of the same file before each row, counted from 1; 0: none

    def __len__(self) -> int:
        return len(self.metadata)

    def add(self, **row: Any) -> int:
        """Adds a job; the number of its row."""
        for name, column in self.columns.items():
            column.append(row[name])
        self.metadata.append(EMPTY)
        self._index(len(self) - 1)
        return len(self) - 1

    def end(self, row: int, status: int, end: float, numbers: tuple[float, float, float]) -> None:
        """A job has ended: print and total duration, filament."""
        columns = self.columns
        columns["status"][row], columns["end"][row] = status, end
        self.blocks[row // BLOCK].statuses |= 1 << status
        columns["print"][row], columns["total"][row], columns["filament"][row] = numbers
        block = self.blocks[row // BLOCK]
        block.running -= 1
        self._ended(block, row)

    def describe(self, row: int, packed: bytes) -> None:
        """The metadata of a job's file; it is kept once where that is printed again and again."""
        before = self._previous[row]
        same = before and self.metadata[before - 1] == packed
        self.metadata[row] = self.metadata[before - 1] if same else packed

    def measure(self, row: int, fields: list[Json]) -> None:
        """Auxiliary values of a job that has ended."""
        self.blocks[row // BLOCK].totals.measured(fields)
        self.auxiliary[row] = fields

    def delete(self, row: int) -> None:
        """The job is not shown any more."""
        self.columns["deleted"][row] = 1
        self.blocks[row // BLOCK].shown -= 1
        self.metadata[row] = EMPTY

    def find(self, job: int) -> int | None:
        """The row of a job, deleted or not."""
        ids = self.columns["id"]
        row = bisect_left(ids, job)
        return row if row < len(ids) and ids[row] == job else None

    def row_of(self, job: int) -> int | None:
        """The row of a job that is shown."""
        row = self.find(job)
        return None if row is None or self.columns["deleted"][row] else row

    def row_at(self, seq: int) -> int | None:
        """The row of the last job that had begun at a position of the log."""
        row = bisect_right(self.columns["seq"], seq) - 1
        return row if row >= 0 else None

    def filename(self, row: int) -> str:
        """The file that a job printed."""
        return self.files.all[int(self.columns["file"][row])]

    def rows_of_file(self, name: str) -> Iterator[int]:
        """All rows of a file, the latest first."""
        number = self.files.find(name)
        at = 0 if number is None else self._last[number]
        while at:
            yield at - 1
            at = self._previous[at - 1]

    def value(self, column: str, row: int) -> Any:
        """One value; an end that has not come is None."""
        found = self.columns[column][row]
        return None if column == "end" and isnan(found) else found

    def state(self) -> Json:
        """As JSON."""
        return {
            "columns": {name: _text(column.tobytes()) for name, column in self.columns.items()},
            "files": self.files.all,
            "starters": self.starters.all,
            "metadata": _text(b"".join(self.metadata)),
            "lengths": _text(array("I", map(len, self.metadata)).tobytes()),
            "auxiliary": list(self.auxiliary.items()),
            "auxiliary_totals": [block.totals.auxiliary_totals() for block in self.blocks],
        }

    @classmethod
    def restored(cls, state: Json) -> "Table":
        """A table with that state."""
        made = cls()
        for name, text in state["columns"].items():
            made.columns[name].frombytes(b64decode(text))
        made.files, made.starters = Names(state["files"]), Names(state["starters"])
        for row, packed in enumerate(_cut(b64decode(state["metadata"]), _lengths(state["lengths"]))):
            made.metadata.append(packed)
            made._index(row)
            if packed:
                made.describe(row, packed)
        made.auxiliary = {row: fields for row, fields in state["auxiliary"]}
        for block, auxiliary in zip(made.blocks, state["auxiliary_totals"], strict=True):
            block.totals.auxiliary = Totals.of(block.totals.job_totals(), auxiliary).auxiliary
        return made

    def _index(self, row: int) -> None:
        columns = self.columns
        if row % BLOCK == 0:
            self.blocks.append(Block())
        block, start = self.blocks[-1], columns["start"][row]
        block.shown += not columns["deleted"][row]
        block.statuses |= 1 << columns["status"][row]
        block.starters.add(columns["starter"][row])
        block.first_start, block.last_start = min(block.first_start, start), max(block.last_start, start)
        if isnan(columns["end"][row]):
            block.running += 1
        else:
            self._ended(block, row)
        file = columns["file"][row]
        self._last.extend([0] * (file + 1 - len(self._last)))
        self._previous.append(self._last[file])
        self._last[file] = row + 1

    def _ended(self, block: Block, row: int) -> None:
        columns = self.columns
        end = columns["end"][row]
        block.first_end, block.last_end = min(block.first_end, end), max(block.last_end, end)
        block.totals.add(columns["print"][row], columns["total"][row], columns["filament"][row])


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def _lengths(text: str) -> "array[int]":
    found = array("I")
    found.frombytes(b64decode(text))
    return found


def _cut(data: bytes, lengths: Sequence[int]) -> Iterator[bytes]:
    return (data[begin:end] for begin, end in pairwise(accumulate(lengths, initial=0)))
