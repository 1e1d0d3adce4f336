"""What a flood of 20 000 requests from one client leaves to others: their round trips, and emergency stops meanwhile.

`python -m benchmarks.flood [--floods 30]` starts `printbus up` before a virtual printer; every flood comes from a
process of its own, over MQTT, all at once. An emergency stop is timed until it is seen on Klipper's socket.
Targets: 99 of 100 round trips under 20 ms, every emergency stop under 50 ms.
"""

import argparse
import contextlib
import json
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .broker import connect, publish, subscribe
from .writes import call

REQUESTS = 20_000
STOP_AFTER = 0.1  # seconds from the flood's beginning
READY_SECONDS = 20.0
ANSWER = b'"jsonrpc"'
STOP_LOST_SECONDS = 5.0
FLOODS = {
    "queries": ("printer.objects.query", {"objects": {"toolhead": None, "extruder": None}}),
    "commands": ("printer.gcode.script", {"script": "M117 flood"}),
}


def request(method: str, params: object, client: str) -> bytes:
    """A PUBLISH with a JSON-RPC request on the client's private topic."""
    body = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
    return publish(f"bench/moonraker/api/request/{client}".encode(), json.dumps(body).encode())


def login(port: int, client: str) -> socket.socket:
    """A connection that gets its answers."""
    sock = connect(port, client)
    subscribe(sock, f"bench/moonraker/api/response/{client}".encode())
    return sock


def flood(port: int, kind: str) -> None:
    """Send everything at once, and take the answers meanwhile."""
    sock = login(port, "flooder")
    blob = request(*FLOODS[kind], "flooder") * REQUESTS
    print("ready", flush=True)
    sys.stdin.readline()
    sender = threading.Thread(target=sock.sendall, args=(blob,))
    sender.start()
    answers, data = 0, b""
    while answers < REQUESTS:
        data = data[1 - len(ANSWER) :] + sock.recv(1 << 20)  # an answer may come in two pieces
        answers += data.count(ANSWER)
    sender.join()


def round_trip(sock: socket.socket, packet: bytes) -> float:
    """Milliseconds until the answer is here."""
    began = time.perf_counter()
    sock.sendall(packet)
    sock.recv(65_536)
    return (time.perf_counter() - began) * 1000


def until_ready(url: str) -> None:
    """Waits for the printer, which is restarted if an emergency stop has ended it."""
    call(f"{url}/printer/firmware_restart", post=True)
    end = time.monotonic() + READY_SECONDS
    while True:
        found = call(f"{url}/printer/info")
        if isinstance(found, dict) and found["state"] == "ready":
            return
        if time.monotonic() > end:
            raise TimeoutError("the printer does not become ready")
        time.sleep(0.05)


class Tap:
    """Passes on what goes through a socket on its way to Klipper's, and notes when an emergency stop does."""

    def __init__(self, path: Path, klipper: Path) -> None:
        self.stops: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._klipper = klipper
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._server.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._klipper))
            except OSError:
                near.close()
                continue
            for ends in ((near, far, b'"emergency_stop"'), (far, near, None)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, noted: bytes | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if noted is not None and noted in data:
                    self.stops.put(time.perf_counter())
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def during(port: int, kind: str, other: socket.socket, tap: Tap) -> tuple[list[float], float]:
    """Round trips of another client while a flood lasts, and the time of an emergency stop, in milliseconds."""
    info, stop = request("server.info", {}, "other"), request("printer.emergency_stop", {}, "other")
    command = [sys.executable, "-m", "benchmarks.flood", "--flood", str(port), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flooder:
        assert flooder.stdin is not None and flooder.stdout is not None
        flooder.stdout.readline()
        taken, stopped, began = list[float](), 0.0, time.perf_counter()
        flooder.stdin.write("go\n")
        flooder.stdin.flush()
        while flooder.poll() is None:
            if not stopped and time.perf_counter() - began > STOP_AFTER:
                sent = time.perf_counter()
                round_trip(other, stop)
                stopped = (tap.stops.get(timeout=STOP_LOST_SECONDS) - sent) * 1000
            else:
                taken.append(round_trip(other, info))
    return taken, stopped


def report(name: str, values: list[float]) -> None:
    """One line about a distribution in milliseconds."""
    ordered = sorted(values)
    p50, p90, p99 = (ordered[int(len(ordered) * part)] for part in (0.5, 0.9, 0.99))
    print(f"{name:28} {len(ordered):7} {p50:8.2f} {p90:8.2f} {p99:8.2f} {ordered[-1]:8.2f}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="A flood of 20 000 requests, and what it leaves to others.")
    parser.add_argument("--floods", type=int, default=30)
    parser.add_argument("--flood", nargs=2, metavar=("PORT", "KIND"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        flood(int(options.flood[0]), options.flood[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options.floods)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[str, int, Tap]]:
    """The virtual printer, the tap before it, and printbus."""
    klipper, tapped = folder / "klipper.sock", folder / "tapped.sock"
    printer = [sys.executable, "-m", "agents.klippy.virtual", "--socket", str(klipper), "--gcodes", str(folder)]
    server = [sys.executable, "-m", "bus", "up", "--data", str(folder / "data"), "--klippy", str(tapped)]
    server += ["--instance", "bench", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]
    with (
        subprocess.Popen([*printer, "--restart-delay-factor", "0.05"]) as first,
        subprocess.Popen(server, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as second,
    ):
        try:
            tap = Tap(tapped, klipper)
            assert second.stdout is not None
            found = re.search(r"(http://\S+) mqtt://\S+:(\d+)", second.stdout.readline())
            assert found is not None
            yield found[1], int(found[2]), tap
        finally:
            second.terminate()
            first.terminate()


def measure(folder: Path, floods: int) -> None:
    """Half of the floods are of queries, half of commands, each of which is recorded."""
    with running(folder) as (url, port, tap):
        until_ready(url)
        other = login(port, "other")
        print(f"{'milliseconds':28} {'number':>7} {'p50':>8} {'p90':>8} {'p99':>8} {'longest':>8}")
        report("nothing else", [round_trip(other, request("server.info", {}, "other")) for _ in range(2000)])
        for kind in FLOODS:
            results = []
            for _ in range(floods // len(FLOODS)):
                results.append(during(port, kind, other, tap))
                until_ready(url)
            report(f"during {kind}", [each for taken, _ in results for each in taken])
            report("  of each flood, its p99", [sorted(taken)[int(len(taken) * 0.99)] for taken, _ in results])
            report(f"stop during {kind}", [stopped for _, stopped in results])


if __name__ == "__main__":
    main()
