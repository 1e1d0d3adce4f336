"""Opens what lies beneath a folder and nothing else: openat2 where the kernel has it, else component by component."""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

OPENAT2 = 437  # the number of the system call, on every architecture
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08
STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO would block
ABSENT = (errno.ENOSYS, errno.EPERM)  # an old kernel, or a container that does not let it through

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(folder: int, path: str, flags: int = FOLDER) -> int:
    """A descriptor of what a relative path names; OSError with ELOOP where any part of it is a link."""
    return _openat2(folder, path or ".", flags) if KERNEL else _walk(folder, path, flags)


def _openat2(folder: int, path: str, flags: int) -> int:
    how = _How(flags & ~os.O_NOFOLLOW, 0, STRICT)  # with it, a link to a folder were "not a directory"
    found: int = _libc.syscall(OPENAT2, folder, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return found


def _walk(folder: int, path: str, flags: int) -> int:
    """The same without the kernel's help; a component that is swapped for a link meanwhile is not followed either."""
    *parents, name = path.split("/")
    at = os.dup(folder)
    try:
        for part in parents:
            at = _into(at, part)
        return _step(at, name or ".", flags)
    finally:
        os.close(at)


def _into(at: int, part: str) -> int:
    """The folder in a folder, which is closed."""
    found = _step(at, part, FOLDER)
    os.close(at)
    return found


def _step(at: int, name: str, flags: int) -> int:
    if name == ".." or "/" in name:
        raise OSError(errno.EXDEV, "leaves its folder", name)
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=at)
    except NotADirectoryError:  # what O_DIRECTORY says of a link
        if stat.S_ISLNK(os.lstat(name, dir_fd=at).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from None
        raise


def _supported() -> bool:
    try:
        here = os.open("/", FOLDER)
        try:
            os.close(_openat2(here, ".", FOLDER))
        finally:
            os.close(here)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return False
    return True


KERNEL = _supported()


@contextmanager
def opened(folder: int, path: str, flags: int = FOLDER) -> Iterator[int]:
    """`open_beneath` for the length of a block."""
    found = open_beneath(folder, path, flags)
    try:
        yield found
    finally:
        os.close(found)


def make_folders(folder: int, path: str) -> None:
    """Makes a path of folders, where they are missing; what exists must be a folder and no link."""
    done: list[str] = []
    for part in path.split("/") if path else ():
        with opened(folder, "/".join(done)) as parent, suppress(FileExistsError):
            os.mkdir(part, dir_fd=parent)
            os.fsync(parent)
        done.append(part)
    with opened(folder, path):
        return


def start_writing(file: int, start: int, length: int) -> None:
    """Lets the kernel begin to write a part of a file to the disk, so that a later fsync has less to wait for."""
    flush = getattr(_libc, "sync_file_range", None)
    if flush is not None:
        flush(file, ctypes.c_int64(start), ctypes.c_int64(length), ctypes.c_uint(2))
