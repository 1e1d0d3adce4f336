"""The log's directory: what a file system must offer, who may write, and files that survive a power cut."""

import errno
import fcntl
import hashlib
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .errors import Unavailable

MOUNTS = Path("/proc/self/mountinfo")
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PLENTY: Final = 8
"""The reserve is taken when this many times its size is free."""
_VOLATILE: Final = frozenset({"overlay", "tmpfs", "ramfs", "aufs"})
_REMOTE: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "coda", "gfs2", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2"}
    | {"smb3", "smbfs", "virtiofs"}
)


def segment_path(directory: Path, first: int) -> Path:
    """The file of the segment that begins with this sequence number."""
    return directory / f"seg-{first:020d}.mdb"


def segment_paths(directory: Path) -> list[tuple[int, Path]]:
    """The segments of a log in order, each with its first sequence number."""
    return sorted((int(path.stem[4:]), path) for path in directory.glob("seg-" + "[0-9]" * 20 + ".mdb"))


def index_path(segment: Path) -> Path:
    """Where the index of a segment is."""
    return segment.with_suffix(".idx")


def remove_segment(path: Path) -> None:
    """Remove a segment with its lock and index files; the segment itself goes last."""
    for name in (index_path(path), path.with_name(path.name + "-lock"), path):
        name.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_directory(directory: Path) -> None:
    """Make created, renamed and removed names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(directory: Path) -> None:
    """Make a directory with its parents, so that a power cut does not take it away with what it will hold."""
    if directory.is_dir():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    sync_directory(directory.parent)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file: afterwards, and after a power cut, it is the old or the new one."""
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_directory(path.parent)


def filesystem_of(path: Path, mounts: Path = MOUNTS) -> str:
    """The type of the file system a path is on, as the kernel names it; empty when it cannot be told."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    wanted, best, found = path.resolve(), -1, ""
    for fields in (line.split() for line in lines):
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        if wanted.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), fields[fields.index("-") + 1]
    return found


def judge_filesystem(directory: Path, mounts: Path = MOUNTS) -> str | None:
    """A warning where data will not last; Unavailable where a memory map or a lock cannot be trusted."""
    kind = filesystem_of(directory, mounts)
    if kind in _REMOTE or kind.startswith("fuse"):
        raise Unavailable(f"the event log cannot be kept in {directory}: {kind} is a network or FUSE file system")
    if kind in _VOLATILE:
        return f"the event log in {directory} is on {kind}: it is lost when the machine or container is"
    return None


def writer_of(directory: Path) -> int | None:
    """The process that writes a log; None where there is none."""
    try:
        with (directory / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        return int((directory / "lock").read_text())
    return None


class WriterLock:
    """Held by the one process that writes a log; the kernel lets go of it however the process ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._handle, 20, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise Unavailable(f"the event log in {directory} is being written by process {holder}") from error
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let another process write; may be called again."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


class Reserve:
    """Disk space kept back for the log: given up when the disk is full, taken again when there is plenty."""

    def __init__(self, directory: Path, size: int) -> None:
        self._path = directory / "reserve"
        self._size = size

    def take(self) -> None:
        """Keep the space back, unless it would be missed elsewhere."""
        try:
            status = os.statvfs(self._path.parent)
            if self._size and status.f_bavail * status.f_frsize >= _PLENTY * self._size:
                with self._path.open("ab") as file:
                    os.posix_fallocate(file.fileno(), 0, self._size)
        except OSError:
            self.give_up()

    def give_up(self) -> bool:
        """Free the space; False when there was none."""
        try:
            size = self._path.stat().st_size
            self._path.unlink()
        except OSError:
            return False
        return size > 0


def is_full(directory: Path, offset: int, size: int) -> bool:
    """Whether `size` more bytes cannot be written behind `offset`: disk, quota or file size limit.

    LMDB reports a write that the kernel cut short as an I/O error, so the code alone does not tell.
    """
    probe = directory / "probe.tmp"
    try:
        with probe.open("wb", buffering=0) as file:
            return os.pwrite(file.fileno(), bytes(size), offset) < size
    except OSError as error:
        return error.errno in FULL
    finally:
        probe.unlink(missing_ok=True)
