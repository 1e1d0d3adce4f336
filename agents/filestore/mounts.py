"""Disks that come and go, as /proc tells it, and which of them tell nobody what changes on them."""

import asyncio
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
UNOBSERVABLE = ("nfs", "cifs", "smb", "9p", "fuse", "vboxsf", "afs", "ceph", "virtiofs", "davfs")
FIELDS_BEFORE_KIND = "-"  # in a line of mountinfo


@contextmanager
def watched(changed: Callable[[], None]) -> Iterator[None]:
    """Calls a function whenever something is mounted or unmounted, where the system tells."""
    try:
        file = MOUNTS.open("rb")
    except OSError:
        yield
        return
    loop = asyncio.get_running_loop()
    with file, select.epoll() as poll:
        poll.register(file.fileno(), select.EPOLLPRI | select.EPOLLERR)

        def on_event() -> None:
            poll.poll(0)
            file.seek(0)
            file.read()
            changed()

        loop.add_reader(poll.fileno(), on_event)  # a loop waits for no priority events, but for a poll that does
        try:
            yield
        finally:
            loop.remove_reader(poll.fileno())


def kind_of_disk(path: str) -> str:
    """The type of the file system that a path is on; empty where that is not known. Blocks."""
    best, kind = "", ""
    try:
        lines = MOUNTS.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(" ")
        place = fields[4].encode().decode("unicode_escape")
        above = path == place or path.startswith(place.rstrip("/") + "/")
        if above and len(place) >= len(best):
            best, kind = place, fields[fields.index(FIELDS_BEFORE_KIND) + 1]
    return kind


def observable(path: str) -> bool:
    """Whether changes on the disk of a path are reported, whoever makes them. Blocks."""
    kind = kind_of_disk(path)
    return kind == "fuseblk" or not kind.startswith(UNOBSERVABLE)
