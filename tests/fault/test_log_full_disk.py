"""A full disk and a failing disk: nothing is acknowledged that is not stored, and what is stored stays readable."""

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest

from bus.errors import BusError, OutOfSpace, Unavailable
from bus.journal import Journal
from bus.lmdb_log import LmdbLog
from bus.log import NewEvent
from bus.log_checkpoint import whole_stream

DISK_BYTES = 3 << 20
RESERVE = 128 << 10
MOST_APPENDS = 20_000
EVENT = NewEvent("job.queued.1", {"text": "x" * 1000})


class Disk(Protocol):
    """Somewhere that gets full and can be emptied."""

    place: Path

    def free(self) -> None: ...


class SmallDisk:
    """A file system of a few megabytes, part of which another file takes."""

    def __init__(self, place: Path) -> None:
        self.place = place / "log"
        self._other = place / "upload.gcode"
        self._other.write_bytes(bytes(DISK_BYTES // 2))

    def free(self) -> None:
        self._other.unlink()


class FileLimit:
    """A limit on file sizes, which the kernel reports in the same way; needs no privileges."""

    def __init__(self, place: Path) -> None:
        self.place = place / "log"
        resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES // 2, HARD))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SOFT, HARD))


SOFT, HARD = resource.getrlimit(resource.RLIMIT_FSIZE)


@contextmanager
def small_disk(place: Path) -> Iterator[SmallDisk]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(place)], check=True)
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def file_limit(place: Path) -> Iterator[FileLimit]:
    limit = FileLimit(place)
    try:
        yield limit
    finally:
        limit.free()


def mountable() -> bool:
    """Whether this machine lets us have a file system of our own."""
    if os.geteuid() != 0:
        return False
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True).returncode == 0


KINDS = {"file limit": file_limit} | ({"small disk": small_disk} if mountable() else {})


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with KINDS[request.param](tmp_path) as made:
        yield made


def fill(log: LmdbLog) -> int:
    """Append until the disk is full; how many were acknowledged."""
    for count in range(MOST_APPENDS):
        try:
            log.append("jobs", [EVENT], append_id=uuid4())
        except OutOfSpace:
            return count
    raise AssertionError("the disk was never full")


def sequence(log: LmdbLog) -> list[int]:
    return [event.seq for event in whole_stream(log.read)]


def test_a_full_disk_is_an_error_until_there_is_space(disk: Disk) -> None:
    log = LmdbLog.open(disk.place, reserve_bytes=0)
    count = fill(log)
    assert count > 100
    for _ in range(3):
        with pytest.raises(OutOfSpace):
            log.append("jobs", [EVENT], append_id=uuid4())
    assert sequence(log) == list(range(1, count + 1))
    disk.free()
    assert log.append("jobs", [EVENT], append_id=uuid4(), expected=count) == count + 1
    log.close()
    again = LmdbLog.open(disk.place, reserve_bytes=0)
    assert again.recoveries == ()
    assert sequence(again) == list(range(1, count + 2))
    again.close()


def test_a_log_closed_on_a_full_disk_opens_again(disk: Disk) -> None:
    log = LmdbLog.open(disk.place, reserve_bytes=0)
    count = fill(log)
    log.close()
    disk.free()
    again = LmdbLog.open(disk.place, reserve_bytes=0)
    assert (again.recoveries, sequence(again)) == ((), list(range(1, count + 1)))
    again.close()


def test_segments_that_cannot_be_begun_are_begun_later(disk: Disk) -> None:
    log = LmdbLog.open(disk.place, segment_bytes=DISK_BYTES // 6, reserve_bytes=0)
    if isinstance(disk, FileLimit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES // 8, HARD))
    count = fill(log)
    assert sequence(log) == list(range(1, count + 1))
    disk.free()
    for _ in range(300):
        log.append("jobs", [EVENT], append_id=uuid4())
    log.close()
    again = LmdbLog.open(disk.place, reserve_bytes=0)
    assert (again.recoveries, sequence(again)) == ((), list(range(1, count + 301)))
    again.close()


def test_the_reserve_is_used_and_taken_again(disk: Disk) -> None:
    reserve = disk.place / "reserve"
    log = LmdbLog.open(disk.place, reserve_bytes=RESERVE)
    assert reserve.stat().st_size == RESERVE
    fill(log)
    assert not reserve.exists()
    disk.free()
    log.close()
    log = LmdbLog.open(disk.place, reserve_bytes=RESERVE)
    assert reserve.stat().st_size == RESERVE
    log.close()


def break_files(place: Path, device: str) -> None:
    """Put a device in the place of each open log file: what is written is refused, or cannot be synchronised."""
    handle = os.open(device, os.O_RDWR)
    for link in list(Path("/proc/self/fd").iterdir()):
        if link.is_symlink() and link.readlink().is_relative_to(place) and link.readlink().suffix == ".mdb":
            os.dup2(handle, int(link.name))
    os.close(handle)


@pytest.mark.parametrize(("device", "error"), [("/dev/null", Unavailable), ("/dev/full", OutOfSpace)])
def test_an_append_that_is_not_synchronised_is_not_acknowledged(
    tmp_path: Path, device: str, error: type[BusError]
) -> None:
    log = LmdbLog.open(tmp_path, reserve_bytes=0)
    for _ in range(3):
        log.append("jobs", [EVENT], append_id=uuid4())
    break_files(tmp_path, device)
    for _ in range(2):
        with pytest.raises(error):
            log.append("jobs", [EVENT], append_id=uuid4())
    assert (log.head(), sequence(log)) == (3, [1, 2, 3])
    log.close()
    again = LmdbLog.open(tmp_path, reserve_bytes=0)
    assert (again.recoveries, sequence(again)) == ((), [1, 2, 3])
    again.close()


def test_a_writer_that_stopped_says_why(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Journal(LmdbLog.open(tmp_path, reserve_bytes=0)) as journal:
            assert await journal.append("jobs", [EVENT]) == 1
            break_files(tmp_path, "/dev/null")
            with pytest.raises(Unavailable, match=r"stopped: .*Invalid argument"):
                await journal.append("jobs", [EVENT])
            assert not journal.writable
            assert "Invalid argument" in str(journal.error)
            assert [event.seq for event in await journal.read()] == [1]

    asyncio.run(scenario())


def test_a_journal_goes_on_when_there_is_space_and_keeps_lazy_records(disk: Disk) -> None:
    async def scenario() -> None:
        log = LmdbLog.open(disk.place, reserve_bytes=0)
        count = fill(log)
        async with Journal(log) as journal:
            journal.append_lazy("commands", [EVENT])
            with pytest.raises(OutOfSpace):
                await journal.append("jobs", [EVENT])
            assert not journal.writable
            assert len(await journal.read(limit=count + 9)) == count
            disk.free()
            position = await journal.append("jobs", [EVENT])
            assert journal.writable
            assert position == count + 2
            found = await journal.read(count)
            assert [event.stream for event in found] == ["commands", "jobs"]

    asyncio.run(scenario())
