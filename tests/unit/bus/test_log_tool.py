"""What `printbus log` does, on logs that are closed and on one that is being written."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest

from bus import log_report, log_tool
from bus.errors import BusError, InvalidParams, NotFound, Unavailable
from bus.lmdb_log import LmdbLog
from bus.log import Append, Excerpt, NewEvent, StoredEvent, excerpt
from bus.log_checkpoint import expand
from bus.log_files import index_path, segment_paths
from tests.e2e.test_print import until

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "data" / "log_golden_1.jsonl"
SEGMENT = 40 << 10
EVENTS = 240
WRITER = "tests.fault.log_trials"


def write(data: Path, count: int = EVENTS) -> None:
    """A closed log of several segments with two streams."""
    log = LmdbLog.open(log_tool.log_directory(data), segment_bytes=SEGMENT, reserve_bytes=0)
    event = NewEvent("job.queued.1", {"text": "x" * 100}, {"user": "ada"})
    for number in range(0, count, 10):
        log.commit([Append(("jobs", "users")[(number + each) % 2], [event], uuid4()) for each in range(10)])
    log.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("template")
    write(place)
    return place


@pytest.fixture
def data(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "data"))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Path]:
    """A data directory whose log another process is writing."""
    place = log_tool.log_directory(tmp_path)
    arguments = [sys.executable, "-m", WRITER, "append_for_ever", str(place), "20"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(1500):
            child.stdout.readline()
        drain = subprocess.Popen(["cat"], stdin=child.stdout, stdout=subprocess.DEVNULL)
        yield tmp_path
        child.kill()
        drain.wait()


def test_read_gives_events_in_order_by_position_stream_and_limit(data: Path) -> None:
    assert [event.seq for event in log_tool.read(data)] == list(range(1, EVENTS + 1))
    assert [event.seq for event in log_tool.read(data, Excerpt(EVENTS - 2))] == [EVENTS - 1, EVENTS]
    assert [event.seq for event in log_tool.read(data, Excerpt(200, "users", 3))] == [202, 204, 206]
    assert list(log_tool.read(data, Excerpt(EVENTS))) == list(log_tool.read(data, Excerpt(limit=0))) == []


def test_times_are_found_as_by_the_log_itself_with_and_without_indexes(data: Path) -> None:
    directory = log_tool.log_directory(data)
    events = list(log_tool.read(data))
    times = sorted({event.time for event in events})
    excerpts = [
        Excerpt(since_time=time, until_time=times[-2], limit=EVENTS) for time in (0.0, *times[::5], times[-1] + 1)
    ]
    opened = LmdbLog.open(directory, segment_bytes=SEGMENT, reserve_bytes=0)
    wanted = [list(excerpt(opened, each)) for each in excerpts]
    assert len(opened.boundaries()) > 2 and len(wanted[0]) == EVENTS - 10
    opened.close()
    assert [list(log_tool.read(data, each)) for each in excerpts] == wanted
    for _, path in segment_paths(directory)[1:]:
        index_path(path).unlink()
    assert [list(log_tool.read(data, each)) for each in excerpts] == wanted


def test_a_log_is_read_while_it_is_written(writer: Path) -> None:
    events = list(log_tool.read(writer))
    assert len(events) > 1000
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    until(lambda: len(list(log_tool.read(writer))) > len(events))


def test_tail_follows_across_segments(writer: Path) -> None:
    count = len(segment_paths(log_tool.log_directory(writer)))
    events: list[StoredEvent] = []
    for event in log_tool.tail(writer, 500):
        events.append(event)
        if len(segment_paths(log_tool.log_directory(writer))) > count and len(events) > 3000:
            break
    assert [event.seq for event in events] == list(range(501, 501 + len(events)))


def test_tail_begins_at_the_end_and_knows_streams(writer: Path) -> None:
    head = log_tool.stat(writer).head
    events = list(islice(log_tool.tail(writer, stream="print"), 3))
    assert {event.stream for event in events} == {"print"}
    assert events[0].seq > head


def test_a_log_is_verified_while_it_is_written(writer: Path) -> None:
    reports = log_tool.verify(writer)
    assert [report.problem for report in reports] == [None] * len(reports)
    assert reports[-1].last > 1000


def test_compact_and_import_leave_a_written_log_alone(writer: Path) -> None:
    with pytest.raises(Unavailable, match="being written by process"):
        log_tool.compact(writer, 1)
    with pytest.raises(InvalidParams, match="already"):
        log_tool.import_(writer, GOLDEN.read_bytes().splitlines())


def test_verify_reports_each_segment(data: Path) -> None:
    reports = log_tool.verify(data)
    assert [report.problem for report in reports] == [None] * len(reports)
    assert [report.sealed for report in reports] == [True] * (len(reports) - 1) + [False]
    assert [report.first for report in reports] == [1, *(report.last + 1 for report in reports[:-1])]
    assert reports[-1].last == EVENTS


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_verify_names_what_is_wrong(data: Path, damage: str) -> None:
    [_, (_, path), *rest] = segment_paths(log_tool.log_directory(data))
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
        path = rest[0][1]
    else:
        changed = content.replace(b'"text":"xx', b'"text":"xy') if damage == "flip" else content[:20_000]
        path.write_bytes(changed)
    wrong = [report for report in log_tool.verify(data) if report.problem]
    assert path.name in [report.name for report in wrong]


def test_stat_counts(data: Path) -> None:
    report = log_tool.stat(data)
    files = segment_paths(log_tool.log_directory(data))
    assert (report.first, report.head, report.segments) == (1, EVENTS, len(files))
    assert report.streams == {"jobs": EVENTS // 2, "users": EVENTS // 2}
    assert report.size == sum(path.stat().st_size for _, path in files)
    assert report.damaged == ()
    assert isinstance(report.epoch, UUID)


def test_an_export_is_restored_with_its_numbers_in_a_new_epoch(data: Path, tmp_path: Path) -> None:
    lines = list(log_tool.export(data))
    other = tmp_path / "other"
    assert log_tool.import_(other, lines, segment_bytes=SEGMENT) == EVENTS
    assert list(log_tool.read(other)) == list(log_tool.read(data))
    assert list(log_tool.export(other))[1:-1] == lines[1:-1]
    assert log_tool.stat(other).epoch != log_tool.stat(data).epoch
    assert [report.problem for report in log_tool.verify(other)] == [None] * log_tool.stat(other).segments


def test_the_golden_export_is_restored_to_the_same_events(tmp_path: Path) -> None:
    golden = GOLDEN.read_bytes().splitlines(keepends=True)
    said: list[str] = []
    assert log_tool.import_(tmp_path, golden, warn=said.append) == len(golden) - 1
    assert said == ["the export was made by an earlier printbus, so whether it is whole cannot be told"]
    assert list(log_tool.export(tmp_path))[1:-1] == golden[1:]
    log = LmdbLog.open(log_tool.log_directory(tmp_path), reserve_bytes=0)
    note = next(event for event in log.read(stream="print") if event.type == "print.note.1")
    assert note.data["text"] == "tab\t nul\u0000 \u2028 \U0001f5a8"
    assert note.append_id == UUID(int=6)
    assert [event.data for event in expand(log.read(stream="users"))] == [{"name": "ada"}]
    assert (log.head(), list(log.boundaries()), log.position("print")) == (14, [5], 13)
    assert log.append("print", [NewEvent("x.1", {})], append_id=UUID(int=6)) == 11
    assert log.append("print", [NewEvent("x.1", {})], append_id=uuid4(), expected=13) == 15
    log.close()


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"{}"],
        [b"not json"],
        [b'{"format":"printbus-log-2"}'],
        [b'{"format":"printbus-log-3"}'],
        [b'{"format":"printbus-log-1"}', b"{}"],
        [b'{"format":"printbus-log-1"}', b'{"seq": 1'],
        GOLDEN.read_bytes().splitlines()[:3] + GOLDEN.read_bytes().splitlines()[4:],
    ],
)
def test_what_is_no_export_is_refused_and_leaves_no_log(tmp_path: Path, lines: list[bytes]) -> None:
    with pytest.raises(InvalidParams):
        log_tool.import_(tmp_path, lines)
    assert segment_paths(log_tool.log_directory(tmp_path)) == []
    assert log_tool.import_(tmp_path, GOLDEN.read_bytes().splitlines()) == 10


def test_an_export_that_is_not_whole_or_not_what_was_written_is_refused(data: Path, tmp_path: Path) -> None:
    lines = list(log_tool.export(data))
    assert orjson.loads(lines[-1])["end"] == EVENTS
    changed = lines[5].replace(b'"ada"', b'"eve"')
    for wrong, said in (
        (lines[:-1], "its end is missing"),
        (lines[:100], "its end is missing"),
        ([*lines[:100], lines[-1]], "not what was written"),
        ([*lines[:5], changed, *lines[6:]], "not what was written"),
        ([*lines, lines[-2]], "something behind its end"),
    ):
        with pytest.raises(InvalidParams, match=said):
            log_tool.import_(tmp_path / "other", wrong)
    assert log_tool.import_(tmp_path / "other", lines, warn=pytest.fail) == EVENTS


@pytest.mark.parametrize(
    "wrong",
    [
        b'"seq":"x"',
        b'"seq":1e23',
        b'"seq":true',
        b'"seq":0',
        b'"time":"x"',
        b'"time":1e18',
        b'"time":-1',
        b'"time":null',
        b'"stream":5',
        b'"stream":"../x"',
        b'"type":null',
        b'"actor":"ada"',
        b'"data":[]',
        b'"append_id":5',
        b'"append_id":"x"',
    ],
)
def test_an_event_of_an_export_has_the_right_types(tmp_path: Path, wrong: bytes) -> None:
    header, first, *rest = GOLDEN.read_bytes().splitlines()
    name = wrong.partition(b":")[0]
    fields = orjson.loads(first) | orjson.loads(b"{" + wrong + b"}")
    with pytest.raises(InvalidParams, match="the export is damaged"):
        log_tool.import_(tmp_path, [header, orjson.dumps(fields), *rest])
    assert name in first and segment_paths(log_tool.log_directory(tmp_path)) == []


def test_a_time_that_no_calendar_has_is_shown_as_a_number() -> None:
    event = StoredEvent(1, 1e18, "print", "note.1", None, {}, UUID(int=1))
    assert log_report.line(event).split()[:2] == ["1", "1e+18"]


def test_an_import_does_not_remove_damaged_files(tmp_path: Path) -> None:
    directory = log_tool.log_directory(tmp_path)
    (directory / "damaged").mkdir(parents=True)
    (directory / "damaged" / "seg.mdb").touch()
    (directory / "log.json").touch()
    with pytest.raises(InvalidParams, match="move them away"):
        log_tool.import_(tmp_path, GOLDEN.read_bytes().splitlines())
    assert (directory / "damaged" / "seg.mdb").exists()
    assert (directory / "log.json").exists()


def test_compact_drops_segments_and_keeps_streams(data: Path) -> None:
    before = [event.data for event in log_tool.read(data, Excerpt(stream="users", limit=EVENTS))]
    first = log_tool.compact(data, 2, ["users"])
    assert first > 1
    assert next(log_tool.read(data)).seq == first
    assert [event.data for event in expand(log_tool.read(data, Excerpt(stream="users", limit=EVENTS)))] == before
    assert log_tool.stat(data).streams["jobs"] < EVENTS // 2


@pytest.mark.parametrize("action", [log_tool.read, log_tool.tail, log_tool.stat, log_tool.export])
def test_without_a_log_there_is_nothing(tmp_path: Path, action: type) -> None:
    with pytest.raises(NotFound):
        list(action(tmp_path))


def test_damage_ends_a_read_with_an_error(data: Path) -> None:
    [(_, path), *_] = segment_paths(log_tool.log_directory(data))
    path.write_bytes(path.read_bytes().replace(b'"text":"xx', b'"text":"xy'))
    with pytest.raises(BusError, match="damaged"):
        list(log_tool.read(data))


def truncated(content: bytes) -> bytes:
    return content[:12288]


def empty(_: bytes) -> bytes:
    return b""


def short(content: bytes) -> bytes:
    return content[:100]


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def zeroed(content: bytes) -> bytes:
    return content[:8192] + bytes(len(content) - 8192)


def scrambled(content: bytes) -> bytes:
    return content[:12288] + bytes(number * 97 % 251 for number in range(8192)) + content[20480:]


@pytest.mark.parametrize("damage", [truncated, empty, short, halved, zeroed, scrambled])
@pytest.mark.parametrize("number", [0, -1])
def test_what_is_intact_before_damage_is_read_and_no_signal_gets_here(
    data: Path, damage: Callable[[bytes], bytes], number: int
) -> None:
    segments = segment_paths(log_tool.log_directory(data))
    first, path = segments[number]
    path.write_bytes(damage(path.read_bytes()))
    seen: list[int] = []
    for action in (["read", "--json"], ["export"], ["stat"], ["read", "--json", "--since-time", "0"]):
        arguments = [sys.executable, "-m", "bus", "log", *action, "--data", str(data)]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and path.name in done.stderr and len(done.stderr.splitlines()) == 1, done
        found = [orjson.loads(line).get("seq") for line in done.stdout.splitlines()]
        seen = [seq for seq in found if seq is not None]
        assert seen == list(range(1, len(seen) + 1)), action
        assert len(seen) >= first - 1 or action == ["stat"]
    assert len(seen) < (segments[1][0] if number == 0 else EVENTS + 1)


def test_a_log_whose_last_segments_are_sound_is_read_behind_a_damaged_one(data: Path) -> None:
    (_, path), (second, _), *_ = segment_paths(log_tool.log_directory(data))
    path.write_bytes(b"")
    assert next(log_tool.read(data, Excerpt(second - 1))).seq == second


def test_lines_of_an_export_are_plain_json(data: Path) -> None:
    header, first, *_ = log_tool.export(data)
    assert orjson.loads(header)["format"] == "printbus-log-2"
    assert set(orjson.loads(first)) == {"seq", "time", "stream", "type", "actor", "data", "append_id"}
