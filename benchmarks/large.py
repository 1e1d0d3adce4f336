"""What a namespace of 20 MB costs: item reads, writes, memory and start-up, beside a database that is as good as empty.

`python -m benchmarks.large [--folder DIR]` runs printbus without a printer on data of its own. Targets: items are read
at half the rate at least, memory stays under 150 MB, and a start takes a second longer at most, after a stop or a kill.
"""

import argparse
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from . import load, servers
from .files import settle
from .servers import HOST, Side

PARTS, ITEMS, ITEM_BYTES = 200, 100, 1000  # 20 MB: objects of 100 kB with members of a kilobyte
SMALL = "/server/database/item?namespace=small&key=view.panel"
LARGE = "/server/database/item?namespace=large&key=part77.item55"
SECONDS = 3.0


def started(data: Path) -> Side:
    """The program's ports and command; nobody is behind the socket of its printer."""
    http, mqtt = servers.free_ports(2)
    return servers.printbus(data, data / "klippy.sock", http, mqtt)


@contextmanager
def running(side: Side, output: Path, *, kill: bool = False) -> Iterator[float]:
    """The program at work, and how many seconds it took until it answered."""
    began = time.perf_counter()
    with servers.running(side.command, output, pin=False) as process:
        side.processes = [process]
        servers.wait_for_answer(side)
        took = time.perf_counter() - began
        yield took
        if kill:
            process.send_signal(signal.SIGKILL)
            process.wait()


def rate(side: Side, path: str) -> float:
    """Reads a second on one connection."""
    found = uvloop.run(load.http(HOST, side.http, path, connections=1, seconds=SECONDS))
    if found.errors:
        raise AssertionError(f"{path}: {found.errors} errors")
    return found.rps


def write_rate(side: Side, namespace: str) -> float:
    """Durable writes a second, 16 in flight."""
    params = {"namespace": namespace, "key": "part0.new%(n)d", "value": "x"}
    method = "server.database.post_item"
    return uvloop.run(load.websocket(HOST, side.http, method, params, in_flight=16, seconds=SECONDS)).rps


def fill(side: Side) -> None:
    """Writes the namespace part by part."""
    for part in range(PARTS):
        value = {f"item{number}": f"{part} {number} ".ljust(ITEM_BYTES, "x") for number in range(ITEMS)}
        side.post("/server/database/item", {"namespace": "large", "key": f"part{part}", "value": value})


def memory(side: Side) -> float:
    """PSS in MB, once there is nothing to do."""
    settle(side)
    return side.memory()[0]


def timed(side: Side, verb: str, path: str) -> float:
    """Seconds that a request takes."""
    began = time.perf_counter()
    side.ask(path, post=verb == "POST")
    return time.perf_counter() - began


def show(name: str, value: float, unit: str, target: str = "") -> None:
    """One line."""
    print(f"{name:<58} {value:10.2f} {unit:<4} {target}", flush=True)


def measure(data: Path, output: Path) -> None:
    """All figures, one after the other."""
    side = started(data)
    with running(side, output):
        side.post("/server/database/item", {"namespace": "small", "key": "view.panel", "value": {"open": True}})
    with running(side, output) as begun:
        small, small_writes = rate(side, SMALL), write_rate(side, "small")
        before = memory(side)
        began = time.perf_counter()
        fill(side)
        show("20 MB are written in", time.perf_counter() - began, "s")
        large = rate(side, LARGE)
        show("items of a small namespace", small, "/s")
        show("items of the large one", large, "/s", ">= 0.5 of that")
        show("writes into a small namespace, 16 in flight", small_writes, "/s")
        show("writes into the large one", write_rate(side, "large"), "/s")
        show("memory (PSS) before", before, "MB")
        show("memory with the large one", memory(side), "MB", "< 150 MB")
        show("a start with a small database", begun, "s")
    with running(side, output, kill=True) as begun:
        show("a start with the large one", begun, "s", "<= 1 s longer")
        show("memory then", memory(side), "MB", "< 150 MB")
        fill(side)
    with running(side, output) as begun:
        show("a start after a kill, 20 MB behind the snapshot", begun, "s", "<= 1 s longer")
        show("memory then", memory(side), "MB", "< 150 MB")
        show("an item as it was is read in", timed(side, "GET", f"{LARGE}&at={time.time() - 1:.0f}"), "s")
        show("memory then", memory(side), "MB", "< 150 MB")
        show("all is compacted in", timed(side, "POST", "/server/database/compact"), "s")
        show("memory then", memory(side), "MB", "< 150 MB")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description="What a namespace of 20 MB costs.")
    parser.add_argument("--folder", type=Path, help="where to put the data; default the temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(Path(folder) / "data", Path(folder) / "output")


if __name__ == "__main__":
    main()
