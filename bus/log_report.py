"""How `printbus log` shows what it finds."""

import argparse
import sys
from collections.abc import Callable, Mapping
from datetime import datetime

import orjson

from . import log_tool
from .errors import BusError, NotFound
from .log import Excerpt
from .log_record import START, StoredEvent
from .ownership import take_on_owner

FAILED = 1


def line(event: StoredEvent) -> str:
    """An event for people: number, local time, type, who, and what."""
    try:
        when = datetime.fromtimestamp(event.time).astimezone().isoformat(" ", "milliseconds")
    except (ValueError, OverflowError, OSError):  # of a log that something else has written
        when = str(event.time)
    actor = event.actor or {}
    who = "@".join(str(actor[part]) for part in ("user", "transport") if actor.get(part)) or "-"
    where = actor.get("client") or "-"
    return f"{event.seq:>8} {when} {event.type:<24} {who} {where} {orjson.dumps(event.data).decode()}"


def as_json(event: StoredEvent) -> str:
    """An event as `events.read` has it."""
    names = ("seq", "time", "stream", "type", "actor", "data")
    return orjson.dumps({name: getattr(event, name) for name in names}).decode()


def _read(options: argparse.Namespace) -> int:
    shown = as_json if options.json else line
    limit = sys.maxsize if options.limit is None else options.limit
    wanted = Excerpt(options.since, options.stream, limit, options.since_time, options.until_time)
    for event in log_tool.read(options.data, wanted):
        print(shown(event))
    return 0


def _tail(options: argparse.Namespace) -> int:
    shown = as_json if options.json else line
    after = options.since if options.since > START else None
    for event in log_tool.tail(options.data, after, options.stream):
        print(shown(event), flush=True)
    return 0


def _verify(options: argparse.Namespace) -> int:
    reports = log_tool.verify(options.data)
    if not reports:
        raise NotFound(f"there is no event log in {log_tool.log_directory(options.data)}")
    for found in reports:
        state = found.problem or "intact"
        kind = "sealed" if found.sealed else "open"
        print(f"{found.name}: events {found.first} to {found.last}, {found.size} bytes, {kind}: {state}")
    return FAILED if any(found.problem for found in reports) else 0


def _stat(options: argparse.Namespace) -> int:
    found = log_tool.stat(options.data)
    if options.json:
        print(orjson.dumps(found).decode())
        return 0
    print(f"epoch {found.epoch}: events {found.first} to {found.head}, {found.segments} segments, {found.size} bytes")
    for stream, count in sorted(found.streams.items()):
        print(f"  {stream}: {count}")
    for name in found.damaged:
        print(f"  damaged and set aside: {name}")
    return 0


def _export(options: argparse.Namespace) -> int:
    target = sys.stdout.buffer if options.file is None else options.file.open("wb")
    take_on_owner(options.data)
    with target:
        target.writelines(log_tool.export(options.data))
    return 0


def _import(options: argparse.Namespace) -> int:
    with options.file.open("rb") as lines:
        take_on_owner(options.data)
        count = log_tool.import_(options.data, lines, warn=_warn)
    print(f"{count} events")
    return 0


def _warn(text: str) -> None:
    print(f"printbus: {text}", file=sys.stderr)


def _compact(options: argparse.Namespace) -> int:
    first = log_tool.compact(options.data, options.segments, options.keep)
    print(f"the log now begins at event {first}")
    return 0


ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "read": _read,
    "tail": _tail,
    "verify": _verify,
    "stat": _stat,
    "export": _export,
    "import": _import,
    "compact": _compact,
}

WITH_A_FILE = ("export", "import")  # which is opened with the rights of whoever calls


def run(options: argparse.Namespace) -> int:
    """One action; a log that cannot be read is one line on standard error and status 1."""
    try:
        if options.action not in WITH_A_FILE:
            take_on_owner(options.data)
        return ACTIONS[options.action](options)
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except (BusError, OSError) as error:
        print(f"printbus: {error}", file=sys.stderr)
        return FAILED
