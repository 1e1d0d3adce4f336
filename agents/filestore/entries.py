"""What is on the disk as the index has it: files and folders, and how they are looked up."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field

from bus.errors import BusError
from schemas.files import Permissions

from .beneath import READ
from .roots import GIT, MAX_DEPTH, TEMPORARY, Location, Roots


@dataclass(slots=True)
class File:
    """A regular file, or a link to one; `stamp` tells one content from the next."""

    size: int
    modified: float
    permissions: Permissions
    stamp: tuple[int, int, int]  # inode, size, time in nanoseconds


@dataclass(slots=True)
class Folder:
    """A folder; one behind a link is not looked into."""

    size: int
    modified: float
    permissions: Permissions
    inode: int
    link: bool = False
    files: dict[str, File] = field(default_factory=dict)
    folders: dict[str, "Folder"] = field(default_factory=dict)


Entry = File | Folder


def look(roots: Roots, location: Location) -> Entry | None:
    """What is there now, a folder with everything in it; None where nothing is that could be shown. Blocks."""
    with suppress(OSError):
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
            _fill(roots, location, folder, handle, deep=False)
            return _read_only(folder) if link else folder
        finally:
            os.close(handle)
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
    stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
    return File(found.st_size, found.st_mtime, roots.permissions(location, link=link), stamp)


def _plain(roots: Roots, location: Location, found: os.stat_result, *, link: bool = False) -> Folder:
    return Folder(found.st_size, found.st_mtime, roots.permissions(location, link=link), found.st_ino, link)


def _linked(roots: Roots, location: Location, link: os.stat_result) -> Entry | None:
    """What a link leads to; where it may not lead, a file that cannot be opened."""
    try:
        handle = roots.open(location, READ)
    except (OSError, BusError):
        return File(0, link.st_mtime, "", (link.st_ino, 0, link.st_mtime_ns))
    try:
        found = os.fstat(handle)
    finally:
        os.close(handle)
    if stat.S_ISDIR(found.st_mode):
        return _plain(roots, location, found, link=True)
    return file_of(roots, location, found, link=True) if stat.S_ISREG(found.st_mode) else None


def _folder(roots: Roots, location: Location, found: os.stat_result) -> Folder:
    folder = _plain(roots, location, found)
    if location.path.count("/") < MAX_DEPTH and location.name != GIT:
        handle = roots.open(location)
        try:
            _fill(roots, location, folder, handle, deep=True)
        finally:
            os.close(handle)
    return folder


def _fill(roots: Roots, location: Location, folder: Folder, handle: int, *, deep: bool) -> None:
    with os.scandir(handle) as found:
        for each in found:
            if not is_shown(each.name):
                continue
            with suppress(OSError):  # it has gone meanwhile
                at, status = location.child(each.name), each.stat(follow_symlinks=False)
                shallow = not deep and stat.S_ISDIR(status.st_mode)
                entry = _plain(roots, at, status) if shallow else _entry(roots, at, status)
                if isinstance(entry, File):
                    folder.files[each.name] = entry
                elif entry is not None:
                    folder.folders[each.name] = entry
