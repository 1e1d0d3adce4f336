"""The virtual printer in a process of its own, and a blocking client for its socket."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

END = b"\x03"
PATIENCE = 15.0
READ_SIZE = 1 << 20

Message = dict[str, Any]


class Client:
    """One connection; answers wait in `answers` by their id as JSON, everything else in `notifications`."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._buffer = b""
        self.answers: dict[str, Message] = {}
        self.order: list[str] = []
        self.notifications: deque[Message] = deque()
        self._ids = iter(range(100_000, 10**9))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def write(self, data: bytes) -> None:
        """Send bytes as they are; a printer that has gone does not mind."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)

    def send(self, message: object) -> None:
        """Send one frame."""
        self.write(json.dumps(message).encode() + END)

    def call(self, method: str, **params: object) -> Any:
        """The result of a request; an error is an assertion failure."""
        answer = self.ask(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def ask(self, method: str, **params: object) -> Message:
        """The whole answer to a request."""
        return self.wait_for(self.start(method, **params))

    def start(self, method: str, **params: object) -> int:
        """Send a request without waiting; its id."""
        number = next(self._ids)
        self.send({"id": number, "method": method, "params": params})
        return number

    def refusal(self, method: str, **params: object) -> str:
        """The message of the error that a request gets."""
        answer = self.ask(method, **params)
        assert answer["error"]["error"] == "WebRequestError"
        message: str = answer["error"]["message"]
        return message

    def script(self, script: str) -> None:
        """Run g-code to its end."""
        assert self.call("gcode/script", script=script) == {}

    def wait_for(self, number: object) -> Message:
        """The answer to a request that was sent before."""
        key = json.dumps(number)
        self.pump_until(lambda: key in self.answers)
        return self.answers.pop(key)

    def follow(self, **objects: list[str] | None) -> Message:
        """Subscribe to console and objects; the status at once."""
        self.call("gcode/subscribe_output", response_template={"method": "console"})
        answer = self.call("objects/subscribe", objects=objects, response_template={"method": "status"})
        status: Message = answer["status"]
        return status

    def console(self) -> list[str]:
        """What the console said so far."""
        return [each["params"]["response"] for each in self.notifications if each["method"] == "console"]

    def saw(self, name: str, field: str) -> list[Any]:
        """The values that updates gave a field, in order."""
        updates = (each["params"]["status"] for each in self.notifications if each["method"] == "status")
        return [update[name][field] for update in updates if field in update.get(name, {})]

    def pump_until(self, happened: Any, patience: float = PATIENCE) -> None:
        """Read until something has happened; fails at the deadline or at the end of the stream."""
        deadline = time.monotonic() + patience
        while not happened():
            assert self._read(deadline - time.monotonic()), f"gone while waiting; console: {self.console()}"

    def pump_for(self, seconds: float) -> None:
        """Read for a while."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                if not self._read(left):
                    return

    def at_end(self, patience: float = PATIENCE) -> bool:
        """Whether the printer ends the connection within the time."""
        deadline = time.monotonic() + patience
        with contextlib.suppress(TimeoutError):
            while self._read(deadline - time.monotonic()):
                pass
            return True
        return False

    def _read(self, seconds: float) -> bool:
        self._socket.settimeout(max(seconds, 0.001))
        try:
            data = self._socket.recv(READ_SIZE)
        except ConnectionResetError:
            return False
        *frames, self._buffer = (self._buffer + data).split(END)
        for frame in frames:
            self._sort(json.loads(frame))
        return bool(data)

    def _sort(self, message: Message) -> None:
        if "id" not in message:
            self.notifications.append(message)
            return
        key = json.dumps(message["id"])
        self.order.append(key)
        self.answers[key] = message


class VirtualPrinter:
    """A process with a folder of its own: `folder/klippy.sock`, `folder/gcodes`."""

    def __init__(self, *options: str, speed: float = 100.0, restart_factor: float = 0.1) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vp"))
        self.socket = self.folder / "klippy.sock"
        self.gcodes = self.folder / "gcodes"
        command = ["-m", "agents.klippy.virtual", "--socket", str(self.socket), "--gcodes", str(self.gcodes)]
        pace = ["--speed", str(speed), "--restart-delay-factor", str(restart_factor)]
        self.process = subprocess.Popen(
            [sys.executable, *command, *pace, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline().strip()

    def connect(self, patience: float = PATIENCE) -> Client:
        """A client, as soon as one is accepted."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return Client(self.socket)
            except (ConnectionRefusedError, FileNotFoundError):
                assert time.monotonic() < deadline, "never accepted"
                time.sleep(0.01)

    def ready(self) -> Client:
        """A client of a printer that is ready."""
        client = self.connect()
        deadline = time.monotonic() + PATIENCE
        while client.call("info")["state"] != "ready":
            assert time.monotonic() < deadline, "never ready"
            time.sleep(0.01)
        return client

    def write(self, name: str, *lines: str) -> None:
        """Put a file on the virtual SD card."""
        (self.gcodes / name).write_text("\n".join([*lines, ""]))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process; its status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        status = self.process.wait(PATIENCE)
        shutil.rmtree(self.folder)
        return status


@contextlib.contextmanager
def virtual_printer(*options: str, speed: float = 100.0, restart_factor: float = 0.1) -> Iterator[VirtualPrinter]:
    """A running virtual printer, ended afterwards."""
    printer = VirtualPrinter(*options, speed=speed, restart_factor=restart_factor)
    try:
        yield printer
    finally:
        printer.stop()
