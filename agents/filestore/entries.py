"""What is on the disk as the index has it: files and folders, and how they are looked up."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from bus.errors import BusError
from schemas.files import Permissions

from .beneath import READ, opened
from .roots import GIT, MAX_DEPTH, TEMPORARY, Location, Roots

MAX_BEHIND = 20_000  # files and folders behind one link


Stamp = tuple[int, int, int]
"""Inode, size, and time in nanoseconds."""


@dataclass(slots=True)
class File:
    """A regular file, or a link to one; `stamp` tells one content from the next."""

    size: int
    modified: float
    permissions: Permissions
    stamp: Stamp


@dataclass(slots=True)
class Folder:
    """A folder; `link`: it is one, or behind one, and what is in it can only be read."""

    size: int
    modified: float
    permissions: Permissions
    inode: int
    link: bool = False
    files: dict[str, File] = field(default_factory=dict)
    folders: dict[str, "Folder"] = field(default_factory=dict)


Entry = File | Folder
Look = Callable[[Location, os.stat_result], Entry | None]
"""Makes an entry of what is somewhere and its status; None for what is not shown."""


def look(roots: Roots, location: Location) -> Entry | None:
    """What is there now, a folder with everything in it; None where nothing is that could be shown. Blocks."""
    with suppress(OSError, BusError):
        if not location.path:
            return _folder(roots, location, os.fstat(location.root.handle))
        if is_shown(location.name):
            parent = roots.open(location.parent)
            try:
                return _entry(roots, location, os.lstat(location.name, dir_fd=parent))
            finally:
                os.close(parent)
    return None


def look_at_folder(roots: Roots, location: Location) -> Folder | None:
    """A folder with what is directly in it, also behind a link; None where there is none. Blocks."""
    with suppress(OSError):
        handle = roots.open(location)
        try:
            link = roots.is_linked(location)
            folder = _plain(roots, location, os.fstat(handle), link=link)
            _fill(location, folder, handle, partial(_shallow, roots))
            return _read_only(folder) if link else folder
        finally:
            os.close(handle)
    return None


def look_at_file(roots: Roots, location: Location) -> File | None:
    """A file as it is now; None where there is none. Blocks."""
    with suppress(OSError, BusError):
        parent = roots.open(location.parent)
        try:
            found = _shallow(roots, location, os.lstat(location.name, dir_fd=parent))
        finally:
            os.close(parent)
        return found if isinstance(found, File) and is_shown(location.name) else None
    return None


def _read_only(folder: Folder) -> Folder:
    """What is behind a link can be read at most."""
    entries: list[Entry] = [*folder.files.values(), *folder.folders.values()]
    for entry in entries:
        entry.permissions = "r" if entry.permissions else ""
    return folder


def is_shown(name: str) -> bool:
    """Whether a name is one of those that the index has: Unicode, and not of an unfinished file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return not name.startswith(TEMPORARY)


def _entry(roots: Roots, location: Location, found: os.stat_result) -> Entry | None:
    if stat.S_ISLNK(found.st_mode):
        return _linked(roots, location, found)
    if stat.S_ISDIR(found.st_mode):
        return _folder(roots, location, found)
    return file_of(roots, location, found) if stat.S_ISREG(found.st_mode) else None


def file_of(roots: Roots, location: Location, found: os.stat_result, *, link: bool = False) -> File:
    """The entry of a file with this status."""
    return File(found.st_size, found.st_mtime, roots.permissions(location, link=link), stamp_of(found))


def stamp_of(found: os.stat_result) -> Stamp:
    """The stamp of what has this status."""
    return found.st_ino, found.st_size, found.st_mtime_ns


def _plain(roots: Roots, location: Location, found: os.stat_result, *, link: bool = False) -> Folder:
    return Folder(found.st_size, found.st_mtime, roots.permissions(location, link=link), found.st_ino, link)


def _linked(roots: Roots, location: Location, link: os.stat_result, *, deep: bool = True) -> Entry | None:
    """What a link leads to; where it may not lead, a file that cannot be opened."""
    try:
        handle = roots.open(location, READ)
    except (OSError, BusError):
        return File(0, link.st_mtime, "", (link.st_ino, 0, link.st_mtime_ns))
    try:
        found = os.fstat(handle)
        if not stat.S_ISDIR(found.st_mode):
            return file_of(roots, location, found, link=True) if stat.S_ISREG(found.st_mode) else None
        folder = _plain(roots, location, found, link=True)
        if deep and roots.is_elsewhere(handle):
            room = iter(range(MAX_BEHIND))
            _fill(location, folder, handle, partial(_behind, roots, handle, room), room)
        return folder
    finally:
        os.close(handle)


def _behind(roots: Roots, parent: int, room: Iterator[int], at: Location, status: os.stat_result) -> Entry | None:
    """What is in an open folder behind a link; no further link is followed there."""
    if stat.S_ISLNK(status.st_mode):
        return _linked(roots, at, status, deep=False)
    if not stat.S_ISDIR(status.st_mode):
        return file_of(roots, at, status, link=True) if stat.S_ISREG(status.st_mode) else None
    folder = _plain(roots, at, status, link=True)
    if folder.permissions and at.path.count("/") < MAX_DEPTH:
        with opened(parent, at.name) as handle:
            _fill(at, folder, handle, partial(_behind, roots, handle, room), room)
    return folder


def _folder(roots: Roots, location: Location, found: os.stat_result) -> Folder:
    folder = _plain(roots, location, found)
    if location.path.count("/") < MAX_DEPTH and location.name != GIT:
        handle = roots.open(location)
        try:
            _fill(location, folder, handle, partial(_entry, roots))
        finally:
            os.close(handle)
    return folder


def _shallow(roots: Roots, at: Location, status: os.stat_result) -> Entry | None:
    if stat.S_ISLNK(status.st_mode):
        return _linked(roots, at, status, deep=False)
    return _plain(roots, at, status) if stat.S_ISDIR(status.st_mode) else _entry(roots, at, status)


def _fill(location: Location, folder: Folder, handle: int, look: Look, room: Iterator[int] | None = None) -> None:
    """Takes what is in an open folder; with `room`, as many things as that has items."""
    with os.scandir(handle) as found:
        for each in found:
            if not is_shown(each.name):
                continue
            if room is not None and next(room, None) is None:
                return
            with suppress(OSError):  # it has gone meanwhile
                entry = look(location.child(each.name), each.stat(follow_symlinks=False))
                if isinstance(entry, File):
                    folder.files[each.name] = entry
                elif entry is not None:
                    folder.folders[each.name] = entry
