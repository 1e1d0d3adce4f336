"""What is found when a log is opened, and what is done about damage; the looking itself is a child process's work."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import orjson

from .errors import OutOfSpace, Unavailable
from .log_files import file_digest, remove_segment, segment_path, segment_paths, sync_directory, write_durably
from .log_index import SegmentIndex, load, load_head
from .log_record import START, Position

log = logging.getLogger(__name__)

LOG_FORMAT: Final = 1
CHECK_SECONDS: Final = 300.0
"""A child that has not finished by then counts as damage: even a slow card reads a segment in less."""
_BOOT: Final = (
    "import sys,types;sys.path[:]=sys.argv[2].split(chr(10));"
    "bus=types.ModuleType('bus');bus.__path__=[sys.argv[1]];sys.modules['bus']=bus;"
    "from bus.log_child import main;main(sys.argv[3:])"
)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Damage that was found: what stays readable, where the damaged file is now, and whether events are missing."""

    segment: str
    reason: str
    last: Position
    lost: bool
    set_aside: tuple[str, ...]


@dataclass(slots=True)
class LogState:
    """A log's files after the check: all of them can be mapped."""

    epoch: UUID
    firsts: list[Position] = field(default_factory=list)
    known: SegmentIndex = field(default_factory=lambda: SegmentIndex(START + 1, START))
    trusted: set[Position] = field(default_factory=set)
    latest: dict[Position, float] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Finding:
    """A child's answer: the last position that was verified, and what is wrong, if anything is."""

    last: Position
    problem: str | None = None
    complete: bool = False


def run_child(command: str, segment: Path, first: Position) -> Finding:
    """Let a child process look at a segment file: what kills the child is a finding here."""
    where = str(Path(__file__).parent)
    arguments = [where, "\n".join(sys.path), command, str(segment), str(first)]
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-S", "-E", "-c", _BOOT, *arguments], capture_output=True, timeout=CHECK_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Finding(first - 1, f"not read within {CHECK_SECONDS:.0f} s")
    if done.returncode == 0:
        return Finding(**orjson.loads(done.stdout))
    return Finding(first - 1, _cause(done))


def examine(directory: Path) -> LogState:
    """Check what was not closed properly, repair what is damaged, and tell what the log consists of.

    A damaged segment is replaced by its verified beginning; when events are missing then, later segments are set aside
    too and the log gets a new epoch, since its numbers will be given again.
    """
    _remove_leftovers(directory)
    state = LogState(read_epoch(directory) or _new_epoch(directory))
    segments = segment_paths(directory)
    clean = bool(segments) and _fitting(*segments[-1]) is not None
    for number, (first, path) in enumerate(segments):
        end = segments[number + 1][0] if number + 1 < len(segments) else None
        lost = _settle(state, path, first, end, trust=clean)
        state.firsts.append(first)
        state.latest[first] = state.known.latest
        if lost:
            _cut(state, directory, segments[number + 1 :], "it follows events that are missing")
            break
    return state


def _settle(state: LogState, path: Path, first: Position, end: Position | None, *, trust: bool) -> bool:
    """Make one segment, which reaches up to the next one's first position `end`, fit to be mapped; True at loss."""
    known = _fitting(first, path)
    if known is not None and end is None:
        known = load(path)
    if known is not None and end not in (None, known.last + 1):
        known = None
    if known is not None:
        if trust:
            state.trusted.add(first)
        state.known = known
        return False
    problem = _inspected(path, first, end)
    recovery = _repair(state, path, first, end, problem) if problem else None
    known = load(path)
    if known is None:
        raise Unavailable(f"the index of {path.name} cannot be read back")
    if state.firsts:
        known.follow(load(segment_path(path.parent, state.firsts[-1])) or state.known)
    known.save(path, None if end is None else file_digest(path))
    state.known = known
    state.trusted.add(first)
    return recovery is not None and recovery.lost


def _fitting(first: Position, path: Path) -> SegmentIndex | None:
    head = load_head(path)
    return head if head is not None and head.first == first and head.fits(path) else None


def _inspected(path: Path, first: Position, end: Position | None) -> str | None:
    """What is wrong with a segment that nobody writes; when nothing is, its index lies beside it."""
    finding = run_child("inspect", path, first)
    if finding.problem is None and end not in (None, finding.last + 1):
        return f"it ends at {finding.last}, the next one begins at {end}"
    return finding.problem


def _repair(state: LogState, path: Path, first: Position, end: Position | None, reason: str) -> Recovery:
    finding = run_child("salvage", path, first)
    if finding.problem:
        raise OutOfSpace(f"{path.name} is damaged ({reason}) and cannot be repaired: {finding.problem}")
    complete = finding.complete if end is None else finding.last + 1 == end
    if not complete:
        state.epoch = _new_epoch(path.parent)
    kept = _keep_damaged(path)
    path.with_suffix(".new").replace(path)
    sync_directory(path.parent)
    again = run_child("inspect", path, first)
    if again.problem:
        raise Unavailable(f"the repaired {path.name} is damaged again: {again.problem}")
    return _report(state, Recovery(path.name, reason, again.last, not complete, (kept,)))


def _cut(state: LogState, directory: Path, segments: Sequence[tuple[Position, Path]], reason: str) -> None:
    """Set aside segments that cannot be reached any more, the last one first."""
    if not segments:
        return
    state.epoch = _new_epoch(directory)
    kept = []
    for _, path in reversed(segments):
        kept.append(_keep_damaged(path))
        remove_segment(path)
    sync_directory(directory)
    _report(state, Recovery(segments[0][1].name, reason, state.known.last, True, tuple(kept)))


def _report(state: LogState, recovery: Recovery) -> Recovery:
    state.recoveries.append(recovery)
    log.error(
        "EVENT LOG DAMAGED: %s: %s. Events up to %d are kept, %s. The damaged file is kept as %s",
        recovery.segment,
        recovery.reason,
        recovery.last,
        "later ones are lost" if recovery.lost else "none is lost",
        ", ".join(recovery.set_aside),
    )
    return recovery


def _keep_damaged(path: Path) -> str:
    """Give a damaged file a second name in `damaged/`, where nothing touches it; that name."""
    aside = path.parent / "damaged"
    aside.mkdir(exist_ok=True)
    kept = aside / f"{path.stem}-{uuid4().hex[:8]}.mdb"
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, kept)
    sync_directory(aside)
    return str(kept)


def read_epoch(directory: Path) -> UUID | None:
    """The epoch of the log in a directory; None when it has none that can be read."""
    try:
        return UUID(orjson.loads((directory / "log.json").read_bytes())["epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _new_epoch(directory: Path) -> UUID:
    epoch = uuid4()
    write_durably(directory / "log.json", orjson.dumps({"format": LOG_FORMAT, "epoch": str(epoch)}))
    return epoch


def _remove_leftovers(directory: Path) -> None:
    for pattern in ("*.tmp", "*.new", "*.new-lock"):
        for path in directory.glob(pattern):
            path.unlink()


def _cause(done: "subprocess.CompletedProcess[bytes]") -> str:
    if done.returncode < 0:
        return f"reading it ends with {signal.Signals(-done.returncode).name}"
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"reading it ends with status {done.returncode}"
