"""One scan from beginning to end: unpack, add objects, read, keep the pictures."""

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO
from uuid import uuid4

from . import objects, thumbnails, ufp
from .errors import Failed, NotGcode
from .excerpt import Excerpt, excerpt
from .folder import whole_file
from .names import gcode_name
from .slicers import describe

log = logging.getLogger(__name__)

Progress = Callable[[float], None]

BUFFER = 1 << 20  # bytes
CURA = "Cura"  # whose archives have a picture, which stays beside the gcode


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be scanned: an open file, its open folder and its name there; the rest as scanner.Job has it."""

    file: int
    folder: int
    name: str
    output: str | None = None
    objects: bool = False
    pictures: str | None = None
    replaces: bool = False


def scan(order: Order, progress: Progress) -> tuple[dict[str, object], bool]:
    """The metadata of a file, and whether its contents were rewritten to the output; raises ScanError and OSError."""
    if not stat.S_ISREG(os.fstat(order.file).st_mode):
        raise Failed("This is not a regular file")
    rewritten = _unpack(order, progress)
    with _contents(order, rewritten) as file:
        read = excerpt(file.fileno())
        added = order.objects and order.output is not None and _add_objects(order, file, read, progress)
    if added:
        with _contents(order, rewritten=True) as file:
            return _describe(order, file.fileno(), excerpt(file.fileno())), True
    with _contents(order, rewritten) as file:
        return _describe(order, file.fileno(), read), rewritten


@contextmanager
def _contents(order: Order, rewritten: bool) -> Iterator[BinaryIO]:
    if not rewritten or order.output is None:
        with os.fdopen(order.file, "rb", buffering=BUFFER, closefd=False) as file:
            yield file
        return
    descriptor = os.open(order.output, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=order.folder)
    with os.fdopen(descriptor, "rb", buffering=BUFFER) as file:
        yield file


def _unpack(order: Order, progress: Progress) -> bool:
    """Unpacks an archive into the output; False where the file is none."""
    if gcode_name(order.name) == order.name:
        return False
    if order.output is None:
        raise NotGcode("An archive has to be unpacked first")
    with _contents(order, rewritten=False) as source, whole_file(order.folder, order.output, durable=True) as target:
        ufp.unpack(source, target, progress)
    return True


def _add_objects(order: Order, source: BinaryIO, read: Excerpt, progress: Progress) -> bool:
    """Writes the file with its objects defined to the output; False where it needs nothing, or cannot have any."""
    size = os.fstat(source.fileno()).st_size
    if read.start is None or order.output is None:
        return False
    if not objects.available():
        log.warning("%s is left without objects: %s is not installed", order.name, objects.LIBRARY)
        return False
    try:
        missing = objects.find(source, size, read.start, lambda share: progress(share / 2))
    except ValueError as error:
        log.warning("%s is left without objects: %s", order.name, error)
        return False
    if not missing:
        return False
    with whole_file(order.folder, order.output, durable=True) as target:
        objects.insert(source, size, target, missing, lambda share: progress((1 + share) / 2))
    return True


def _describe(order: Order, file: int, read: Excerpt) -> dict[str, object]:
    status = os.fstat(file)
    found = {"size": status.st_size, "modified": status.st_mtime, "uuid": str(uuid4()), **describe(read)}
    pictures = _save_pictures(order, gcode_name(order.name), read, found["slicer"])
    return {**found, "thumbnails": pictures} if pictures else found


def _save_pictures(order: Order, name: str, read: Excerpt, slicer: object) -> list[dict[str, object]]:
    if order.pictures is None or not name.isprintable():  # no JSON could name its pictures
        return []
    found = thumbnails.with_small(thumbnails.pictures(read.pictures))
    if not found:
        own = slicer == CURA and not order.replaces
        beside = _archived(order) or (thumbnails.kept(order.folder, name) if own else None)
        found = thumbnails.beside(beside) if beside else []
    return thumbnails.save(order.folder, order.pictures, found) if found else []


def _archived(order: Order) -> thumbnails.Picture | None:
    if gcode_name(order.name) == order.name:
        return None
    with _contents(order, rewritten=False) as source:
        return thumbnails.picture_of(ufp.picture(source, thumbnails.MAX_BYTES))
