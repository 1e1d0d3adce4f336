"""The real program in a process of its own, on free ports, for end-to-end tests."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import urlsplit

START_SECONDS = 40.0
STOP_SECONDS = 30.0


class Addresses(NamedTuple):
    """Where a running program answers."""

    http: str
    mqtt_host: str
    mqtt_port: int
    data: Path = Path()


class Program:
    """One `printbus` process; its standard error is kept for failed assertions."""

    def __init__(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-OO", "-m", "bus", *arguments],  # as scripts/run does
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.errors: deque[str] = deque(maxlen=400)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), name="stderr of printbus")
        self._reader.start()

    def _read(self, pipe: IO[str]) -> None:
        self.errors.extend(pipe)

    def ready_line(self) -> str:
        """The line that says it answers; fails when the program ends instead."""
        assert self.process.stdout is not None
        timer = threading.Timer(START_SECONDS, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        assert line, f"no ready line; status {self.process.wait()}:\n{''.join(self.errors)}"
        return line.strip()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends it; answers the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"did not stop:\n{''.join(self.errors)}") from None
        finally:
            self._reader.join()
            for pipe in (self.process.stdout, self.process.stderr):
                if pipe is not None:
                    pipe.close()
        return status


def addresses(ready: str) -> Addresses:
    """What a ready line says."""
    found = re.fullmatch(r"printbus ready (?:(http://\S+) )?(?:https://\S+ )?(mqtt://\S+)", ready)
    assert found, ready
    url = urlsplit(found[2])
    assert url.hostname and url.port
    return Addresses(found[1] or "", url.hostname, url.port)


def up_arguments(data: Path, *more: str) -> list[str]:
    """Arguments of `printbus up` for a test: free ports, the instance `test`."""
    return ["up", "--data", str(data), "--instance", "test", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", *more]


@contextmanager
def running(data: Path, *more: str) -> Iterator[tuple[Program, Addresses]]:
    """`printbus up` until the block ends; its exit status must then be 0."""
    program = Program(*up_arguments(data, *more))
    try:
        where = addresses(program.ready_line())._replace(data=data)
        yield program, where
    finally:
        status = program.stop()
    assert status == 0, "".join(program.errors)
