"""The commands `printbus put` and `printbus get`: what their arguments mean."""

import argparse
import asyncio
import hashlib
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from .client import BrokerUrl, LinkLost, Refused
from .config import ConfigError
from .courier import Cargo, Courier
from .errors import BusError
from .file_client import Get, Put
from .progress import Progress
from .system_users import user_name
from .topics import INSTANCE

FAILED, INTERRUPTED = 1, 130


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
    who = f"{user_name()}@{socket.gethostname()}"
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
