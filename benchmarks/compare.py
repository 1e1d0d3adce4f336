"""printbus and Moonraker side by side on one virtual printer: requests, files, memory, start-up; prints one table.

`scripts/bench` starts it. Both sides are measured in turns, since a machine's speed changes while it works.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError

import uvloop

from . import files, load, servers
from .fanout import Crowd, follow
from .load import Result
from .report import Figure, Row, row, table
from .servers import HOST, Side

OBJECTS = {"print_stats": None, "extruder": None, "toolhead": None}
QUERY = "printer.objects.query"
QUERY_PATH = "/printer/objects/query?print_stats&extruder&toolhead"
IDLE_SECONDS = 20.0
CLIENTS = 200
LISTENERS = 50  # MQTT clients of printbus beside them; Moonraker tells MQTT clients of configured objects only
FANOUT_SECONDS = 10  # times --seconds
PRINT = "/printer/print/start?filename=demo.gcode"
SHORT, SHORT_GCODE, JOBS_PRINTED = "short.gcode", "G4 P700\n", 10
Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement of a side and the figures it gives; `once` is for what takes long, `prepare` comes before it."""

    name: str
    figures: tuple[Figure, ...]
    measure: Callable[[Side, float], Values]
    once: bool = False
    prepare: Callable[[Side], None] | None = None


Load = Callable[[Side, float], Awaitable[Result]]


def _asked(load_of: Load) -> Callable[[Side, float], Values]:
    """Requests a second, p99 in ms, and microseconds of the server's processor time for one request."""

    def measure(side: Side, seconds: float) -> Values:
        began, used = time.perf_counter(), side.cpu()
        found = uvloop.run(_awaited(load_of(side, seconds)))
        used, took = side.cpu() - used, time.perf_counter() - began
        if found.errors:
            print(f"{side.name}: {found.errors} of {found.requests} answers are errors", file=sys.stderr)
        return found.rps, found.p99, used * 1e6 / (found.rps * took)

    return measure


async def _awaited(made: Awaitable[Result]) -> Result:
    return await made


def _http(connections: int, path: str = "/server/info") -> Callable[[Side, float], Values]:
    return _asked(lambda side, seconds: load.http(HOST, side.http, path, connections=connections, seconds=seconds))


def _websocket(method: str = load.METHOD, params: object = None, in_flight: int = 1) -> Callable[[Side, float], Values]:
    def asked(side: Side, seconds: float) -> Awaitable[Result]:
        return load.websocket(HOST, side.http, method, params, in_flight=in_flight, seconds=seconds)

    return _asked(asked)


def _mqtt(in_flight: int, method: str = load.METHOD, params: object = None) -> Callable[[Side, float], Values]:
    def asked(side: Side, seconds: float) -> Awaitable[Result]:
        return load.mqtt(HOST, side.mqtt, side.instance, method, params, in_flight=in_flight, seconds=seconds)

    return _asked(asked)


def _figures(name: str, target: float | None = None, p99: float | None = None) -> tuple[Figure, ...]:
    return (
        Figure(name, "/s", target),
        Figure("  p99", "ms", p99, at_most=True),
        Figure("  processor time for one", "us"),
    )


def _subscribe(side: Side, seconds: float) -> Values:
    with suppress(HTTPError):  # the other side has started it
        side.ask(PRINT, post=True)
    objects = dict.fromkeys(side.ask("/printer/objects/list")["objects"])
    listeners = LISTENERS if side.name == "printbus" else 0
    crowd = Crowd(HOST, side.http, CLIENTS, side.mqtt, listeners, side.instance)
    found = uvloop.run(follow(crowd, objects, FANOUT_SECONDS * seconds, side.cpu))
    return found.connected, found.updates, found.spread, found.cpu * 100


def _settings(side: Side) -> None:
    """Gives the database what the front end of one printer keeps there."""
    panels = {f"panel{number}": {"open": True, "order": number} for number in range(20)}
    item = {"namespace": "bench", "key": "view", "value": panels}
    side.post("/server/database/item", item)


SETTING = "/server/database/item?namespace=bench&key=view.panel7"
DATABASE = (
    Cell(
        "database-http", _figures("database read over HTTP, 16 connections", 4.0), _http(16, SETTING), False, _settings
    ),
    Cell(
        "database-write",
        _figures("database writes, in sequence (Moonraker's are not durable)"),
        _websocket("server.database.post_item", {"namespace": "bench", "key": "view.now", "value": {"open": True}}),
    ),
    Cell(
        "database-burst",
        _figures("database writes, 16 in flight (the same)", 1.0),
        _websocket("server.database.post_item", {"namespace": "burst", "key": "k%(n)d", "value": {"open": True}}, 16),
    ),
)


def _prints(side: Side) -> None:
    """Has some prints, which both sides remember, of a file that both know."""
    _short_file(side)
    while (known := _remembered(side)) < JOBS_PRINTED:
        side.ask(f"/printer/print/start?filename={SHORT}", post=True)
        servers.until(partial(_knows, side, known + 1), "a print was not noticed")


def _short_file(side: Side) -> None:
    """Has a file that both the printer and the side know."""
    printer = side.gcodes.parents[2] / "gcodes"  # as servers.virtual_printer has it
    (printer / SHORT).write_text(SHORT_GCODE)
    (side.gcodes / SHORT).write_text(SHORT_GCODE)


def _remembered(side: Side) -> int:
    return int(side.ask("/server/history/totals")["job_totals"]["total_jobs"])


def _knows(side: Side, jobs: int) -> bool:
    return _remembered(side) >= jobs


QUEUED: dict[str, object] = {"filenames": [SHORT], "reset": True}
JOBS = (
    Cell(
        "history",
        _figures(f"history over HTTP, {JOBS_PRINTED} jobs a page, 16 connections", 4.0),
        _http(16, f"/server/history/list?limit={JOBS_PRINTED}"),
        prepare=_prints,
    ),
    Cell(
        "totals",
        _figures("history totals over HTTP, 16 connections", 4.0),
        _http(16, "/server/history/totals"),
    ),
    Cell(
        "history-write",
        _figures("history writes (a reset), 16 in flight", 1.0),
        _websocket("server.history.reset_totals", None, 16),
    ),
    Cell(
        "queue",
        _figures("job queue over HTTP, 16 connections", 4.0),
        _http(16, "/server/job_queue/status"),
    ),
    Cell(
        "queue-write",
        _figures("queue writes, in sequence (Moonraker's are not kept)"),
        _websocket("server.job_queue.post_job", QUEUED),
        prepare=_short_file,
    ),
    Cell(
        "queue-burst",
        _figures("queue writes, 16 in flight (the same)", 1.0),
        _websocket("server.job_queue.post_job", QUEUED, 16),
        prepare=_short_file,
    ),
)
WANTED: dict[str, object] = {"objects": OBJECTS}
REQUESTS = (
    Cell("http", _figures("HTTP /server/info, 1 connection"), _http(1)),
    Cell("http16", _figures("HTTP /server/info, 16 connections", 3.5, 0.5), _http(16)),
    Cell(
        "system-info",
        _figures("HTTP /machine/system_info, 16 connections", 3.5),
        _http(16, "/machine/system_info"),
    ),
    Cell("websocket", _figures("websocket server.info, in sequence", 2.0), _websocket()),
    Cell("mqtt", _figures("MQTT server.info, in sequence", 1.5), _mqtt(1)),
    Cell("mqtt16", _figures("MQTT server.info, 16 in flight", 3.0), _mqtt(16)),
    Cell("query-http", _figures("object query over HTTP", 200.0)[:1], _http(1, QUERY_PATH)),
    Cell("query-websocket", _figures("object query over websocket", 200.0)[:1], _websocket(QUERY, WANTED)),
    Cell("query-mqtt", _figures("object query over MQTT", 200.0)[:1], _mqtt(1, QUERY, WANTED)),
)
SUBSCRIBE = Cell(
    "subscribe",
    (
        Figure(f"{CLIENTS} websockets follow everything, +{LISTENERS} MQTT", "s", 0.02, at_most=True),
        Figure("  status updates of a print they get", "/s"),
        Figure("  from the first to the last client, p99", "ms"),
        Figure("  processor time for that", "%", 0.5, at_most=True),
    ),
    _subscribe,
    once=True,
)


def _file(measure: Callable[[Side, int], Values], megabytes: int) -> Callable[[Side, float], Values]:
    return lambda side, _seconds: measure(side, megabytes * files.MB)


FILES = (
    Cell("upload", (Figure("upload of 100 MB, no gcode", "MB/s", 1.0),), _file(files.upload_plain, 100)),
    Cell("download", (Figure("download of 100 MB", "MB/s", 1.0),), _file(files.download, 100)),
    Cell(
        "metadata",
        (Figure("metadata of 51 MB with three pictures", "s", 1.0, at_most=True),),
        _file(files.metadata, 51),
    ),
    Cell(
        "upload-memory",
        (Figure("memory (PSS) that 1 GB of upload adds", "MB", 16.0, at_most=True, alone=True),),
        _file(files.memory, 1000),
        once=True,
    ),
    Cell(
        "listing",
        (Figure(f"HTTP listing of {files.LISTED} gcode files", "/s", 100.0),),
        lambda side, seconds: _http(1, "/server/files/list")(side, seconds)[:1],
        prepare=files.fill,
    ),
)
OBJECTS_UPLOAD = Cell(
    "upload-gcode",
    (Figure("upload of 100 MB of gcode with objects, to the answer", "s", 0.25, at_most=True),),
    _file(files.upload_gcode, 100),
    once=True,
)
IDLE = (
    Figure(f"memory after {IDLE_SECONDS:g} s idle (PSS)", "MB", 1.0, at_most=True),
    Figure("  the same as RSS", "MB"),
    Figure("  processor time, idle", "%"),
)
START = (
    Figure("start to first answer, fresh data", "s", 1.5, at_most=True),
    Figure("start to first answer, second start", "s", 1.5, at_most=True),
)
NAMES = ("start", "idle", *(cell.name for cell in (*REQUESTS, *DATABASE, *JOBS, *FILES, OBJECTS_UPLOAD, SUBSCRIBE)))


class Others:
    """Processor time that all other programs take meanwhile, as a part of one processor."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self._sides = sides
        self._began, self._before = time.perf_counter(), self._spent()

    def share(self) -> float:
        """On average since the beginning."""
        return (self._spent() - self._before) / (time.perf_counter() - self._began)

    def _spent(self) -> float:
        return servers.busy() - time.process_time() - sum(side.cpu() for side in self._sides)


class Bench:
    """One run: a printer, a broker for Moonraker, and both sides made anew as often as needed."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder = folder
        self._options = options
        self._printer = folder / "klippy.sock"
        self._mosquitto = servers.free_ports(1)[0]
        self._broker: list[subprocess.Popen[bytes]] = []
        self._made = 0
        self.others: float | None = None

    def run(self) -> Iterator[Row]:
        """Measures what was asked for, row by row."""
        wanted = self._options.only or [name for name in NAMES if name != SUBSCRIBE.name]
        with ExitStack() as stack:
            stack.enter_context(self._process(servers.virtual_printer(self._folder), "printer"))
            self._broker.append(stack.enter_context(self._process(servers.mosquitto(self._mosquitto), "mosquitto")))
            servers.wait_for(self._printer)
            if "start" in wanted:
                yield from self._starts()
            yield from self._served(wanted, (*REQUESTS, *DATABASE, *JOBS, *FILES, SUBSCRIBE))
            yield from self._served([name for name in wanted if name != "idle"], (OBJECTS_UPLOAD,), objects=True)

    def _served(self, wanted: Sequence[str], known: Sequence[Cell], *, objects: bool = False) -> Iterator[Row]:
        cells = [cell for cell in known if cell.name in wanted]
        if not cells and "idle" not in wanted:
            return
        with self._both(objects=objects) as sides:
            others = Others(sides)
            if "idle" in wanted:
                yield from self._idle(sides)
            for cell in cells:
                yield from self._compared(cell, sides)
            self.others = round(others.share(), 3)

    def _compared(self, cell: Cell, sides: Sequence[Side]) -> Iterator[Row]:
        rounds = 1 if cell.once else self._options.rounds
        seconds = self._options.seconds
        if cell.prepare is not None:
            for side in sides:
                cell.prepare(side)
        yield from _rows(cell.figures, [[cell.measure(side, seconds) for side in sides] for _ in range(rounds)])

    def _idle(self, sides: Sequence[Side]) -> Iterator[Row]:
        half = IDLE_SECONDS / 2
        time.sleep(half)
        before = [side.cpu() for side in sides]
        time.sleep(half)
        used = [(side.cpu() - cpu) / half * 100 for side, cpu in zip(sides, before, strict=True)]
        yield from _rows(IDLE, [[(*side.memory(), cpu) for side, cpu in zip(sides, used, strict=True)]])

    def _starts(self) -> Iterator[Row]:
        self._started(self._sides())  # the first of all reads the disk and compiles
        yield from _rows(START, [self._started(self._sides()) for _ in range(self._options.rounds)])

    def _started(self, sides: Sequence[Side]) -> list[Values]:
        return [(self._seconds_to_start(side), self._seconds_to_start(side)) for side in sides]

    def _seconds_to_start(self, side: Side) -> float:
        began = time.perf_counter()
        with self._process(side.command, side.name) as process:
            side.processes = [process]
            servers.wait_for_answer(side)
            return time.perf_counter() - began

    @contextmanager
    def _both(self, *, objects: bool) -> Iterator[Sequence[Side]]:
        """Both sides at work, connected to the printer."""
        sides = self._sides(objects=objects)
        with ExitStack() as stack:
            for side in sides:
                side.processes.append(stack.enter_context(self._process(side.command, side.name)))
            for side in sides:
                servers.wait_for_answer(side)
                servers.wait_for_printer(side)
            sides[1].processes += self._broker
            yield sides

    def _sides(self, *, objects: bool = False) -> Sequence[Side]:
        """Both with fresh data folders, printbus first."""
        self._made += 1
        data = self._folder / str(self._made)
        theirs, ours, mqtt = servers.free_ports(3)
        return (
            servers.printbus(data / "printbus", self._printer, ours, mqtt, objects=objects),
            servers.moonraker(
                self._options.moonraker, data / "moonraker", self._printer, theirs, self._mosquitto, objects=objects
            ),
        )

    def _process(self, command: list[str], name: str) -> AbstractContextManager["subprocess.Popen[bytes]"]:
        return servers.running(command, self._folder / f"{name}.log", pin=self._options.pin)


def _rows(figures: Sequence[Figure], rounds: Sequence[Sequence[Values]]) -> Iterator[Row]:
    """A row for each figure; a round has the values of both sides."""
    for index, figure in enumerate(figures):
        yield row(figure, [(ours[index], theirs[index]) for ours, theirs in rounds])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--moonraker", type=Path, required=True, metavar="PROGRAM", help=argparse.SUPPRESS)
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a side is asked per round")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured")
    parser.add_argument(
        "--pin",
        action="store_true",
        help="servers on the first processor, load on the second (where nothing else runs)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    return parser.parse_args()


def main() -> int:
    """Measures and prints; the status says nothing about the figures."""
    options = _arguments()
    if options.pin:
        os.sched_setaffinity(0, servers.LOAD_CPUS)
    rows = []
    with TemporaryDirectory(prefix="printbus-bench-") as folder:
        bench = Bench(Path(folder), options)
        for each in bench.run():
            rows.append(each)
            print("  ".join(each.cells()), file=sys.stderr)
    print(table(rows))
    if bench.others is not None:
        print(
            f"Other programs took {bench.others:.0%} of one processor meanwhile; the more, the closer to 1 the ratios."
        )
    if options.json:
        machine = {
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "pinned": options.pin,
            "others": bench.others,
        }
        options.json.write_text(json.dumps({**machine, "rows": [each.as_dict() for each in rows]}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
