"""Writes files into a folder that is held open, so that no name leads out of it, and none is ever half written."""

import contextlib
import os
from collections.abc import Iterator
from typing import BinaryIO

PART = ".part"  # what a file is called until it is whole
FOLDER_MODE, FILE_MODE = 0o755, 0o644


def is_plain(name: str) -> bool:
    """Whether a name is one component of a path."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


@contextlib.contextmanager
def new_file(folder: int, name: str, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file that did not exist before, and does not afterwards where it could not be written; raises OSError."""
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, FILE_MODE, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(descriptor)
    except BaseException:
        remove(folder, name)
        raise


@contextlib.contextmanager
def whole_file(folder: int, name: str, *, durable: bool = False) -> Iterator[BinaryIO]:
    """A new file that appears under its name when all is written, in place of one that was there; raises OSError."""
    part = name + PART
    remove(folder, part)
    with new_file(folder, part, durable=durable) as file:
        yield file
    try:
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        remove(folder, part)
        raise


def make(folder: int, name: str) -> None:
    """Makes a folder inside another, if nothing of that name is there; raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, FOLDER_MODE, dir_fd=folder)


@contextlib.contextmanager
def subfolder(folder: int, name: str) -> Iterator[int]:
    """An open folder inside another; raises OSError where there is none, or the name is a link or a file."""
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove(folder: int, name: str) -> None:
    """Removes a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def discard(folder: int, name: str) -> None:
    """Removes a file, finished or not."""
    remove(folder, name)
    remove(folder, name + PART)
