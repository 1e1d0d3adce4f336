"""Contents on their way to and from the disk, whatever carries them; these methods block, one at a time."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable

from bus.errors import InvalidParams, OutOfSpace, TooLarge, Unprocessable

from .beneath import make_folders, open_beneath, start_writing
from .changes import copy_into, require_room, status, temporary_name
from .roots import FULL, Location, Roots, explained

FLUSH_BYTES = 8 << 20  # written between two hints to the kernel, and two looks at the free space
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
FILE_MODE = 0o644


class Upload:
    """A file in the making, under a temporary name on the disk where it is going to be; it becomes one or is gone."""

    def __init__(self, near: Location, *, size: int | None, limit: int) -> None:
        """Begins next to `near`, or in its root where that folder is missing; raises TooLarge and OutOfSpace."""
        self._limit = limit
        self._require_small(size or 0)
        self._folder = _nearest(near)
        self._name = temporary_name()
        self._digest = hashlib.sha256()
        self._flushed = 0
        self.received = 0
        try:
            require_room(self._folder, size or 0)
            with explained():
                self.file = os.open(self._name, NEW_FILE, FILE_MODE, dir_fd=self._folder)
        except BaseException:
            os.close(self._folder)
            raise

    def write(self, parts: Iterable[memoryview]) -> None:
        """Adds to the content; raises TooLarge and OutOfSpace."""
        for part in parts:
            self._require_small(self.received + len(part))
            self._write(part)
            self._digest.update(part)
            self.received += len(part)
            if self.received - self._flushed >= FLUSH_BYTES:
                start_writing(self.file, self._flushed, self.received - self._flushed)
                self._flushed = self.received
                require_room(self._folder, 0)

    def finish(self, checksum: str | None) -> None:
        """Makes the content durable; raises Unprocessable where it has another checksum."""
        if checksum and checksum.strip().lower() != self._digest.hexdigest():
            raise Unprocessable("The checksum does not fit the content")
        with explained():
            os.fsync(self.file)

    def place(self, target: Location) -> None:
        """Gives it its name, in place of an older file; raises InvalidParams for a folder of that name."""
        with explained(InvalidParams, "The folder"):
            folder = open_beneath(target.root.handle, target.parent.path)
        try:
            with explained():
                self._rename(folder, target.name)
                os.fsync(folder)
        finally:
            os.close(folder)

    def become(self, folder: int, name: str) -> None:
        """Takes another unfinished file, which is durable, as its content."""
        os.unlink(self._name, dir_fd=self._folder)
        os.close(self._folder)
        self._folder, self._name = os.dup(folder), name

    def close(self) -> None:
        """Lets go; what has no name by now is deleted."""
        os.close(self.file)
        try:
            os.unlink(self._name, dir_fd=self._folder)
        except FileNotFoundError:
            pass
        finally:
            os.close(self._folder)

    def _write(self, part: memoryview) -> None:
        try:
            while part:
                part = part[os.write(self.file, part) :]
        except OSError as error:
            if error.errno in FULL:
                raise OutOfSpace("No space left on the disk") from None
            if error.errno == errno.EFBIG:
                raise TooLarge("The disk takes no file of this size") from None
            raise

    def _rename(self, folder: int, name: str) -> None:
        try:
            os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=folder)
        except IsADirectoryError:
            raise InvalidParams(f"'{name}' is a folder") from None
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy_into(self._folder, self._name, folder, name)

    def _require_small(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(f"A file holds at most {self._limit >> 20} MiB; see max_upload_size")


def _nearest(near: Location) -> int:
    try:
        return open_beneath(near.root.handle, near.parent.path)
    except OSError:
        return os.dup(near.root.handle)


def prepare_folder(folder: Location, target: Location) -> None:
    """Makes a folder for an upload; what else is in the name of the file must exist. Raises InvalidParams."""
    with explained(InvalidParams, "The folder"):
        try:
            make_folders(folder.root.handle, folder.path)
        except NotADirectoryError:
            raise InvalidParams("A file has the name of the folder") from None
        parent = open_beneath(target.root.handle, target.parent.path)
        try:
            found = status(parent, target.name)
        finally:
            os.close(parent)
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise InvalidParams(f"'{target.name}' is not a file that could be replaced")


class Download:
    """An open file."""

    def __init__(self, roots: Roots, location: Location) -> None:
        """Raises NotFound and Forbidden."""
        self.file = roots.open_file(location)
        found = os.fstat(self.file)
        self.size, self.modified = found.st_size, found.st_mtime

    def read(self, start: int, length: int) -> bytes:
        """Bytes from an offset on; fewer where the file ends."""
        return os.pread(self.file, length, start)

    def close(self) -> None:
        """Lets go."""
        os.close(self.file)
