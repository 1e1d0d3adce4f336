"""What a long history costs: start, memory, and the rate of each read, with 100 jobs and with 100 000.

`python -m benchmarks.jobs [--seconds S]` makes both logs, starts `printbus up` on each, and prints a table. Targets:
reads cost at most twice as much, a start takes at most 1 s longer, memory stays below 150 MB.
"""

import argparse
import random
import shutil
import sys
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

import uvloop

from bus.clock import Clock
from bus.lmdb_log import LmdbLog
from bus.log import JSON, NewEvent

from . import load, servers
from .servers import HOST, Side

FEW, MANY = 100, 100_000
ROUNDS: Final = 3
FILES: Final = 400
DAILY, DAYS = "parts/every day.gcode", 5  # one job in so many prints it
FIRST: Final = 1_500_000_000.0  # when the first job begins, Unix seconds
EACH: Final = 3600.0  # seconds from one job to the next
SLOWER, LONGER, MEGABYTES = 2.0, 1.0, 150.0  # targets
QUICK: Final = Path("/dev/shm")  # noqa: S108 - each of the events is a transaction, which takes a disk a millisecond
USERS = ("alice", "bob", None)
MIDDLE = {"since": FIRST + EACH * 20, "before": FIRST + EACH * 80}
READS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "page of 50": ("server.history.list", {}),
    "page of 50 in the middle": ("server.history.list", {"start": 50}),
    "page of a file": ("server.history.list", {"filename": DAILY, "limit": 20}),
    "page of a user and a status": ("server.history.list", {"user": "bob", "status": "completed", "limit": 20}),
    "totals": ("server.history.totals", {}),
    "totals of a period": ("server.history.totals", MIDDLE),
    "one job": ("server.history.get_job", {"uid": "00002A"}),
}


class Past(Clock):
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = FIRST

    def wall(self) -> float:
        """That moment."""
        return self.now


def metadata(chance: random.Random) -> dict[str, JSON]:
    """What a slicer writes, with numbers of its own."""
    name = f".thumbs/file-{chance.randrange(FILES)}"
    return {
        "size": chance.randrange(10**5, 10**8),
        "modified": FIRST + chance.random() * 1e6,
        "uuid": f"{chance.getrandbits(128):032x}",
        "slicer": "PrusaSlicer",
        "slicer_version": "2.7.4+win64",
        "gcode_start_byte": chance.randrange(10**5),
        "gcode_end_byte": chance.randrange(10**8),
        "object_height": chance.randrange(1000) / 10,
        "estimated_time": chance.randrange(100_000),
        "layer_height": 0.2,
        "first_layer_height": 0.25,
        "first_layer_extr_temp": 215.0,
        "first_layer_bed_temp": 60.0,
        "nozzle_diameter": 0.4,
        "filament_total": chance.random() * 1e5,
        "filament_name": "Generic PLA",
        "filament_type": "PLA",
        "thumbnails": [
            {"width": side, "height": side, "size": 9000, "relative_path": f"{name}-{side}x{side}.png"}
            for side in (32, 300)
        ],
    }


def told(jobs: int, clock: Past) -> Iterator[tuple[str, NewEvent]]:
    """The events of so many jobs, with their streams; moves the clock."""
    chance = random.Random(7)  # noqa: S311
    for number in range(1, jobs + 1):
        start = clock.now = FIRST + number * EACH
        filename = f"parts/file {chance.randrange(FILES)}.gcode" if number % DAYS else DAILY
        by = {"user": chance.choice(USERS), "transport": "websocket", "client": "192.168.1.20"}
        yield "print", NewEvent("print.started.1", {"filename": filename}, by)
        about: dict[str, JSON] = {
            "job": number,
            "filename": filename,
            "start_time": start,
            "metadata": metadata(chance),
        }
        yield "history", NewEvent("job.described.1", about)
        took = clock.now = start + chance.random() * EACH
        how = chance.choices(("completed", "cancelled", "error"), (8, 1, 1))[0]
        numbers = {"print_duration": took - start, "total_duration": took - start, "filament_used": 1000.0}
        yield "print", NewEvent("print.ended.1", {"filename": filename, "how": how, "message": "", **numbers})


def make_log(folder: Path, jobs: int) -> None:
    """Writes a log as prints would have."""
    clock = Past()
    with TemporaryDirectory(dir=QUICK if QUICK.is_dir() else None) as quick:
        log = LmdbLog.open(Path(quick) / "log", clock=clock)
        try:
            for stream, event in told(jobs, clock):
                log.append(stream, [event], append_id=uuid4())
        finally:
            log.close()
        shutil.copytree(Path(quick) / "log", folder)


def make_side(folder: Path, jobs: int) -> Side:
    """printbus with a log of so many jobs, and without a printer."""
    data = folder / str(jobs)
    (data / "printbus").mkdir(parents=True)
    make_log(data / "printbus" / "log", jobs)
    return servers.printbus(data, folder / "no.sock", *servers.free_ports(2))


@contextmanager
def started(side: Side, output: Path) -> Iterator[float]:
    """The side while the block lasts; the seconds until it answered for its history."""
    began = time.perf_counter()
    with servers.running(side.command, output, pin=False) as process:
        side.processes = [process]
        servers.wait_for_answer(side)
        side.ask("/server/history/totals")
        yield time.perf_counter() - began


def rates(side: Side, seconds: float) -> list[float]:
    """Requests a second for each of READS."""
    asked = (load.websocket(HOST, side.http, method, params, seconds=seconds) for method, params in READS.values())
    return [uvloop.run(_result(each)) for each in asked]


async def _result(made: Awaitable[load.Result]) -> float:
    found = await made
    if found.errors:
        raise ValueError(f"{found.errors} of {found.requests} answers are errors")
    return found.rps


def measure(folder: Path, seconds: float) -> Iterator[tuple[str, float, float, str, bool | None]]:
    """Name, the value with few and with many, its unit, and whether what is promised holds."""
    sides = [make_side(folder, jobs) for jobs in (FEW, MANY)]
    output = folder / "output"
    for name in ("start without a snapshot", "start"):
        times = []
        for side in sides:
            with started(side, output) as took:
                times.append(took)
        few, many = times
        yield name, few, many, "s", None if "without" in name else many - few <= LONGER
    with started(sides[0], output), started(sides[1], output):
        rounds = [[rates(side, seconds) for side in sides] for _ in range(ROUNDS)]
        for number, name in enumerate(READS):
            few, many = (median(each[which][number] for each in rounds) for which in (0, 1))
            yield name, few, many, "/s", many * SLOWER >= few
        few, many = (side.memory()[0] for side in sides)
        yield "memory (PSS)", few, many, "MB", many < MEGABYTES


def main() -> int:
    """Prints the table; the status says nothing about the figures."""
    parser = argparse.ArgumentParser(description="What a history of 100 000 jobs costs.")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each read, each round, each side")
    options = parser.parse_args()
    print(f"{'':>32} {FEW:>12} {MANY:>12}")
    with TemporaryDirectory(prefix="printbus-jobs-") as folder:
        for name, few, many, unit, good in measure(Path(folder), options.seconds):
            verdict = {None: "", True: "  holds", False: "  does not hold"}[good]
            print(f"{name:>32} {few:>10.5g} {unit} {many:>10.5g} {unit}{verdict}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
