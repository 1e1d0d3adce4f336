"""What a log takes of memory: no more than what is being read and written."""

import re
from pathlib import Path
from uuid import uuid4

from bus.lmdb_log import MAPPED_BYTES, LmdbLog
from bus.log import NewEvent

MIB = 1 << 20


def mapped(folder: Path) -> dict[str, int]:
    """Bytes in memory of each segment that is mapped, by its name."""
    found: dict[str, int] = {}
    name = ""
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            name = line.partition(f"{folder}/")[2]
        elif line.startswith("Rss:") and name.endswith(".mdb"):
            found[name] = found.get(name, 0) + int(line.split()[1]) * 1024
    return found


def fill(log: LmdbLog, count: int) -> None:
    for number in range(count):
        log.append("s", [NewEvent("s.1", {"number": number, "text": "x" * 100_000})], append_id=uuid4())


def test_what_is_written_does_not_stay_in_memory(tmp_path: Path) -> None:
    log = LmdbLog.open(tmp_path, reserve_bytes=0)
    fill(log, 420)
    [used] = mapped(tmp_path).values()
    assert used < MAPPED_BYTES + 2 * MIB
    assert next(tmp_path.glob("*.mdb")).stat().st_size > 40 * MIB
    log.close()


def test_sealed_segments_are_mapped_while_they_are_read_only(tmp_path: Path) -> None:
    log = LmdbLog.open(tmp_path, segment_bytes=MIB, reserve_bytes=0)
    fill(log, 50)
    numbers, after = [], 0
    while events := log.read(after):
        numbers += [event.data["number"] for event in events]
        after = events[-1].seq
        assert len(mapped(tmp_path)) == 1
    assert numbers == list(range(50))
    assert log.before(events[0].time if events else 0.0) == 0
    assert [event.seq for event in log.read(stream="s", limit=3)] == [1, 2, 3]
    assert len(mapped(tmp_path)) == 1 < len(log.boundaries())
    log.close()
    assert not mapped(tmp_path)
