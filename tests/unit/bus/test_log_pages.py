"""Reading LMDB pages without LMDB: on a sound file it finds what LMDB finds."""

import random
from pathlib import Path
from uuid import uuid4

from bus.lmdb_log import LmdbLog
from bus.lmdb_segment import Segment
from bus.log import Append, NewEvent
from bus.log_files import segment_paths
from bus.log_index import EventIndex
from bus.log_pages import committed_last, salvaged


def written(place: Path, appends: int) -> Path:
    """The file of a log with records from a few bytes to many pages."""
    source = random.Random(5)  # noqa: S311
    log = LmdbLog.open(place, reserve_bytes=0)
    for _ in range(appends):
        size = source.choice([0, 10, 500, 1900, 2100, 4000, 30_000])
        events = [NewEvent("x.1", {"text": "ä" * size})] * source.randrange(1, 4)
        log.commit([Append("jobs", events, uuid4()) for _ in range(source.randrange(1, 9))])
    log.close()
    [(_, path)] = segment_paths(place)
    return path


def test_all_records_of_a_sound_file_are_found(tmp_path: Path) -> None:
    path = written(tmp_path, 60)
    segment = Segment(path, 1, EventIndex())
    wanted = segment.scan(0, 10_000, list)
    segment.close()
    content = path.read_bytes()
    assert len(wanted) > 400
    assert salvaged(content, 1) == wanted
    assert committed_last(content, 1) == len(wanted)


def test_nothing_is_found_before_a_gap_at_the_start(tmp_path: Path) -> None:
    content = written(tmp_path, 3).read_bytes()
    assert salvaged(content, 2)
    assert salvaged(content, 10_000) == []


def test_rubbish_holds_no_records() -> None:
    source = random.Random(6)  # noqa: S311
    for size in (0, 10, 4096, 50_000):
        for content in (bytes(size), source.randbytes(size), b"\x02\x00" * (size // 2)):
            assert salvaged(content, 1) == []
            assert committed_last(content, 1) is None
