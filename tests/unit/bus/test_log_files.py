"""The log's directory: one writer, durable replacement, and which file systems will do."""

import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from bus.errors import Unavailable
from bus.lmdb_log import LmdbLog
from bus.log import NewEvent
from bus.log_checkpoint import whole_stream
from bus.log_files import (
    Reserve,
    WriterLock,
    file_digest,
    filesystem_of,
    judge_filesystem,
    segment_path,
    segment_paths,
    write_durably,
)

ROOT = Path(__file__).parents[3]
MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:20 / /mnt/share rw - nfs4 server:/x rw
24 22 0:21 / /mnt/stick rw shared:5 master:2 - fuseblk /dev/sdb1 rw
25 22 0:22 / /mnt/with\\040space rw - fuse.sshfs me@there:/ rw
26 22 0:23 / /run/user rw - tmpfs tmpfs rw
27 22 0:24 / /layered rw - overlay overlay rw
28 27 254:1 / /layered/data rw - btrfs /dev/vdb rw
29 22 0:25 / /mnt/over rw - tmpfs tmpfs rw
30 29 254:2 / /mnt/over rw - xfs /dev/vdc rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    return table


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/home/pi/printer_data", "ext4"),
        ("/mnt/share/log", "nfs4"),
        ("/mnt/shared/log", "ext4"),
        ("/mnt/with space", "fuse.sshfs"),
        ("/layered/data/log", "btrfs"),
        ("/layered/log", "overlay"),
        ("/mnt/over/log", "xfs"),
    ],
)
def test_the_innermost_and_last_mount_counts(place: str, kind: str, mounts: Path) -> None:
    assert filesystem_of(Path(place), mounts) == kind


@pytest.mark.parametrize("place", ["/mnt/share", "/mnt/stick/log", "/mnt/with space/a/b"])
def test_network_and_fuse_file_systems_are_refused(place: str, mounts: Path) -> None:
    with pytest.raises(Unavailable, match="network or FUSE"):
        judge_filesystem(Path(place), mounts)


@pytest.mark.parametrize("place", ["/run/user/1000", "/layered/log"])
def test_file_systems_that_do_not_last_get_a_warning(place: str, mounts: Path) -> None:
    assert "lost" in (judge_filesystem(Path(place), mounts) or "")


def test_ordinary_and_unknown_file_systems_are_fine(mounts: Path) -> None:
    assert judge_filesystem(Path("/home"), mounts) is None
    assert judge_filesystem(Path("/home"), mounts.with_name("missing")) is None


def test_a_file_is_replaced_and_leaves_nothing_beside(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_durably(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_segments_are_listed_in_order_and_nothing_else_is(tmp_path: Path) -> None:
    for first in (4_000_000_000, 1, 77):
        segment_path(tmp_path, first).touch()
    for name in ("seg-1.mdb", "seg-00000000000000000009.mdb-lock", "seg-00000000000000000009.idx", "lock"):
        (tmp_path / name).touch()
    assert [first for first, _ in segment_paths(tmp_path)] == [1, 77, 4_000_000_000]


def test_a_second_writer_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    hold = "import sys; from pathlib import Path; from bus.log_files import WriterLock\n"
    hold += "with WriterLock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable, match=f"written by process {holder.pid}"):
            LmdbLog.open(tmp_path)
        holder.kill()
    with WriterLock(tmp_path):
        pass
    LmdbLog.open(tmp_path).close()


def test_one_process_cannot_open_a_log_twice(tmp_path: Path) -> None:
    log = LmdbLog.open(tmp_path)
    with pytest.raises(Unavailable, match="being written"):
        LmdbLog.open(tmp_path)
    log.close()
    LmdbLog.open(tmp_path).close()


def test_a_reserve_is_given_up_once(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, 4096)
    assert not reserve.give_up()
    reserve.take()
    assert (tmp_path / "reserve").stat().st_size == 4096
    assert reserve.give_up()
    assert not reserve.give_up()


def test_a_reserve_is_not_taken_where_space_is_scarce(tmp_path: Path) -> None:
    Reserve(tmp_path, 1 << 50).take()
    assert not (tmp_path / "reserve").exists()


def test_a_segment_that_is_being_sealed_can_be_read_whatever_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(path: Path) -> str:
        assert go_on.wait(30)
        return file_digest(path)

    log = LmdbLog.open(tmp_path, segment_bytes=64 << 10, reserve_bytes=0)
    try:
        while len(log.boundaries()) < 4:
            log.append("jobs", [NewEvent("job.queued.1", {"text": "x" * 1000})], append_id=uuid4())
        monkeypatch.setattr("bus.lmdb_log.file_digest", slow)
        threading.Timer(1.0, go_on.set).start()
        while len(log.boundaries()) < 5:
            log.append("jobs", [NewEvent("job.queued.1", {"text": "x" * 1000})], append_id=uuid4())
        for _ in range(2):  # older segments push each other out
            assert [event.seq for event in whole_stream(log.read)] == list(range(1, log.head() + 1))
    finally:
        go_on.set()
        log.close()
