"""The commands `printbus put` and `printbus get`: what their arguments mean, and how a transfer looks in a terminal."""

import argparse
import asyncio
import getpass
import hashlib
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from .client import BrokerUrl, LinkLost, Refused
from .config import ConfigError
from .courier import Cargo, Courier
from .errors import BusError
from .file_client import Get, Put
from .topics import INSTANCE

REDRAW_SECONDS = 0.1
MIB = 1 << 20
BAR, WIDTH = "#", 40
FAILED, INTERRUPTED = 1, 130


class Progress:
    """A line that shows how far a transfer is, where somebody can see it."""

    def __init__(self, name: str, out: TextIO) -> None:
        self._name = name
        self._out = out
        self._visible = out.isatty()
        self._began = time.monotonic()
        self._first: int | None = None
        self._drawn = 0.0

    def at(self, done: int, size: int) -> None:
        """So many bytes have arrived."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = done, now
        if self._visible and (now - self._drawn >= REDRAW_SECONDS or done == size):
            self._drawn = now
            self._draw(self.line(done, size, now))

    def line(self, done: int, size: int, now: float) -> str:
        """What is shown at a time."""
        part = done / size if size else 1.0
        speed = (done - (self._first or 0)) / max(now - self._began, REDRAW_SECONDS)
        left = f"{(size - done) / speed:4.0f} s left" if speed > 0 and done < size else ""
        bar = (BAR * int(part * WIDTH)).ljust(WIDTH, ".")
        return (
            f"{self._name}  [{bar}] {part:4.0%}  {done / MIB:.1f}/{size / MIB:.1f} MiB  {speed / MIB:.1f} MiB/s {left}"
        )

    def broken(self, reason: str) -> None:
        """It is interrupted, and will be tried again."""
        if self._visible:
            self._draw(f"{self._name}  interrupted ({reason}), trying again")

    def end(self) -> None:
        """Leaves the line."""
        if self._visible and self._drawn:
            print(file=self._out)

    def _draw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._out.write("\r" + text[:width].ljust(width))
        self._out.flush()


def put(options: argparse.Namespace) -> int:
    """A file of this machine goes to the printer."""
    source: Path = options.file
    if not source.is_file():
        raise ConfigError(f"{source}: there is no such file")
    target = _target(options.target, source.name)
    progress = Progress(source.name, sys.stderr)
    transfer = Put(source, target, progress, start_print=options.print)
    result = _carried(options, transfer, progress, f"put {source.resolve()} {target}")
    if result is not None:
        started = ", the print has started" if result.get("print_started") else ""
        print(f"{result['item']['root']}/{result['item']['path']}: {result['item']['size']} bytes{started}")
    return 0 if result is not None else FAILED


def get(options: argparse.Namespace) -> int:
    """A file of the printer comes to this machine."""
    name = PurePosixPath(options.path).name
    target: Path = options.file or Path(name)
    target = target / name if target.is_dir() else target
    if not target.parent.is_dir():
        raise ConfigError(f"{target.parent}: there is no such folder")
    progress = Progress(name, sys.stderr)
    result = _carried(options, Get(options.path, target, progress), progress, f"get {target.resolve()} {options.path}")
    if result is not None:
        print(f"{target}: {result['size']} bytes")
    return 0 if result is not None else FAILED


def _target(text: str, name: str) -> PurePosixPath:
    """Where a file goes: `root/path/name`, or `root/path/` for its own name."""
    path = PurePosixPath(text)
    if text.endswith("/") or len(path.parts) == 1:
        path /= name
    if path.is_absolute():
        raise ConfigError(f"'{text}': expected ROOT/FOLDER/ or ROOT/FOLDER/NAME")
    return path


def _carried(options: argparse.Namespace, cargo: Cargo, progress: Progress, what: str) -> dict[str, Any] | None:
    """The result; None where it has failed, which has been said."""
    if options.instance is not None and not INSTANCE.fullmatch(options.instance):
        raise ConfigError(f"--instance '{options.instance}': expected letters, digits, '_' and '-'")
    try:
        broker = BrokerUrl.parse(options.broker)
    except ValueError as error:
        raise ConfigError(f"--broker: {error}") from None
    client = _client_id(what)
    try:
        with _alone(client):
            result: dict[str, Any] = asyncio.run(Courier(broker, client, options.instance).run(cargo, progress))
            return result
    except (BusError, LinkLost, Refused) as error:
        progress.end()
        print(f"printbus: {error}", file=sys.stderr)
        return None
    finally:
        progress.end()


def _client_id(what: str) -> str:
    """The same one for the same transfer, so that a second attempt goes on with what the first has left."""
    who = f"{getpass.getuser()}@{socket.gethostname()}"
    return f"{what[:3]}-{hashlib.sha256(f'{who} {what}'.encode()).hexdigest()[:12]}"


@contextmanager
def _alone(client: str) -> Iterator[None]:
    """Keeps a second program from doing the same: both would push each other off the broker for ever."""
    with socket.socket(socket.AF_UNIX) as mark:
        try:
            mark.bind(f"\0printbus.{client}")  # such a name goes with its process
        except OSError:
            raise Refused("this file is on its way already") from None
        yield
