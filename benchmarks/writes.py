"""How much the disk is written while idle and while printing, everything included, as megabytes an hour.

`python -m benchmarks.writes [--seconds 300] [--speed 1]` starts `printbus up` with a virtual printer in a folder of its
own and counts what the process tree hands to the block layer (write_bytes of /proc/PID/io) and what it says on its
output: first idle, then printing the demo file over and over. Targets: idle under 5 MB an hour, printing under 20 MB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

HOUR = 3600.0
MEGABYTE = 1e6
TARGETS = {"idle": 5.0, "printing": 20.0}
STARTED = 10.0  # seconds after which starting is over


def written(pid: int) -> int:
    """Bytes that a process and its children have caused to be written."""
    total = 0
    for task in [pid, *children(pid)]:
        lines = Path(f"/proc/{task}/io").read_text().splitlines()
        counts = {name: int(value) for name, value in (line.split(": ") for line in lines)}
        total += counts["write_bytes"] - counts["cancelled_write_bytes"]
    return total


def children(pid: int) -> list[int]:
    """Direct and indirect children."""
    direct = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [found for child in direct for found in (child, *children(child))]


def call(url: str, *, post: bool = False) -> object:
    """The result of a request, None where it is refused."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST" if post else "GET")) as answer:  # noqa: S310
            return json.load(answer)["result"]
    except urllib.error.HTTPError:
        return None


def keep_printing(url: str, seconds: float) -> None:
    """Prints the demo file, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        state = call(f"{url}/printer/objects/query?print_stats=state")
        if isinstance(state, dict) and state["status"]["print_stats"]["state"] != "printing":
            call(f"{url}/printer/print/start?filename=demo.gcode", post=True)
        time.sleep(1)


def measure(process: "subprocess.Popen[str]", output: Path, act: Callable[[], None]) -> float:
    """Megabytes an hour while `act` runs for so long."""
    before = written(process.pid) + output.stat().st_size
    began = time.monotonic()
    act()
    return (written(process.pid) + output.stat().st_size - before) / (time.monotonic() - began) * HOUR / MEGABYTE


def main() -> None:
    """Both figures."""
    parser = argparse.ArgumentParser(description="Disk writes of an idle and of a printing printbus.")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long each is watched")
    parser.add_argument("--speed", type=float, default=1.0, help="of the virtual printer")
    parser.add_argument(
        "--folder", type=Path, help="where to put the data, on a real disk; default the temporary folder"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        config = Path(folder) / "printer.yaml"
        config.write_text(f"klippy: {{virtual: true, speed: {options.speed:g}}}\n")
        output = Path(folder) / "output"
        command = [sys.executable, "-m", "bus", "up", "--config", str(config), "--data", f"{folder}/data"]
        command += ["--instance", "writes", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]
        with output.open("w") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        time.sleep(STARTED)
        try:
            for name, act in (
                ("idle", lambda: time.sleep(options.seconds)),
                ("printing", lambda: keep_printing(url, options.seconds)),
            ):
                rate = measure(process, output, act)
                print(f"{name:>9}: {rate:7.2f} MB/h   target < {TARGETS[name]:g} MB/h", flush=True)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


if __name__ == "__main__":
    main()
