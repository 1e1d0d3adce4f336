"""What is compared, as child processes: Moonraker with mosquitto, and printbus, on one virtual printer."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.002
LAST_WORDS = 15  # lines
SERVER_CPUS, LOAD_CPUS = {0}, {1}  # with --pin
# A setting of development machines; without byte code both would be compiled anew at each start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
QUESTION = b"GET /server/info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

MOONRAKER_CONF = """\
[server]
host: {host}
port: {http}
klippy_uds_address: {klipper}
max_websocket_connections: 250
[authorization]
trusted_clients:
    {host}
[machine]
provider: none
validate_service: False
[file_manager]
enable_object_processing: {objects}
[mqtt]
address: {host}
port: {mqtt}
instance_name: moon
"""


@dataclass
class Side:
    """One of the two: how it is started, where it answers, and the processes that belong to it."""

    name: str
    instance: str
    http: int
    mqtt: int
    command: list[str]
    gcodes: Path
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def memory(self) -> tuple[float, float]:
        """PSS and RSS in MB."""
        rolled = [_fields(Path(f"/proc/{pid}/smaps_rollup")) for pid in self._pids()]
        pss, rss = (sum(int(each[name].split()[0]) for each in rolled) / 1024 for name in ("Pss", "Rss"))
        return pss, rss

    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        ticks = 0
        for pid in self._pids():
            with suppress(FileNotFoundError, ProcessLookupError):  # a worker has ended
                user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
                ticks += int(user) + int(system)
        return ticks / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str, *, post: bool = False) -> Any:
        """The result of a request over HTTP; raises HTTPError."""
        request = Request(f"http://{HOST}:{self.http}{path}", method="POST" if post else "GET")
        with urlopen(request) as answer:  # noqa: S310
            return json.load(answer)["result"]

    def post(self, path: str, value: object) -> None:
        """A request over HTTP with a body; raises HTTPError."""
        body, headers = json.dumps(value).encode(), {"Content-Type": "application/json"}
        with urlopen(Request(f"http://{HOST}:{self.http}{path}", body, headers)):
            pass

    def state(self) -> str:
        """Klipper's state as this server sees it."""
        return str(self.ask("/server/info")["klippy_state"])

    def _pids(self) -> list[int]:
        found = [process.pid for process in self.processes]
        for pid in found:  # grows on the way
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found


def busy() -> float:
    """Seconds of processor time that the whole machine has used so far, with what its host took away."""
    user, nice, system, _idle, _waiting, irq, softirq, steal, *_ = (
        int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _fields(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()[1:]
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    taken = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in taken]
    for each in taken:
        each.close()
    return ports


@contextmanager
def running(command: Sequence[str], output: Path, *, pin: bool) -> Iterator["subprocess.Popen[bytes]"]:
    """A child process while the block lasts; what it prints goes to a file."""
    cpus = SERVER_CPUS if pin else os.sched_getaffinity(0)
    with output.open("ab") as stream:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd=ROOT,
            env=ENVIRONMENT,
            preexec_fn=partial(os.sched_setaffinity, 0, cpus),
        )
    try:
        yield process
    finally:
        if process.poll() is not None:  # by itself: its last words say why
            print(*output.read_text(errors="replace").splitlines()[-LAST_WORDS:], sep="\n", file=sys.stderr)
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def virtual_printer(folder: Path) -> list[str]:
    """The command of the printer that both sides are connected to."""
    place = ["--socket", str(folder / "klippy.sock"), "--gcodes", str(folder / "gcodes")]
    return [sys.executable, "-m", "agents.klippy.virtual", *place]


def mosquitto(port: int) -> list[str]:
    """The command of Moonraker's broker."""
    return ["mosquitto", "-p", str(port)]


def moonraker(program: Path, data: Path, klipper: Path, http: int, mqtt: int, *, objects: bool = False) -> Side:
    """Moonraker likewise; its broker has to be running."""
    (data / "config").mkdir(parents=True, exist_ok=True)
    conf = MOONRAKER_CONF.format(host=HOST, http=http, mqtt=mqtt, klipper=klipper, objects=objects)
    (data / "config" / "moonraker.conf").write_text(conf)
    return Side("Moonraker", "moon", http, mqtt, [str(program), "-d", str(data)], data / "gcodes")


def printbus(data: Path, klipper: Path, http: int, mqtt: int, *, objects: bool = False) -> Side:
    """printbus with a data folder of its own, where `objects` in uploads are processed or not."""
    (data / "config").mkdir(parents=True, exist_ok=True)
    (data / "config" / "printer.yaml").write_text(f"filestore: {{enable_object_processing: {objects}}}\n")
    program = str(Path(sys.executable).with_name("printbus"))
    where = ["--klippy", str(klipper), "--http", f"{HOST}:{http}", "--mqtt", f"{HOST}:{mqtt}"]
    command = [sys.executable, "-OO", program, "up", *where, "--data", str(data), "--instance", "bench"]
    return Side("printbus", "bench", http, mqtt, command, data / "gcodes")


def wait_for(path: Path) -> None:
    """Returns when a socket is there."""
    until(path.exists, f"{path} has not appeared")


def wait_for_answer(side: Side) -> None:
    """Returns when a side answers over HTTP."""
    until(lambda: _is_up(side), f"{side.name} does not answer")


def wait_for_printer(side: Side) -> None:
    """Returns when a side has connected to the printer and knows that it is ready."""
    until(lambda: side.state() == "ready", f"{side.name} does not find the printer ready")


def _is_up(side: Side) -> bool:
    ended = [process.returncode for process in side.processes if process.poll() is not None]
    if ended:
        raise ChildProcessError(f"{side.name} has ended with status {ended[0]}")
    return answers(side.http)


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), START_SECONDS) as wire:
        wire.sendall(QUESTION)
        return wire.recv(1024).startswith(b"HTTP/1.1 200")
    return False


def until(true: Callable[[], bool], complaint: str) -> None:
    """Returns when something is true; raises TimeoutError."""
    limit = time.monotonic() + START_SECONDS
    while not true():
        if time.monotonic() > limit:
            raise TimeoutError(complaint)
        time.sleep(POLL_SECONDS)
