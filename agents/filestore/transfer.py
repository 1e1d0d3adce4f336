"""Contents on their way to and from the disk, whatever carries them; these methods block, one at a time."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable

from bus.errors import Conflict, InvalidParams, OutOfSpace, TooLarge, Unprocessable

from .beneath import make_folders, open_beneath, start_writing
from .changes import copy_into, require_room, status, temporary_name
from .roots import FULL, PART, Location, Roots, explained

FLUSH_BYTES = 8 << 20  # written between two hints to the kernel, and two looks at the free space
HASH_BYTES = 1 << 20  # read at a time
OLD_FILE = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
FILE_MODE = 0o644


class Digest:
    """The SHA-256 of a file from its beginning, as far as it has been seen."""

    def __init__(self) -> None:
        self._seen = hashlib.sha256()
        self._at = 0

    def add(self, start: int, part: bytes | memoryview) -> None:
        """Takes bytes on their way; those that are not the next ones are read later."""
        if start == self._at:
            self._seen.update(part)
            self._at += len(part)

    def of(self, file: int, size: int) -> str:
        """In hexadecimal digits, of the first bytes of a file; what is missing is read."""
        while self._at < size and (part := os.pread(file, min(HASH_BYTES, size - self._at), self._at)):
            self.add(self._at, part)
        return self._seen.hexdigest()


class Upload:
    """A file in the making, under a temporary name on the disk where it is going to be; it becomes one or is gone."""

    def __init__(self, near: Location, *, size: int | None, limit: int, key: str | None = None) -> None:
        """Begins next to `near`, or in its root where that folder is missing; raises TooLarge and OutOfSpace.

        With a key it goes on with what an earlier upload of that key has left there.
        """
        self._limit = limit
        self._require_small(size or 0)
        self._folder = _nearest(near)
        self._name = f"{PART}{key}" if key else temporary_name()
        self._digest = Digest()
        try:
            self.received = self._left_behind(size or 0) if key else 0
            self._flushed = self.received
            require_room(self._folder, (size or 0) - self.received)
            if not self.received:
                with explained():
                    self.file = os.open(self._name, NEW_FILE, FILE_MODE, dir_fd=self._folder)
        except BaseException:
            os.close(self._folder)
            raise

    def _left_behind(self, size: int) -> int:
        """Opens what is there of the file; how much that is. What cannot be a part of it is deleted."""
        with explained():
            try:
                self.file = os.open(self._name, OLD_FILE, dir_fd=self._folder)
            except FileNotFoundError:
                return 0
        found = os.fstat(self.file)
        if stat.S_ISREG(found.st_mode) and 0 < found.st_size <= size:
            os.lseek(self.file, 0, os.SEEK_END)
            return found.st_size
        os.close(self.file)
        os.unlink(self._name, dir_fd=self._folder)
        return 0

    def write(self, parts: Iterable[memoryview]) -> None:
        """Adds to the content; raises TooLarge and OutOfSpace."""
        for part in parts:
            self._require_small(self.received + len(part))
            self._write(part)
            self._digest.add(self.received, part)
            self.received += len(part)
            if self.received - self._flushed >= FLUSH_BYTES:
                start_writing(self.file, self._flushed, self.received - self._flushed)
                self._flushed = self.received
                require_room(self._folder, 0)

    def finish(self, checksum: str | None) -> None:
        """Makes the content durable; raises Unprocessable where it has another checksum."""
        if checksum and checksum.strip().lower() != self._digest.of(self.file, self.received):
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

    def leave(self) -> None:
        """Lets go of what an upload of the same key is going to continue; of what it has become instead, as `close`."""
        if not self._name.startswith(PART):
            return self.close()
        os.close(self.file)
        os.close(self._folder)
        return None

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
        self._changed = found.st_mtime_ns

    def read(self, start: int, length: int) -> bytes:
        """Bytes from an offset on; fewer where the file ends."""
        return os.pread(self.file, length, start)

    def checksum(self) -> str:
        """SHA-256 of the whole file; raises Conflict where it has been written to since it was opened."""
        found = Digest().of(self.file, self.size)
        now = os.fstat(self.file)
        if (now.st_size, now.st_mtime_ns) != (self.size, self._changed):
            raise Conflict("The file has changed meanwhile")
        return found

    def close(self) -> None:
        """Lets go."""
        os.close(self.file)
