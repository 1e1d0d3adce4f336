"""What `printbus log` does: reading beside a live writer, checking, exporting, restoring and compacting a log."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson

from .errors import InvalidParams, NotFound, Unavailable
from .lmdb_log import SEGMENT_BYTES, LmdbLog
from .lmdb_segment import replayed
from .log import Excerpt, is_stream, up_to
from .log_check import read_epoch, run_child
from .log_files import file_digest, segment_paths, sync_directory
from .log_index import load, load_head
from .log_pages import salvaged
from .log_record import START, DamagedRecord, Position, StoredEvent, decode

EXPORT_FORMAT: Final = "printbus-log-2"
ENDLESS_FORMAT: Final = "printbus-log-1"  # of exports without a last line that says what is before it
UNKNOWN_END = "the export was made by an earlier printbus, so whether it is whole cannot be told"
LATEST: Final = 253_370_764_800.0  # Unix seconds, at the beginning of the year 9999
PAGE: Final = 500
POLL_SECONDS: Final = 0.25
EVERYTHING: Final = Excerpt(limit=sys.maxsize)


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What `verify` says of one segment; `problem` is None when all is well."""

    name: str
    first: Position
    last: Position
    size: int
    sealed: bool
    problem: str | None


@dataclass(frozen=True, slots=True)
class LogReport:
    """What `stat` says: sizes in bytes, events per stream, and damaged files that were set aside."""

    epoch: UUID | None
    first: Position
    head: Position
    segments: int
    size: int
    streams: dict[str, int]
    damaged: tuple[str, ...]


def log_directory(data_dir: Path) -> Path:
    """Where the log of a data directory is."""
    return data_dir / "printbus" / "log"


def read(data_dir: Path, wanted: Excerpt = EVERYTHING) -> Iterator[StoredEvent]:
    """The events of an excerpt, in order; NotFound without a log, Unavailable at damage."""
    segments, after = _Segments(_files(data_dir)), wanted.after
    if wanted.since_time is not None:
        after = max(after, segments.before(wanted.since_time))
    events = (event for event in segments.events(after) if wanted.stream in (None, event.stream))
    return islice(up_to(wanted.until_time, events), min(wanted.limit, sys.maxsize))


def _files(data_dir: Path) -> list[tuple[Position, Path]]:
    directory = log_directory(data_dir)
    segments = segment_paths(directory)
    if not segments:
        raise NotFound(f"there is no event log in {directory}")
    return segments


def tail(data_dir: Path, after: Position | None = None, stream: str | None = None) -> Iterator[StoredEvent]:
    """Events after a position (default: from now on) as they are stored, for ever; blocks between them.

    Unavailable when the log is replaced by another one.
    """
    directory = log_directory(data_dir)
    epoch = read_epoch(directory)
    position = stat(data_dir).head if after is None else after
    segments = _Segments([])
    while True:
        segments.renew(_files(data_dir))
        for event in segments.events(position):
            position = event.seq
            if stream in (None, event.stream):
                yield event
        time.sleep(POLL_SECONDS)
        if read_epoch(directory) != epoch:
            raise Unavailable("the event log has been replaced")


def verify(data_dir: Path) -> list[SegmentReport]:
    """Check every segment, in child processes: digest of sealed ones, records and numbering of all."""
    expected: Position | None = None
    reports: list[SegmentReport] = []
    for first, path in segment_paths(log_directory(data_dir)):
        head = load_head(path)
        sealed = head is not None and head.digest is not None
        finding = run_child("scan", path, first)
        problem = finding.problem
        if head is not None and head.digest and head.digest != file_digest(path):
            problem = problem or "it is not the file that was sealed"
        if expected not in (None, first):
            problem = problem or f"it begins at {first}, but {expected} is next"
        reports.append(SegmentReport(path.name, first, finding.last, path.stat().st_size, sealed, problem))
        expected = finding.last + 1
    return reports


def stat(data_dir: Path) -> LogReport:
    """Sizes and counts; reads everything."""
    directory = log_directory(data_dir)
    segments = segment_paths(directory)
    streams: Counter[str] = Counter()
    head = START
    for event in read(data_dir):
        streams[event.stream] += 1
        head = event.seq
    return LogReport(
        read_epoch(directory),
        segments[0][0],
        head,
        len(segments),
        sum(path.stat().st_size for _, path in segments),
        dict(streams),
        tuple(sorted(path.name for path in directory.glob("damaged/*.mdb"))),
    )


def export(data_dir: Path) -> Iterator[bytes]:
    """The log as JSON lines, a header, the events and an end: a backup, since LMDB files fit one kind of machine."""
    events = read(data_dir)
    header = {"format": EXPORT_FORMAT, "epoch": str(read_epoch(log_directory(data_dir)))}
    digest = sha256()
    count = -1
    for said in chain([header], (event._asdict() for event in events)):
        line = orjson.dumps(said) + b"\n"
        digest.update(line)
        count += 1
        yield line
    yield orjson.dumps({"end": count, "sha256": digest.hexdigest()}) + b"\n"


def import_(
    data_dir: Path,
    lines: Iterable[bytes],
    *,
    segment_bytes: int = SEGMENT_BYTES,
    warn: Callable[[str], None] = lambda _: None,
) -> int:
    """Restore an export where there is no log yet, with its numbers and times and a new epoch; the number of events.

    `warn` is told of an export that does not say where it ends.
    """
    directory = log_directory(data_dir)
    if directory.exists() and segment_paths(directory):
        raise InvalidParams(f"there is an event log in {directory} already")
    building = directory.with_name("log.import")
    if building.exists():
        shutil.rmtree(building)
    restored = LmdbLog.open(building, segment_bytes=segment_bytes, reserve_bytes=0)
    try:
        count = restored.restore(_imported(lines, warn))
    finally:
        restored.close()
    _remove_empty(directory)
    building.rename(directory)
    sync_directory(directory.parent)
    return count


def compact(data_dir: Path, segments: int, keep: Collection[str] = ()) -> Position:
    """Drop all but the last `segments` segments, carrying the streams in `keep` forward; the first readable position.

    Unavailable while another process writes the log.
    """
    opened = LmdbLog.open(log_directory(data_dir))
    try:
        boundaries = opened.boundaries()
        return opened.trim(boundaries[max(len(boundaries) - max(segments, 1), 0)], keep)
    finally:
        opened.close()


class _Segments:
    """The segments of a log for reading: each is looked at by a child process first, as a damaged map can kill."""

    def __init__(self, found: list[tuple[Position, Path]]) -> None:
        self._found = found
        self._problems: dict[Path, str | None] = {}

    def renew(self, found: list[tuple[Position, Path]]) -> None:
        """Goes on with the files that there are now; the known ones are not looked at again."""
        self._found = found

    def before(self, time: float) -> Position:
        """As `EventLog.before`; a segment without an index, such as the one that is written, is searched whole."""
        position = START
        for number, (first, path) in enumerate(self._found):
            known = load(path)
            if known is not None and known.latest < time:
                position = known.last
                continue
            position = first - 1 + (known.index.before(time) if known is not None else 0)
            for event in self._read(number, position):
                if event.time >= time:
                    return position
                position = event.seq
            if self._problems.get(path):
                return position
        return position

    def events(self, after: Position) -> Iterator[StoredEvent]:
        """Events behind a position; Unavailable at damage, behind what could be verified."""
        for number, (_, path) in enumerate(self._found):
            if number + 1 < len(self._found) and self._found[number + 1][0] <= after + 1:
                continue
            yield from self._read(number, after)
            if problem := self._problems.get(path):
                raise Unavailable(f"{path.name} is damaged: {problem}")

    def _read(self, number: int, after: Position) -> Iterator[StoredEvent]:
        first, path = self._found[number]
        try:
            if path not in self._problems:
                end = self._found[number + 1][0] if number + 1 < len(self._found) else None
                self._problems[path] = _problem(path, first, end)
            if self._problems[path]:
                yield from (event for event in decode(salvaged(path.read_bytes(), first)) if event.seq > after)
            else:
                yield from _mapped(path, first, after)
        except FileNotFoundError:  # dropped by the writer meanwhile
            self._problems[path] = None


def _problem(path: Path, first: Position, end: Position | None) -> str | None:
    """Why a segment, which reaches up to the next one's first position `end`, must not be mapped, if so."""
    head = load_head(path)
    if head is not None and head.digest is not None and head.digest == file_digest(path):
        return None
    finding = run_child("scan", path, first)
    if finding.problem is None and end not in (None, finding.last + 1):
        return f"it ends at {finding.last}, the next one begins at {end}"
    return finding.problem


def _mapped(path: Path, first: Position, after: Position) -> Iterator[StoredEvent]:
    try:
        yield from replayed(path, first, after)
    except (DamagedRecord, ValueError) as error:
        raise Unavailable(f"{path.name} is damaged: {error}") from error


def _imported(lines: Iterable[bytes], warn: Callable[[str], None]) -> Iterator[StoredEvent]:
    rest = iter(lines)
    try:
        first = next(rest, b"null")
        header: Any = orjson.loads(first)
        format = header.get("format") if isinstance(header, dict) else None
        if format == ENDLESS_FORMAT:
            yield from (_event(orjson.loads(line)) for line in rest)
            warn(UNKNOWN_END)
        elif format == EXPORT_FORMAT:
            yield from _up_to_its_end(first, rest)
        else:
            raise InvalidParams(f"not an export of an event log (its first line names the format {EXPORT_FORMAT})")
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidParams(f"the export is damaged: {error}") from error


def _up_to_its_end(header: bytes, lines: Iterator[bytes]) -> Iterator[StoredEvent]:
    """The events of an export; ValueError where it is not whole, or not what was written."""
    digest, count = sha256(), 0
    line = header
    for following in lines:
        digest.update(line.rstrip(b"\n") + b"\n")
        line = following
        said: Any = orjson.loads(line)
        if isinstance(said, dict) and "end" in said:
            break
        yield _event(said)
        count += 1
    else:
        raise ValueError("its end is missing")
    if said != {"end": count, "sha256": digest.hexdigest()}:
        raise ValueError("it is not what was written")
    if next(lines, None) is not None:
        raise ValueError("there is something behind its end")


def _event(fields: Any) -> StoredEvent:
    """An event of an export; raises ValueError, TypeError or KeyError for anything else."""
    event = StoredEvent(**{**fields, "append_id": UUID(str(fields["append_id"]))})
    fit = {
        "seq": type(event.seq) is int and event.seq > START,
        "time": type(event.time) in (int, float) and 0 <= event.time < LATEST,
        "stream": isinstance(event.stream, str) and is_stream(event.stream),
        "type": isinstance(event.type, str),
        "actor": event.actor is None or isinstance(event.actor, dict),
        "data": isinstance(event.data, dict),
    }
    for name, is_right in fit.items():
        if not is_right:
            raise ValueError(f"no event has '{name}': {fields[name]!r:.80}")
    return event


def _remove_empty(directory: Path) -> None:
    """Remove the directory of a log without events; InvalidParams when it holds more, such as damaged files."""
    if not directory.exists():
        return
    found = list(directory.iterdir())
    if not {path.name for path in found} <= {"lock", "log.json", "reserve"}:
        raise InvalidParams(f"{directory} holds files that are kept; move them away first")
    for path in found:
        path.unlink()
    directory.rmdir()
