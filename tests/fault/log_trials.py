"""Programs that fault tests run as processes of their own: what happens to them is what is tested."""

import random
import shutil
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from uuid import UUID

import orjson

from bus.lmdb_log import LmdbLog
from bus.log import Append, NewEvent, StoredEvent
from bus.log_checkpoint import whole_stream

SEGMENT = 256 << 10
STREAMS = ("commands", "print", "users")


def open_log(directory: Path) -> LmdbLog:
    """A log with small segments and no reserve."""
    return LmdbLog.open(directory, segment_bytes=SEGMENT, reserve_bytes=0)


def an_append(number: int, source: random.Random) -> Append:
    """An append whose id and content follow from its number; every 50th is large."""
    text = "x" * (9_000 if number % 50 == 0 else source.randrange(300))
    event = NewEvent("job.queued.1", {"number": number, "text": text})
    return Append(STREAMS[number % 3], [event], UUID(int=number))


def make_template(directory: Path, count: int) -> None:
    """A log of `count` events in several segments, closed properly."""
    source = random.Random(1)  # noqa: S311
    log = open_log(directory)
    for start in range(1, count + 1, 7):
        log.commit([an_append(number, source) for number in range(start, min(start + 7, count + 1))])
    log.close()


def truncate(path: Path, source: random.Random) -> None:
    with path.open("r+b") as file:
        file.truncate(source.randrange(path.stat().st_size))


def _overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def zero_page(path: Path, source: random.Random) -> None:
    _overwrite(path, 4096 * source.randrange(path.stat().st_size // 4096), bytes(4096))


def random_page(path: Path, source: random.Random) -> None:
    _overwrite(path, 4096 * source.randrange(path.stat().st_size // 4096), source.randbytes(4096))


def flip_bit(path: Path, source: random.Random) -> None:
    at = source.randrange(path.stat().st_size)
    _overwrite(path, at, bytes([path.read_bytes()[at] ^ 1 << source.randrange(8)]))


def no_meta(path: Path, source: random.Random) -> None:
    _overwrite(path, 0, source.choice([bytes(8192), source.randbytes(8192)]))


def swap_pages(path: Path, source: random.Random) -> None:
    content, pages = path.read_bytes(), path.stat().st_size // 4096
    one, other = (4096 * source.randrange(pages) for _ in range(2))
    _overwrite(path, one, content[other : other + 4096])
    _overwrite(path, other, content[one : one + 4096])


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {
    damage.__name__: damage for damage in (truncate, zero_page, random_page, flip_bit, no_meta, swap_pages)
}


def contents(log: LmdbLog) -> list[StoredEvent]:
    """All events of a log."""
    return list(whole_stream(log.read))


def damage_trial(template: Path, place: Path, kind: str, seed: int) -> str:
    """Damage one segment, open, read, write, open again; what was found: intact, repaired or prefix."""
    source = random.Random(seed)  # noqa: S311
    shutil.copytree(template, place)
    original = open_log(place)
    wanted, epoch = contents(original), original.epoch
    original.close()
    DAMAGES[kind](source.choice(sorted(place.glob("seg-*.mdb"))), source)
    log = open_log(place)
    found, lost = contents(log), any(recovery.lost for recovery in log.recoveries)
    assert found == wanted[: len(found)]
    assert lost == (len(found) < len(wanted)) == (log.epoch != epoch) or (lost and kind == "no_meta")
    assert all(Path(name).exists() for recovery in log.recoveries for name in recovery.set_aside)
    _goes_on(log, place, found)
    shutil.rmtree(place)
    return "intact" if not log.recoveries else "prefix" if lost else "repaired"


def _goes_on(log: LmdbLog, place: Path, found: Sequence[StoredEvent]) -> None:
    """The opened log takes events, and is in order when it is opened again."""
    source = random.Random(2)  # noqa: S311
    numbers = range(1_000_001, 1_000_051)
    assert log.commit([an_append(number, source) for number in numbers]) == [
        len(found) + offset for offset in range(1, 51)
    ]
    if found:
        assert log.append("print", [NewEvent("again.1", {})], append_id=found[-1].append_id) == len(found)
    log.close()
    again = open_log(place)
    assert again.recoveries == ()
    events = contents(again)
    assert events[: len(found)] == found
    assert [event.data["number"] for event in events[len(found) :]] == list(numbers)
    again.close()


def damage_trials(template: str, work: str, kind: str, first: str, count: str) -> None:
    """Print how many trials of one kind ended how."""
    ends: dict[str, int] = {}
    for seed in range(int(first), int(first) + int(count)):
        end = damage_trial(Path(template), Path(work) / f"{kind}-{seed}", kind, seed)
        ends[end] = ends.get(end, 0) + 1
    sys.stdout.buffer.write(orjson.dumps(ends))


def append_for_ever(directory: str, threads: str) -> None:
    """Append in batches; print each position and number once it is acknowledged."""
    log, source = open_log(Path(directory)), random.Random()  # noqa: S311
    number = log.head()
    print("open", len(log.recoveries), flush=True)
    while True:
        count = source.randrange(1, int(threads) + 1)
        appends = [an_append(number + offset, source) for offset in range(1, count + 1)]
        positions = log.commit(appends)
        lines = [f"{position} {append.append_id.int}" for position, append in zip(positions, appends, strict=True)]
        print("\n".join(lines), flush=True)
        number += count


if __name__ == "__main__":
    {each.__name__: each for each in (damage_trials, append_for_ever)}[sys.argv[1]](*islice(sys.argv, 2, None))
