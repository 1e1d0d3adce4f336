"""The event log, measured: durable events a second, replay against bare LMDB, bytes written for each event.

`python -m benchmarks.log [--seconds S] [--place DIR]` prints a table and the two ratios that are promised.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import orjson

from bus.journal import Journal
from bus.lmdb_log import LmdbLog
from bus.lmdb_segment import environment
from bus.log import Append, NewEvent
from bus.log_record import pack_key

APPENDERS: Final = (1, 128)
ROUNDS: Final = 6
"""Measured in turns, so that a change of the machine's mood meets all alike."""
REPLAYED: Final = 20_000
REPLAYS: Final = 40
PAGE: Final = 500
SYNC_RATIO: Final = 25.0
REPLAY_RATIO: Final = 0.5

EVENT = NewEvent(
    "command.ended.1",
    {
        "command": 4711,
        "method": "printer.print.start",
        "params": {"filename": "calibration cube.gcode"},
        "outcome": "ok",
    },
    {"user": "ada", "transport": "mqtt", "client": "slicer-1"},
)


def written_bytes() -> int:
    """Bytes this process has caused to be written to storage, as the kernel counts them."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


async def append_for(journal: Journal, appenders: int, seconds: float) -> tuple[float, float]:
    """Durable events a second, and bytes written for each, with so many appenders that wait for each event."""
    end = perf_counter() + seconds

    async def one() -> int:
        count = 0
        while perf_counter() < end:
            await journal.append("commands", [EVENT])
            count += 1
        return count

    before, start = written_bytes(), perf_counter()
    counts = await asyncio.gather(*(one() for _ in range(appenders)))
    events = sum(counts)
    return events / (perf_counter() - start), (written_bytes() - before) / events


async def appending(place: Path, seconds: float) -> dict[int, tuple[float, float]]:
    """The best round of each number of appenders, each with a log of its own."""
    best: dict[int, tuple[float, float]] = {}
    async with AsyncExitStack() as stack:
        journals = [
            (appenders, await stack.enter_async_context(Journal(LmdbLog.open(place / str(appenders)))))
            for appenders in APPENDERS
        ]
        for _ in range(ROUNDS):
            for appenders, journal in journals:
                measured = await append_for(journal, appenders, seconds / ROUNDS)
                best[appenders] = max(best.get(appenders, measured), measured)
    return best


def fill_log(place: Path) -> LmdbLog:
    """A log with the events to be replayed."""
    log = LmdbLog.open(place)
    for _ in range(REPLAYED // PAGE):
        log.commit([Append("commands", [EVENT], uuid4()) for _ in range(PAGE)])
    return log


def fill_bare(place: Path, log: LmdbLog) -> Any:
    """The same events in a plain LMDB file, as the JSON object that a program without a log would store."""
    env = environment(place, map_size=1 << 28)
    after = 0
    while events := log.read(after, limit=PAGE):
        with env.begin(write=True) as txn:
            for event in events:
                txn.put(pack_key(event.seq), orjson.dumps(event), append=True)
        after = events[-1].seq
    return env


def replay_log(log: LmdbLog) -> int:
    """Read everything as events; how many they were."""
    after = count = 0
    while events := log.read(after, limit=PAGE):
        after, count = events[-1].seq, count + len(events)
    return count


def replay_bare(env: Any) -> int:
    """Read everything as JSON objects, in transactions of the same length; how many they were."""
    after = count = 0
    while page := bare_page(env, after):
        after, count = page[-1]["seq"], count + len(page)
    return count


def bare_page(env: Any, after: int) -> Sequence[Any]:
    """The next page of a plain LMDB file."""
    with env.begin() as txn:
        cursor = txn.cursor()
        if not cursor.set_range(pack_key(after + 1)):
            return []
        return [orjson.loads(value) for _, value in islice(cursor, PAGE)]


def rate(replay: Callable[[], int]) -> float:
    """Events a second."""
    start = perf_counter()
    count = replay()
    assert count == REPLAYED
    return count / (perf_counter() - start)


def replaying(place: Path) -> tuple[float, float, float]:
    """Events a second of the log and of bare LMDB, and their ratio: the medians of rounds in turns."""
    log = fill_log(place / "replay")
    env = fill_bare(place / "bare.mdb", log)
    rounds = [(rate(lambda: replay_log(log)), rate(lambda: replay_bare(env))) for _ in range(REPLAYS)]
    env.close()
    log.close()
    ours, bare = zip(*rounds, strict=True)
    return median(ours), median(bare), median(one / other for one, other in rounds)


def report(name: str, ratio: float, promised: float) -> None:
    """One promised ratio."""
    print(f"{name:<42}{ratio:>12.2f}   promised {promised}: {'yes' if ratio >= promised else 'NO'}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each number of appenders")
    parser.add_argument("--place", type=Path, help="a directory on the disk to be measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.place) as folder:
        durable = asyncio.run(appending(Path(folder) / "append", options.seconds))
        ours, bare, replay = replaying(Path(folder))
    for appenders, (events, size) in durable.items():
        print(
            f"{f'durable events/s, {appenders} appenders':<42}{events:>12,.0f}   {size:>9,.0f} bytes written for each"
        )
    report("128 appenders : 1", durable[128][0] / durable[1][0], SYNC_RATIO)
    print(f"{'replayed events/s':<42}{ours:>12,.0f}   bare LMDB and orjson {bare:,.0f}")
    report("replay : bare", replay, REPLAY_RATIO)


if __name__ == "__main__":
    main()
