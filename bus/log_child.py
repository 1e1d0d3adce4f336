"""The child process that looks at a segment file: what is wrong with the file may kill it, and only it."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import orjson

from . import lmdb_store
from .lmdb_log import MAP_SLACK
from .lmdb_segment import Segment, structure_problem
from .log_index import EventIndex, build
from .log_pages import committed_last, salvaged
from .log_record import DamagedRecord, Item, Position, Summary, summary

PAGE: Final = 2000
HEAD_BYTES: Final = 2 << 16
"""Two pages of the largest size."""


def inspect(path: Path, first: Position) -> dict[str, object]:
    """Read everything, leave an index beside the file; the last verified position and the problem, if there is one."""
    if problem := structure_problem(path):
        return {"last": first - 1, "problem": problem}
    segment = Segment(path, first, EventIndex(), map_bytes=path.stat().st_size + MAP_SLACK)
    segment.rehearse()
    found: list[Summary] = []
    try:
        for row in _rows(segment, first):
            found.append(row)
    except (DamagedRecord, ValueError) as error:
        return {"last": first + len(found) - 1, "problem": str(error)}
    finally:
        segment.close()
    made = build(first, found)
    promised = committed_last(head_of(path), first)
    if promised is not None and promised > made.last:  # an older state is taken for the newest one
        return {"last": made.last, "problem": f"it says that it holds records up to {promised}"}
    made.save(path)
    return {"last": made.last}


def scan(path: Path, first: Position) -> dict[str, object]:
    """Verify the records of a segment that another process may be writing."""
    segment = Segment(path, first, EventIndex())
    last = first - 1
    try:
        for row in _rows(segment, first):
            last = row.seq
    except (DamagedRecord, ValueError) as error:
        return {"last": last, "problem": str(error)}
    return {"last": last}


def salvage(path: Path, first: Position) -> dict[str, object]:
    """Write the verified records from `first` on, as far as they reach without a gap, into `.new` beside the file."""
    content = path.read_bytes()
    items = salvaged(content, first)
    fresh = path.with_suffix(".new")
    segment = Segment(fresh, first, EventIndex(), map_bytes=2 * len(content) + MAP_SLACK)
    for start in range(0, len(items), PAGE):
        segment.write(items[start : start + PAGE])
    segment.close()
    last = first + len(items) - 1
    promised = committed_last(content, first)
    return {"last": last, "complete": promised is not None and last >= promised}


def store(path: Path, first: Position) -> dict[str, object]:
    """Read the broker's own store, which has no positions."""
    return {"last": first, "problem": lmdb_store.inspect(path)}


def head_of(path: Path) -> bytes:
    """The part of a file in which LMDB keeps what it holds."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _rows(segment: Segment, first: Position) -> Iterator[Summary]:
    expected = first
    while items := segment.scan(expected - 1, PAGE, list):
        for row in _summaries(items, expected):
            yield row
            expected += 1


def _summaries(items: Sequence[Item], expected: Position) -> Iterator[Summary]:
    for seq, item in enumerate(items, expected):
        row = summary(item)
        if row.seq != seq:
            raise DamagedRecord(f"record {seq} is missing")
        yield row


def main(arguments: Sequence[str]) -> None:
    """`inspect|scan|salvage|store FILE FIRST`; prints the finding as JSON."""
    command, path, first = arguments
    found = {"inspect": inspect, "scan": scan, "salvage": salvage, "store": store}[command](Path(path), int(first))
    sys.stdout.buffer.write(orjson.dumps(found))
