"""How long an emergency stop takes from a client to Klipper's socket through `printbus up`, whatever else goes on.

`python -m benchmarks.stop` prints a line for each condition. The clock runs from the moment before the request is
written until a scripted Klipper has read it; HTTP, websocket and MQTT take turns. Target: 99.9 % within 50 ms.
Meanwhile Klipper's status changes four times a second, and a websocket that follows it must hear of each change.
"""

import argparse
import asyncio
import json
import resource
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import uniform
from subprocess import DEVNULL
from tempfile import TemporaryDirectory
from time import perf_counter

import uvloop
from websockets.asyncio.client import ClientConnection, connect

from bus.log_files import segment_paths
from bus.log_tool import log_directory
from tests.klipper_wire import Connection, KlipperWire, Message

from . import files, servers, transfers
from .load import Client, HttpClient, MqttClient, Run, WebSocketClient, call_text, measure
from .servers import HOST, Side

TARGET = 50.0  # ms
PAUSE = 0.005  # seconds between two stops, on average
PIPELINED = 32  # stops of one client under way, where it can have several: their answers wait for their record
SETTLE = 1.0  # seconds for a condition to set in
TICK = 0.25  # seconds between two changes of Klipper's status
LATE = 2 * TICK  # between two status updates
STOP, SCRIPT = "printer.emergency_stop", "printer.gcode.script"
HEAT = "M109 S200"  # never ends here
COMPACTING = (
    "log: {segment_bytes: 1048576, segments: 2, keep: [commands]}\n"  # all the time, much being carried forward
)
CROWDED = "16"  # requests of one load generator under way
YIELDING = ("nice", "-n", "10")  # a flood comes from other machines: it should not take the processor from the server
Argument = str


class Stops(Run):
    """The stops of one client, which keep their order, and how long each took to Klipper in milliseconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.taken: list[float] = []
        self._left: deque[float] = deque()

    def sent(self) -> float:
        """A stop leaves now."""
        self._left.append(super().sent())
        return self._left[-1]

    def arrived(self) -> None:
        """The oldest one is at Klipper's socket."""
        self.taken.append((perf_counter() - self._left.popleft()) * 1000)


class Paced(Client):
    """Waits a little before each request."""

    def next(self) -> None:
        """The next request, later."""
        pause = uniform(0, 2 * PAUSE * self._in_flight)  # noqa: S311
        asyncio.get_running_loop().call_later(pause, super().next)


class PacedHttp(Paced, HttpClient):
    """Stops over HTTP."""


class PacedWebSocket(Paced, WebSocketClient):
    """Stops on a websocket."""


class PacedMqtt(Paced, MqttClient):
    """Stops over MQTT."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What goes on meanwhile: load generators by their arguments, a disk that is full, a script that waits."""

    name: str
    loads: Sequence[Sequence[Argument]] = ()
    config: str = "{}\n"
    full: bool = False
    waits: bool = False
    uploads: str = ""  # the module whose uploads go on meanwhile


def _scripts(size: int) -> list[Argument]:
    return ["mqtt", "--method", SCRIPT, "--params", json.dumps({"script": f"M117 {'x' * size}"})]


FLOOD = (["http"], ["websocket"], _scripts(10))
COMPACTION = (_scripts(4000),)
CONDITIONS = (
    Condition("nothing else"),
    Condition("a flood of requests", FLOOD),
    Condition("log compaction", COMPACTION, COMPACTING),
    Condition("a full disk", (_scripts(10),), full=True),
    Condition("a script that waits", waits=True),
    Condition("an upload of 1 GB", uploads=files.__name__),
    Condition("the same over MQTT", uploads=transfers.__name__),
    Condition("all but the disk", (*FLOOD, *COMPACTION), COMPACTING, waits=True),
)


class Place:
    """A running printbus between its clients and a scripted Klipper."""

    def __init__(self, side: Side, klipper: KlipperWire, data: Path) -> None:
        self._side = side
        self._klipper = klipper
        self._data = data
        klipper.script["gcode/script"] = _scripted

    @property
    def compacted(self) -> int:
        """How many events are no longer where they were first written."""
        return min(first for first, _ in segment_paths(log_directory(self._data))) - 1

    async def stops(self, seconds: float) -> tuple[list[float], int]:
        """Times of stops over all transports, and how many were refused."""
        side, taken, errors = self._side, list[float](), 0
        call = call_text(STOP, None)
        makers: list[tuple[int, Callable[[Run], Paced]]] = [
            (side.http, lambda run: PacedHttp(run, "/printer/emergency_stop", "POST")),
            (side.http, lambda run: PacedWebSocket(run, PIPELINED, STOP)),
            (side.mqtt, lambda run: PacedMqtt(run, PIPELINED, side.instance, call, name="stop")),
        ]
        for port, make in makers:
            run = Stops(seconds / len(makers))
            self._klipper.script["emergency_stop"] = partial(_stopped, run)
            errors += (await measure(HOST, port, run, partial(make, run))).errors
            taken += run.taken
        return taken, errors

    @asynccontextmanager
    async def under(self, condition: Condition, seconds: float) -> AsyncIterator[None]:
        """A condition while the block lasts."""
        async with AsyncExitStack() as stack:
            for arguments in condition.loads:
                await stack.enter_async_context(self._load([*arguments, "--seconds", str(seconds)]))
            if condition.full:
                stack.callback(self._fill())
            if condition.waits:
                await stack.enter_async_context(self._waiting())
            if condition.uploads:
                port = self._side.http if condition.uploads == files.__name__ else self._side.mqtt
                await stack.enter_async_context(self._run(condition.uploads, f"{HOST}:{port}"))
            await asyncio.sleep(SETTLE)
            yield

    @asynccontextmanager
    async def _load(self, arguments: Sequence[Argument]) -> AsyncIterator[None]:
        port = self._side.mqtt if arguments[0] == "mqtt" else self._side.http
        options = [f"{HOST}:{port}", "--in-flight", CROWDED, "--instance", self._side.instance]
        async with self._run("benchmarks.load", *arguments, *options):
            yield

    @asynccontextmanager
    async def _run(self, *module: Argument) -> AsyncIterator[None]:
        """One of our modules as a process while the block lasts."""
        process = await asyncio.create_subprocess_exec(
            *YIELDING, sys.executable, "-m", *module, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[list[float]]:
        """Klipper's status changes while the block lasts; seconds between the updates that a websocket gets of it."""
        gaps: list[float] = []
        async with connect(f"ws://{HOST}:{self._side.http}/websocket") as connection:
            asked = {"method": "printer.objects.subscribe", "params": {"objects": {"toolhead": None}}}
            await connection.send(json.dumps({"jsonrpc": "2.0", **asked, "id": 1}))
            listener = asyncio.create_task(_listen(connection, gaps), name="status updates")
            ticker = asyncio.create_task(self._tick(), name="status changes")
            try:
                yield gaps
            finally:
                for task in (listener, ticker):
                    task.cancel()
                await asyncio.wait((listener, ticker))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self._klipper.change({"toolhead": {"print_time": self._klipper.eventtime}})

    def _fill(self) -> Callable[[], None]:
        """A limit on the size of files, which the kernel reports like a full disk; what ends it."""
        pid = self._side.processes[0].pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))

        def free() -> None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

        return free

    @asynccontextmanager
    async def _waiting(self) -> AsyncIterator[None]:
        run = Run(0.0)
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: WebSocketClient(run, 1, SCRIPT, {"script": HEAT}), HOST, self._side.http
        )
        try:
            yield
            if run.done.done():
                raise AssertionError("the script has not waited")
        finally:
            run.done.cancel()
            transport.abort()


async def _listen(connection: ClientConnection, gaps: list[float]) -> None:
    last = perf_counter()
    async for said in connection:
        if "notify_status_update" in str(said):
            gaps.append(perf_counter() - last)
            last = perf_counter()


def _stopped(run: Stops, connection: Connection, request: Message) -> None:
    run.arrived()
    connection.result(request, {})


def _scripted(connection: Connection, request: Message) -> None:
    if request["params"]["script"] != HEAT:
        connection.result(request, {})


@asynccontextmanager
async def place(folder: Path, settings: str) -> AsyncIterator[Place]:
    """printbus and its Klipper."""
    http, mqtt = servers.free_ports(2)
    data, config = folder / "data", folder / "printer.yaml"
    config.write_text(settings)
    async with KlipperWire(folder / "klippy.sock") as klipper:
        side = servers.printbus(data, klipper.path, http, mqtt)
        with servers.running([*side.command, "--config", str(config)], folder / "printbus.log", pin=False) as process:
            side.processes.append(process)
            await asyncio.to_thread(servers.wait_for_answer, side)
            await asyncio.to_thread(servers.wait_for_printer, side)
            yield Place(side, klipper, data)


async def run(options: argparse.Namespace) -> bool:
    """Measures and prints, each condition with a printbus of its own; whether the target is reached."""
    good = True
    print(f"{'emergency stop during':26} {'stops':>6} {'p50':>7} {'p99':>7} {'p99.9':>7} {'most':>7}  ms")
    for condition in CONDITIONS:
        if options.only in condition.name:
            with TemporaryDirectory(prefix="printbus-stop-") as folder:
                async with place(Path(folder), condition.config) as here:
                    good &= await _shown(here, condition, options.seconds)
    return good


async def _shown(here: Place, condition: Condition, seconds: float) -> bool:
    async with here.under(condition, seconds + SETTLE), here.followed() as gaps:
        taken, errors = await here.stops(seconds)
    ordered = sorted(taken)
    p50, p99, p999 = (ordered[int(len(ordered) * part)] for part in (0.5, 0.99, 0.999))
    print(f"{condition.name:26} {len(ordered):6} {p50:7.2f} {p99:7.2f} {p999:7.2f} {ordered[-1]:7.2f}", end="")
    print(f"  status updates at most {max(gaps) * 1000:.0f} ms apart", end="")
    notes = {"events compacted away": here.compacted, "STOPS REFUSED": errors}
    print("", *(f"  {count} {what}" for what, count in notes.items() if count), flush=True)
    return p999 <= TARGET and max(gaps) <= LATE and not errors


def main() -> int:
    """Command line; the status says whether the target is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each condition")
    parser.add_argument("--only", default="", metavar="TEXT", help="conditions whose name contains this")
    return 0 if uvloop.run(run(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
