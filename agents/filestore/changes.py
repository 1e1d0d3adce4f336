"""What is done to files and folders on the disk: each is done whole or not at all, and durable when it is done."""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

from bus.errors import BusError, Forbidden, InvalidParams, OutOfSpace

from .beneath import READ, open_beneath, opened
from .entries import Entry, look
from .roots import MAX_DEPTH, PART, TEMPORARY, Location, Roots, explained, is_in, real_path

COPY_BYTES = 8 << 20  # at a time
RESERVE = 32 << 20  # bytes that stay free for the event log


@dataclass(frozen=True, slots=True)
class Seen:
    """What is at a location now, and what the folder around it has become: its size and time."""

    location: Location
    entry: Entry | None
    size: int = 0
    modified: float = 0.0


def observe(roots: Roots, location: Location) -> Seen:
    """Looks at a location. Like everything here it blocks."""
    entry = look(roots, location)
    with suppress(OSError, BusError):
        parent = roots.open(location.parent)
        try:
            found = os.fstat(parent)
        finally:
            os.close(parent)
        return Seen(location, entry, found.st_size, found.st_mtime)
    return Seen(location, entry)


@contextmanager
def around(roots: Roots, location: Location) -> Iterator[int]:
    """The folder that something is in, which is durable when the block ends; nothing on the way to it may be a link."""
    with explained(InvalidParams, "The folder"):
        parent = open_beneath(location.root.handle, location.parent.path)
        try:
            yield parent
            os.fsync(parent)
        finally:
            os.close(parent)


def temporary_name() -> str:
    """A name for something unfinished."""
    return f"{TEMPORARY}{token_hex(8)}"


def status(parent: int, name: str) -> os.stat_result | None:
    """Of what a folder has under a name, links not followed; None where there is nothing."""
    try:
        return os.lstat(name, dir_fd=parent)
    except FileNotFoundError:
        return None


def is_folder(found: os.stat_result | None) -> bool:
    """Whether that is a folder."""
    return found is not None and stat.S_ISDIR(found.st_mode)


def leads_to_folder(roots: Roots, location: Location, found: os.stat_result | None) -> bool:
    """Whether what has this status is a folder, or a link that is shown as one."""
    if found is None or not stat.S_ISLNK(found.st_mode):
        return is_folder(found)
    with suppress(OSError, BusError):
        os.close(roots.open(location))
        return True
    return False


def make_folder(roots: Roots, location: Location) -> None:
    """Makes one folder; raises InvalidParams where it exists, or has nowhere to be."""
    if not location.path:
        raise InvalidParams("The root exists already")
    with around(roots, location) as parent:
        try:
            os.mkdir(location.name, dir_fd=parent)
        except FileExistsError:
            raise InvalidParams(f"'{location.name}' exists already") from None


def delete_folder(roots: Roots, location: Location, *, force: bool) -> None:
    """Deletes a folder, with `force` also one that is not empty; of a link, the link."""
    if not location.path:
        raise InvalidParams("Cannot delete root directory")
    with around(roots, location) as parent:
        found = status(parent, location.name)
        if not leads_to_folder(roots, location, found):
            raise InvalidParams("This folder does not exist")
        if not is_folder(found):
            return os.unlink(location.name, dir_fd=parent)
        roots.require_unreserved(location.absolute)
        if force:
            return shutil.rmtree(location.name, dir_fd=parent)
        try:
            os.rmdir(location.name, dir_fd=parent)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise InvalidParams("The folder is not empty; 'force' deletes it all the same") from None
            raise


def delete_file(roots: Roots, location: Location) -> None:
    """Deletes a file; of a link, the link."""
    with around(roots, location) as parent:
        found = status(parent, location.name)
        if found is None or leads_to_folder(roots, location, found):
            raise InvalidParams("This file does not exist")
        os.unlink(location.name, dir_fd=parent)


def destination(roots: Roots, source: Location, dest: Location) -> Location:
    """Where something really goes: into a folder that exists, or under the new name; raises InvalidParams."""
    if not source.path:
        raise InvalidParams("A root stays where it is")
    into = not dest.path
    if not into:
        with around(roots, dest) as parent:
            into = is_folder(status(parent, dest.name))
    target = dest.child(source.name) if into else dest
    if source.holds(target):
        raise InvalidParams("The destination is the source, or in it")
    return target


def move(roots: Roots, source: Location, target: Location) -> bool:
    """Renames, or copies to another disk and deletes; whether it was shown as a folder."""
    with around(roots, source) as old, around(roots, target) as new:
        found = _require_copyable(status(old, source.name), source)
        folder = is_folder(found)
        _require_free(new, target, folder=folder)
        if folder:
            roots.require_unreserved(source.absolute)
        elif stat.S_ISLNK(found.st_mode):
            folder = leads_to_folder(roots, source, found)
            if source.parent != target.parent:
                _require_absolute(old, source.name)
        try:
            os.rename(source.name, target.name, src_dir_fd=old, dst_dir_fd=new)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy_into(old, source.name, new, target.name)
            _remove(old, source.name)
        return folder


def _require_absolute(parent: int, link: str) -> None:
    """Raises Forbidden for a link that would lead elsewhere from another folder: nobody makes links over an API."""
    if not os.readlink(link, dir_fd=parent).startswith("/"):
        raise Forbidden("A relative link stays in its folder")


def copy(roots: Roots, source: Location, target: Location) -> bool:
    """Copies to a temporary name and renames that, of a link what it leads to; whether it was a folder."""
    with around(roots, target) as new, _readable(roots, source) as handle:
        folder = is_folder(os.fstat(handle))
        _require_free(new, target, folder=folder)
        real = real_path(handle)
        roots.require_unreserved(real)
        if is_in(target.absolute, real):
            raise InvalidParams("The destination is the source, or in it")
        _copy_open(handle, new, target.name)
        return folder


@contextmanager
def _readable(roots: Roots, source: Location) -> Iterator[int]:
    """What is to be copied, open, wherever links on the way have led."""
    with explained(InvalidParams, f"'{source.root.name}/{source.path}'"):
        parent = roots.open(source.parent)
        try:
            _require_copyable(status(parent, source.name), source)
        finally:
            os.close(parent)
        handle = roots.open(source, READ)
    try:
        yield handle
    finally:
        os.close(handle)


def _require_copyable(found: os.stat_result | None, source: Location) -> os.stat_result:
    if found is None:
        raise InvalidParams(f"'{source.root.name}/{source.path}' does not exist")
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise Forbidden("This is neither a file nor a folder")
    return found


def _require_free(new: int, target: Location, *, folder: bool) -> None:
    """Raises where there is something that a file, or a folder, does not replace."""
    there = status(new, target.name)
    require_no_link(there)
    if is_folder(there) or (there is not None and folder):
        raise InvalidParams(f"'{target.root.name}/{target.path}' exists already")


def require_no_link(found: os.stat_result | None) -> None:
    """Raises Forbidden for a link: nothing takes its place."""
    if found is not None and stat.S_ISLNK(found.st_mode):
        raise Forbidden("A link is not replaced")


def copy_into(old: int, name: str, new: int, target: str) -> None:
    """Copies a file or folder of one folder into another one."""
    handle = os.open(name, READ, dir_fd=old)
    try:
        _copy_open(handle, new, target)
    finally:
        os.close(handle)


def _copy_open(handle: int, new: int, target: str) -> None:
    """What is open gets its name there when it is complete."""
    fresh = temporary_name()
    try:
        _copy(handle, new, fresh)
        os.rename(fresh, target, src_dir_fd=new, dst_dir_fd=new)
    except BaseException:
        _remove(new, fresh)
        raise


def _copy(handle: int, new: int, target: str, depth: int = 0) -> None:
    found = os.fstat(handle)
    if stat.S_ISDIR(found.st_mode):
        _copy_folder(handle, new, target, depth)
    elif stat.S_ISREG(found.st_mode):
        _copy_file(handle, found, new, target)
    else:
        raise Forbidden("This is neither a file nor a folder")


def _copy_folder(source: int, new: int, target: str, depth: int) -> None:
    """Files and folders; links and whatever else there may be are left out."""
    if depth > MAX_DEPTH:
        raise InvalidParams("The folders are nested too deeply")
    os.mkdir(target, dir_fd=new)
    with opened(new, target) as copied, os.scandir(source) as found:
        for each in found:
            plain = each.is_dir(follow_symlinks=False) or each.is_file(follow_symlinks=False)
            if plain and not each.name.startswith(TEMPORARY):
                with opened(source, each.name, READ) as handle:
                    _copy(handle, copied, each.name, depth + 1)
        os.fsync(copied)


def _copy_file(handle: int, found: os.stat_result, new: int, target: str) -> None:
    """The content, the time and the mode of a file, durable."""
    require_room(new, found.st_size)
    copied = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, found.st_mode & 0o777, dir_fd=new)
    try:
        while os.sendfile(copied, handle, None, COPY_BYTES):
            pass
        os.utime(copied, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.fsync(copied)
    finally:
        os.close(copied)


def require_room(folder: int, size: int) -> None:
    """Raises OutOfSpace where the disk of a folder has not so many bytes to spare."""
    disk = os.fstatvfs(folder)
    if disk.f_bavail * disk.f_frsize < size + RESERVE:
        raise OutOfSpace("There is not enough room on the disk")


def _remove(parent: int, name: str) -> None:
    found = status(parent, name)
    if found is None:
        return
    if is_folder(found):
        shutil.rmtree(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)


def remove_unfinished(roots: Roots, *, before: float, parts_only: bool = False) -> None:
    """Removes what an earlier run could not finish, of uploads that can be continued those not written since then."""
    prefix = PART if parts_only else TEMPORARY
    for root in roots:
        if not root.writable:
            continue
        for _, folders, files, handle in os.fwalk(".", dir_fd=root.handle):
            for name in [name for name in (*folders, *files) if name.startswith(prefix)]:
                with suppress(OSError):
                    if not name.startswith(PART) or os.lstat(name, dir_fd=handle).st_mtime < before:
                        _remove(handle, name)
            folders[:] = [name for name in folders if not name.startswith(TEMPORARY)]


def disk_usage(roots: Roots, location: Location) -> dict[str, int]:
    """Of the disk that holds a folder, in bytes; raises InvalidParams where it has gone."""
    with explained(InvalidParams, "This folder"):
        handle = roots.open(location)
        try:
            disk = os.fstatvfs(handle)
        finally:
            os.close(handle)
    unit = disk.f_frsize
    free = disk.f_bavail * unit
    return {"total": disk.f_blocks * unit, "used": (disk.f_blocks - disk.f_bfree) * unit, "free": free}
