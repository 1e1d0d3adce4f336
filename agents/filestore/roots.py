"""The roots of the file manager: what a path in a request means, what may be done there, and how it is opened."""

import errno
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bus.errors import (
    BusError,
    Forbidden,
    HostError,
    InvalidParams,
    MethodNotAllowed,
    NotFound,
    OutOfSpace,
    Refused,
)
from schemas.files import Permissions

from .beneath import FOLDER, READ, open_beneath
from .links import Target, follow, trust_in

MAX_NAME, MAX_PATH, MAX_DEPTH = 255, 4095, 64  # bytes, bytes, folders
TEMPORARY = ".printbus-"  # what names of files begin with that are not finished
PART = f"{TEMPORARY}part-"  # and of those that may be finished in a later run
GIT = ".git"
SYSTEM = ("/dev", "/proc", "/sys")  # what looks like files there does something when it is opened
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV, errno.ELOOP)
MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
IN_USE = (errno.EBUSY, errno.ETXTBSY, errno.ENOTEMPTY)
UNNAMABLE = (errno.EINVAL, errno.EILSEQ)  # what disks of other systems say of names that those do not know


@dataclass(frozen=True, slots=True)
class Root:
    """One root: `path` is where it really is, `handle` a descriptor of it."""

    name: str
    path: str
    writable: bool
    handle: int


@dataclass(frozen=True, slots=True)
class Location:
    """A file or folder in a root, whether it exists or not; the root itself has an empty path."""

    root: Root
    path: str = ""

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> "Location":
        """The folder that it is in."""
        return Location(self.root, self.path.rpartition("/")[0])

    def child(self, name: str) -> "Location":
        """What is in it under a name."""
        return Location(self.root, f"{self.path}/{name}" if self.path else name)

    @property
    def hidden(self) -> bool:
        """Whether it is, or is in, something whose name begins with a dot."""
        return self.path.startswith(".") or "/." in self.path

    def holds(self, other: "Location") -> bool:
        """Whether it is the other, or a folder that the other is in."""
        same = self.root.name == other.root.name
        return same and (not self.path or f"{other.path}/".startswith(f"{self.path}/"))

    @property
    def absolute(self) -> str:
        """Where it is on this machine, if nothing on the way is a link."""
        return posixpath.join(self.root.path, self.path) if self.path else self.root.path


@dataclass(frozen=True, slots=True)
class Reserved:
    """A folder or file that no root gives write access to, or none at all."""

    path: str
    readable: bool = False


@contextmanager
def explained(missing: type[BusError] = NotFound, what: str = "File") -> Iterator[None]:
    """Turns errors of the system into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in MISSING:
            raise missing(f"{what} does not exist") from None
        if error.errno in FULL:
            raise OutOfSpace("No space left on the disk") from None
        if error.errno in REFUSED:
            raise Forbidden("Not permitted here") from None
        if error.errno in IN_USE:
            raise Refused(f"{what} is in use, or somebody has put something there") from None
        if error.errno in UNNAMABLE:
            raise InvalidParams("The disk takes no such name") from None
        raise HostError(f"The disk has failed: {error.strerror}") from None


def parts_of(text: str) -> list[str]:
    """The names in a path; InvalidParams where it could not be one, or leaves the folder that it begins in."""
    if "\0" in text:
        raise InvalidParams("A path contains no NUL")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        raise InvalidParams("A path is valid Unicode") from None
    plain = posixpath.normpath(text.strip("/") or ".")
    parts = [] if plain == "." else plain.split("/")
    if parts[:1] == [".."]:
        raise InvalidParams("The path leaves its root")
    if len(encoded) > MAX_PATH or len(parts) > MAX_DEPTH or any(len(os.fsencode(part)) > MAX_NAME for part in parts):
        raise InvalidParams("The path is too long")
    return parts


class Roots:
    """All roots; `reserved` and what `links` may lead to are absolute paths.

    Without `links`, those that the owner of this machine has made may lead anywhere, for reading.
    """

    def __init__(self, reserved: Sequence[Reserved] = (), links: Sequence[str] | None = None) -> None:
        self._roots: dict[str, Root] = {}
        self._reserved = [Reserved(os.path.realpath(each.path), each.readable) for each in reserved]
        self._links = None if links is None else [os.path.realpath(link) for link in links]

    def __iter__(self) -> Iterator[Root]:
        return iter(self._roots.values())

    def add(self, name: str, path: Path, *, writable: bool) -> Root:
        """Opens a root, in place of one with the same name; raises OSError."""
        handle = os.open(path, FOLDER & ~os.O_NOFOLLOW)
        self.remove(name)
        root = self._roots[name] = Root(name, os.path.realpath(path), writable, handle)
        return root

    def remove(self, name: str) -> None:
        """Forgets a root, where it is known."""
        known = self._roots.pop(name, None)
        if known is not None:
            os.close(known.handle)

    def close(self) -> None:
        """Forgets all."""
        for name in list(self._roots):
            self.remove(name)

    def root(self, name: str) -> Root:
        """A root by its name; raises InvalidParams."""
        try:
            return self._roots[name]
        except KeyError:
            raise InvalidParams(f"Invalid root path ({name[:MAX_NAME]})") from None

    def locate(self, text: str) -> Location:
        """What `root/path` names; raises InvalidParams, and Forbidden for what is nobody's business."""
        name, _, path = text.lstrip("/").partition("/")
        return self._allowed(Location(self.root(name), "/".join(parts_of(path))))

    def within(self, name: str, *texts: str) -> Location:
        """What paths, one in the other, name in a root; raises InvalidParams and Forbidden."""
        root = self.root(name)
        parts = [part for text in texts for part in parts_of(text)]
        return self._allowed(Location(root, "/".join(parts_of("/".join(parts)))))

    def _allowed(self, location: Location) -> Location:
        if self.permissions(location) == "":
            raise Forbidden("This path is reserved")
        return location

    def writable(self, location: Location, refusal: type[BusError] = MethodNotAllowed) -> Location:
        """The same location; raises Forbidden, or the refusal where the whole root is read-only."""
        if not location.root.writable:
            raise refusal(f"The root '{location.root.name}' is read-only")
        if self.permissions(location) != "rw":
            raise Forbidden("This path cannot be changed")
        return location

    def permissions(self, location: Location, *, link: bool = False) -> Permissions:
        """What may be done there; what is a link can only be read."""
        parts = location.path.casefold().split("/")
        if GIT in parts or any(part.startswith(TEMPORARY) for part in parts):
            return ""
        found = self._reservation(location.absolute)
        if found is not None:
            return "r" if found.readable else ""
        return "rw" if location.root.writable and not link else "r"

    def require_unreserved(self, path: str) -> None:
        """Raises Forbidden for a folder, by its real path, that something reserved is in."""
        if any(is_in(each.path, path) for each in self._reserved):
            raise Forbidden("Something in this folder is reserved")

    def _reservation(self, path: str) -> Reserved | None:
        found = [each for each in self._reserved if is_in(path, each.path)]
        return min(found, key=lambda each: each.readable, default=None)

    # -- opening; these block

    def open(self, location: Location, flags: int = FOLDER) -> int:
        """A descriptor; links lead into roots, and further as is configured. Raises OSError and Forbidden."""
        try:
            return open_beneath(location.root.handle, location.path, flags)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        return self._open_linked(follow(location.root.path, location.path, trust_in(location.root.handle)), flags)

    def open_file(self, location: Location) -> int:
        """A descriptor for reading of a regular file; raises NotFound and Forbidden."""
        with explained():
            found = self.open(location, READ)
        if stat.S_ISREG(os.fstat(found).st_mode):
            return found
        os.close(found)
        raise Forbidden("This is not a file")

    def is_linked(self, location: Location) -> bool:
        """Whether it is a link, or behind one."""
        try:
            os.close(open_beneath(location.root.handle, location.path, READ))
        except OSError as error:
            return error.errno == errno.ELOOP
        return False

    def is_elsewhere(self, handle: int) -> bool:
        """Whether an open folder is outside of all roots, and none of them in it."""
        real = real_path(handle)
        return not any(is_in(real, root.path) or is_in(root.path, real) for root in self)

    def _open_linked(self, target: Target, flags: int) -> int:
        """Opens what a link has led to; nothing on that way may be a link any more."""
        real = target.path
        reservation = self._reservation(real)
        if GIT in real.casefold().split("/") or (reservation is not None and not reservation.readable):
            raise Forbidden("This path is reserved")
        for root in self:
            if is_in(real, root.path):
                return open_beneath(root.handle, real[len(root.path) :].strip("/"), flags)
        plain = stat.S_ISREG(target.mode) or stat.S_ISDIR(target.mode)
        if not plain or any(is_in(real, folder) for folder in SYSTEM):
            raise Forbidden("This link leads to something of the system's")
        for place in self._ways_out(target):
            if is_in(real, place):
                with suppress(FileNotFoundError), _folder(place) as handle:
                    return open_beneath(handle, real[len(place) :].strip("/"), flags)
        raise Forbidden("This link leads out of its root")

    def _ways_out(self, target: Target) -> Sequence[str]:
        """Folders that a link may lead into."""
        if self._links is not None:
            return self._links
        return ("/",) if target.trusted else ()


@contextmanager
def _folder(path: str) -> Iterator[int]:
    handle = os.open(path, FOLDER)
    try:
        yield handle
    finally:
        os.close(handle)


def real_path(handle: int) -> str:
    """Where something that is open really is."""
    return str(Path(f"/proc/self/fd/{handle}").readlink())


def is_in(path: str, folder: str) -> bool:
    """Whether an absolute path is a folder's, or that of something in it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
