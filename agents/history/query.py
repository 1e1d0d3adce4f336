"""Finds jobs and sums in the table, looking only at blocks that can have them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

from bus.envelope import loads
from schemas import history

from .table import BLOCK, RUNNING, STATUSES, Block, Table
from .totals import Totals

ALL = (1 << len(STATUSES)) - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows must be: bits of statuses, numbers of starters (None: all), and the bounds of their times."""

    since: float = -inf
    before: float = inf
    statuses: int = ALL
    starters: frozenset[int] | None = None

    def in_block(self, block: Block) -> bool:
        """Whether a block can have such a row."""
        if not block.shown or not block.statuses & self.statuses:
            return False
        if self.starters is not None and self.starters.isdisjoint(block.starters):
            return False
        return (self.before == inf and block.last_start > self.since) or not block.outside(self.since, self.before)

    def fits(self, table: Table, row: int) -> bool:
        """Whether a row is shown and all that."""
        columns = table.columns
        if columns["deleted"][row] or not self.statuses >> columns["status"][row] & 1:
            return False
        if self.starters is not None and columns["starter"][row] not in self.starters:
            return False
        return _of_period(columns, row, self.since, self.before)


def rows(table: Table, wanted: history.Selection, limit: int | None) -> list[int]:
    """A page of rows; without a limit, all behind the first of it."""
    test, newest_first = _wanted(table, wanted), wanted.order == "desc"
    if wanted.filename is not None:
        found: Iterator[int] = (row for row in table.rows_of_file(wanted.filename) if test.fits(table, row))
        found = found if newest_first else reversed(list(found))
    elif test == Wanted():
        return _page(table, newest_first, wanted.start, limit)
    else:
        found = _matching(table, test, newest_first)
    start = min(wanted.start, len(table))
    return list(islice(found, start, None if limit is None else start + limit))


def totals(table: Table, since: float | None, before: float | None) -> Totals:
    """The sums over all jobs of a period that have ended, deleted or not."""
    found = Totals()
    begin, end = -inf if since is None else since, inf if before is None else before
    for number, block in enumerate(table.blocks):
        if block.outside(begin, end):
            continue
        if block.inside(begin, end):
            found.merge(block.totals)
        else:
            _sum(table, _rows_of(table, number), begin, end, found)
    return found


def _sum(table: Table, some: Sequence[int], since: float, before: float, found: Totals) -> None:
    columns = table.columns
    for row in some:
        if columns["status"][row] != RUNNING and _of_period(columns, row, since, before):
            found.add(columns["print"][row], columns["total"][row], columns["filament"][row])
            found.measured(table.auxiliary.get(row, ()))


def _of_period(columns: Any, row: int, since: float, before: float) -> bool:
    """An end that has not come is NaN, which is before nothing."""
    return columns["start"][row] > since and (before == inf or columns["end"][row] < before)


def _wanted(table: Table, wanted: history.Selection) -> Wanted:
    statuses = ALL if wanted.status is None else sum(1 << STATUSES.index(name) for name in set(wanted.status))
    starters = None if wanted.user is None else _starters(table, wanted.user)
    return Wanted(
        -inf if wanted.since is None else wanted.since,
        inf if wanted.before is None else wanted.before,
        statuses,
        starters,
    )


def _starters(table: Table, user: str) -> frozenset[int]:
    known = enumerate(table.starters.all)
    return frozenset(number for number, text in known if text and loads(text.encode())["user"] == user)


def _page(table: Table, newest_first: bool, start: int, limit: int | None) -> list[int]:
    """Of all rows that are shown: whole blocks are skipped by their count."""
    page: list[int] = []
    for number in _numbers(table, newest_first):
        block = table.blocks[number]
        if start >= block.shown:
            start -= block.shown
            continue
        deleted = table.columns["deleted"]
        shown = [row for row in _rows_of(table, number) if not deleted[row]]
        page += (shown[::-1] if newest_first else shown)[start:]
        start = 0
        if limit is not None and len(page) >= limit:
            return page[:limit]
    return page


def _matching(table: Table, wanted: Wanted, newest_first: bool) -> Iterator[int]:
    for number in _numbers(table, newest_first):
        if wanted.in_block(table.blocks[number]):
            some = _rows_of(table, number)
            yield from (row for row in (some[::-1] if newest_first else some) if wanted.fits(table, row))


def _numbers(table: Table, newest_first: bool) -> range:
    numbers = range(len(table.blocks))
    return numbers[::-1] if newest_first else numbers


def _rows_of(table: Table, number: int) -> range:
    return range(number * BLOCK, min((number + 1) * BLOCK, len(table)))
