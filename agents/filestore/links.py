"""Where links lead, and whose links may lead out of a root: those of the owner of this machine, on its own disks."""

import errno
import os
import posixpath
import stat
from collections.abc import Set
from typing import NamedTuple

MAX_LINKS = 40  # on one way, as in the kernel
ROOT_USER = 0


class Trust(NamedTuple):
    """Whose links are followed, and on which disks: those on a stick somebody else may have made."""

    owners: Set[int]
    devices: Set[int]

    def covers(self, link: os.stat_result) -> bool:
        """Whether a link may lead anywhere."""
        return link.st_uid in self.owners and link.st_dev in self.devices


class Target(NamedTuple):
    """What a path really names: without links, and whether all links on the way were trusted."""

    path: str
    trusted: bool
    mode: int


def trust_in(folder: int) -> Trust:
    """Trust in the links of our own user and of root, on the disk of a root's folder and that of the system."""
    devices = {os.fstat(folder).st_dev, os.lstat("/").st_dev}
    return Trust({os.geteuid(), ROOT_USER}, devices)


def follow(start: str, path: str, trust: Trust) -> Target:
    """Follows a path from a folder that is no link; raises OSError, with ELOOP for too many links. Blocks."""
    at, links, trusted = start, 0, True
    waiting = path.split("/")[::-1]
    while waiting:
        part = waiting.pop()
        if part in ("", "."):
            continue
        if part == "..":
            at = posixpath.dirname(at)
            continue
        found, target = _look(posixpath.join(at, part))
        if target is None:
            at = posixpath.join(at, part)
            continue
        links += 1
        trusted = trusted and trust.covers(found)
        if links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        at = "/" if target.startswith("/") else at
        waiting += target.split("/")[::-1]
    return Target(at, trusted, os.lstat(at).st_mode)


def _look(path: str) -> tuple[os.stat_result, str | None]:
    """What is at a path and, of a link, what is in it: both of the same link, whatever is swapped meanwhile."""
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        return found, os.readlink("", dir_fd=handle) if stat.S_ISLNK(found.st_mode) else None
    finally:
        os.close(handle)
