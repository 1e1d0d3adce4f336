"""Packs files of the roots into an archive, under a temporary name until it is complete."""

import os
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime

from bus.errors import InvalidParams, TooLarge

from .beneath import FOLDER, open_beneath
from .changes import is_folder, require_no_link, require_room, status, temporary_name
from .roots import Location, Roots, explained

PIECE_BYTES = 1 << 20
MAX_FILES = 10_000
MAX_BYTES = 4 << 30
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip archive can name


class Archive:
    """A finished archive that has no name yet; its methods block."""

    def __init__(self, folder: int, name: str, target: str) -> None:
        self._folder = folder
        self.name = name
        self._target = target

    def place(self) -> None:
        """Gives it its name, in place of an older file."""
        with explained():
            there = status(self._folder, self._target)
            require_no_link(there)
            if is_folder(there):
                raise InvalidParams(f"'{self._target}' is a folder")
            os.rename(self.name, self._target, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            os.fsync(self._folder)

    def close(self) -> None:
        """Lets go; without a name it is deleted."""
        with suppress(OSError):
            os.unlink(self.name, dir_fd=self._folder)
        os.close(self._folder)


def pack(roots: Roots, target: Location, items: Sequence[Location], *, compress: bool) -> Archive:
    """Packs files, and the files directly in folders; raises InvalidParams, TooLarge and OutOfSpace."""
    found = dict(file for item in items for file in _files(roots, item))
    total = sum(found.values())
    if len(found) > MAX_FILES or total > MAX_BYTES:
        raise TooLarge(f"An archive holds at most {MAX_FILES} files and {MAX_BYTES >> 30} GiB")
    with explained(InvalidParams, "The folder of the archive"):
        folder = open_beneath(target.root.handle, target.parent.path)
    made = Archive(folder, temporary_name(), target.name)
    try:
        require_room(folder, total)
        _write(roots, folder, made.name, found, compress)
    except BaseException:
        made.close()
        raise
    return made


def _write(roots: Roots, folder: int, name: str, found: Iterable[Location], compress: bool) -> None:
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with explained():
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
        with os.fdopen(handle, "w+b") as file:
            with zipfile.ZipFile(file, "w", method, strict_timestamps=False) as archive:
                for location in found:
                    _add(archive, roots, location)
            file.flush()
            os.fsync(handle)


def _add(archive: zipfile.ZipFile, roots: Roots, location: Location) -> None:
    with os.fdopen(roots.open_file(location), "rb") as source:
        status = os.fstat(source.fileno())
        # Built by hand: the library's own way from a file to an entry goes through a path.
        info = zipfile.ZipInfo(f"{location.root.name}/{location.path}", _date(status.st_mtime))
        info.compress_type, info.external_attr = archive.compression, (status.st_mode & 0o777 | stat.S_IFREG) << 16
        info.file_size = status.st_size
        with archive.open(info, "w", force_zip64=status.st_size >= zipfile.ZIP64_LIMIT) as packed:
            while piece := source.read(PIECE_BYTES):
                packed.write(piece)


def _date(seconds: float) -> tuple[int, int, int, int, int, int]:
    found = datetime.fromtimestamp(seconds)
    return max((found.year, found.month, found.day, found.hour, found.minute, found.second), EARLIEST)


def _files(roots: Roots, item: Location) -> Iterator[tuple[Location, int]]:
    with explained(InvalidParams, f"'{item.root.name}/{item.path}'"):
        handle = roots.open(item, FOLDER & ~os.O_DIRECTORY | os.O_NONBLOCK)
    try:
        found = os.fstat(handle)
        if not stat.S_ISDIR(found.st_mode):
            yield item, found.st_size
            return
        with closing(os.scandir(handle)) as inside:
            for each in sorted(inside, key=lambda entry: entry.name):
                inside_it = item.child(each.name)
                if each.is_file(follow_symlinks=False) and roots.permissions(inside_it):
                    yield inside_it, each.stat(follow_symlinks=False).st_size
    finally:
        os.close(handle)
