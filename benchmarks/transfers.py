"""Files over MQTT and over HTTP through one printbus, in turns: how fast, and what the server's processor has to do.

`python -m benchmarks.transfers` prints a table; target: an upload over MQTT at least 0.2 times as fast as over HTTP.
`python -m benchmarks.transfers HOST:PORT` uploads 1 GB over MQTT, again and again, until it is ended.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from statistics import median
from tempfile import TemporaryDirectory

from bus.broker_url import BrokerUrl
from bus.courier import Cargo, Courier
from bus.file_client import Get, Put

from . import files, servers
from .files import MB
from .servers import HOST, Side

TARGET = 0.2
UPLOADED = "gcodes/carried.bin"
Way = Callable[[Side, Path], None]


class Unwatched:
    """Nobody looks at how it goes on."""

    def at(self, done: int, size: int) -> None:
        """So many bytes have arrived."""

    def broken(self, reason: str) -> None:
        """It is interrupted, and will be tried again."""
        print(reason, file=sys.stderr)


def carry(port: int, instance: str | None, cargo: Cargo) -> None:
    """One transfer over MQTT."""
    asyncio.run(Courier(BrokerUrl.parse(f"mqtt://{HOST}:{port}"), "bench", instance).run(cargo, Unwatched()))


def _mqtt_upload(side: Side, source: Path) -> None:
    carry(side.mqtt, side.instance, Put(source, PurePosixPath(UPLOADED), Unwatched()))


def _mqtt_download(side: Side, source: Path) -> None:
    carry(side.mqtt, side.instance, Get(UPLOADED, source.with_name("back.bin"), Unwatched()))


def _http_upload(side: Side, source: Path) -> None:
    with source.open("rb") as body:
        files.upload(side.http, body, Path(UPLOADED).name)


def _http_download(side: Side, source: Path) -> None:
    files.fetch(side, f"/server/files/{UPLOADED}", source.stat().st_size)


WAYS: dict[str, tuple[Way, Way]] = {
    "upload": (_http_upload, _mqtt_upload),
    "download": (_http_download, _mqtt_download),
}


def _measure(side: Side, way: Way, source: Path) -> tuple[float, float]:
    """MB a second, and milliseconds of the server's processor for one MB."""
    began, used = time.perf_counter(), side.cpu()
    way(side, source)
    took, used, size = time.perf_counter() - began, side.cpu() - used, source.stat().st_size / MB
    return size / took, used * 1000 / size


def run(megabytes: int, rounds: int) -> bool:
    """Measures and prints; whether the target is reached."""
    with TemporaryDirectory(prefix="printbus-transfers-") as name, ExitStack() as stack:
        folder = Path(name)
        stack.enter_context(servers.running(servers.virtual_printer(folder), folder / "printer.log", pin=False))
        servers.wait_for(folder / "klippy.sock")
        side = servers.printbus(folder / "data", folder / "klippy.sock", *servers.free_ports(2))
        side.processes.append(stack.enter_context(servers.running(side.command, folder / "log", pin=False)))
        servers.wait_for_answer(side)
        source = folder / "source.bin"
        with source.open("wb") as file:
            files.write_plain(file, megabytes * MB)
        files.settle(side)
        return all([_compared(side, name, source, rounds) for name in WAYS])


def _compared(side: Side, name: str, source: Path, rounds: int) -> bool:
    taken = [[_measure(side, way, source) for way in WAYS[name]] for _ in range(rounds)]
    http, mqtt = ([median(values) for values in zip(*each, strict=True)] for each in zip(*taken, strict=True))
    ratio = mqtt[0] / http[0]
    print(
        f"{name:9} HTTP {http[0]:6.0f} MB/s {http[1]:5.2f} ms/MB   MQTT {mqtt[0]:6.0f} MB/s {mqtt[1]:5.2f} ms/MB",
        end="",
    )
    print(f"   {ratio:.2f} x", flush=True)
    return name != "upload" or ratio >= TARGET


def _for_ever(port: int) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder) / "heavy.bin"
        with source.open("wb") as file:
            files.write_plain(file, files.HEAVY)
        while True:
            carry(port, None, Put(source, PurePosixPath("gcodes/heavy.bin"), Unwatched()))


def main() -> int:
    """Command line; the status says whether the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("address", nargs="?", metavar="HOST:PORT", help="upload there for ever")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.address:
        _for_ever(int(options.address.rpartition(":")[2]))
    return 0 if run(options.megabytes, options.rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
