"""Pictures of gcode files: under temporary names until their file is in its place, and then wherever that goes."""

import os
import posixpath
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial

from schemas.files import GCODES
from schemas.gcode_metadata import GcodeMetadata

from .beneath import opened
from .changes import temporary_name
from .chronicle import Metadata
from .metadata import Scan, renamed
from .metadata.folder import make, remove, subfolder
from .metadata.names import THUMBS
from .roots import Location

Along = Callable[[], GcodeMetadata | None]
"""Work on the disk that follows the change of a file; it gives the file's metadata where it has changed that."""

Moves = Sequence[tuple[str, str]]


class Reading:
    """What is read from a file that is, or is going to be, at a location; its pictures are placed, or gone with it."""

    def __init__(self, location: Location, folder: int, *, archive: bool = False) -> None:
        self.location = location
        self.folder = folder
        self.stem = temporary_name()
        self.metadata: GcodeMetadata | None = None
        self.disturbed = False  # something else has happened at that location meanwhile
        self._archive = archive
        self._former: Sequence[str] = ()
        self._placed = False

    def take(self, scan: Scan) -> None:
        """The file has been scanned."""
        self.metadata, self._former = scan.metadata, scan.former

    def place(self, old: Collection[str] = ()) -> GcodeMetadata | None:
        """Gives the pictures their names, in place of old ones; the metadata with those that are there. Blocks."""
        if self.metadata is None:
            _forget((self.location, old))
            return None
        metadata, moves = renamed(self.metadata, self.stem, self.location.name)
        if self.disturbed and self._is_found(moves):
            _forget((self.location, old))
            return _without(metadata, [path for _, path in moves])
        lost = _carry(self.folder, self.location, moves, [*old, *self._former])
        self._placed = not lost
        return _without(metadata, lost)

    def close(self) -> None:
        """Lets go; pictures that have no place by now are deleted. Blocks."""
        if not self._placed:
            discard(self.folder, self.stem)
        os.close(self.folder)

    def _is_found(self, moves: Moves) -> bool:
        """Whether its picture lay beside it, where it may have been that of something else."""
        return not self._archive and any(posixpath.basename(path) == f"{self.stem}.png" for path, _ in moves)


class Pictures:
    """Knows which pictures files have, and what has to be done with them when those change."""

    def __init__(self, store: Metadata) -> None:
        self._store = store

    def placing(self, target: Location, reading: Reading | None = None) -> Along:
        """Another file takes the place of what is there; of an upload, what was read."""
        return self.leaving(target) if reading is None else partial(reading.place, self._of(target))

    def moving(self, source: Location, target: Location) -> Along:
        """A file, or a folder, goes elsewhere."""
        if target.root.name != GCODES or not self._of(source):
            return self.leaving(source, target)
        known = GcodeMetadata.model_validate(self._store.files[source.path])
        return partial(_move, source, target, known, self._of(target))

    def leaving(self, *files: Location) -> Along:
        """Files are deleted."""
        return partial(_forget, *((file, found) for file in files if (found := self._of(file))))

    def _of(self, file: Location) -> list[str]:
        known = self._store.files.get(file.path, {}) if file.root.name == GCODES else {}
        return [each["relative_path"] for each in known.get("thumbnails", ())]


def discard(folder: int, stem: str) -> None:
    """Deletes pictures that are called after a stem. Blocks."""
    with suppress(OSError), subfolder(folder, THUMBS) as thumbs:
        for name in [each.name for each in os.scandir(thumbs) if each.name.startswith(stem)]:
            remove(thumbs, name)


def _forget(*gone: tuple[Location, Collection[str]]) -> None:
    """Deletes pictures beside files; nothing on the way to them may be a link."""
    for location, paths in gone:
        with suppress(OSError), opened(location.root.handle, location.parent.path) as folder:
            _delete(folder, paths)


def _move(source: Location, target: Location, known: GcodeMetadata, old: Iterable[str]) -> GcodeMetadata:
    metadata, moves = renamed(known, source.name, target.name)
    lost = {path for _, path in moves}
    with suppress(OSError), opened(source.root.handle, source.parent.path) as folder:
        lost = _carry(folder, target, moves, old)
    return _without(metadata, lost)


def _carry(source: int, target: Location, moves: Moves, old: Iterable[str]) -> set[str]:
    """Renames pictures in a folder to those of a file, in place of its old ones; those that are not there then."""
    lost = {path for _, path in moves}
    unneeded = set(old) - lost
    if moves or unneeded:
        with suppress(OSError), opened(target.root.handle, target.parent.path) as folder:
            _delete(folder, unneeded)
            return _rename(source, folder, moves)
    return lost


def _rename(source: int, target: int, moves: Moves) -> set[str]:
    """Renames pictures from one folder to another; those that are not there then, and nowhere else."""
    lost = dict((path, name) for name, path in moves)
    with suppress(OSError), subfolder(source, THUMBS) as old:
        with suppress(OSError):
            make(target, THUMBS)
            with subfolder(target, THUMBS) as new:
                for name, path in moves:
                    with suppress(OSError):
                        os.rename(_name(name), _name(path), src_dir_fd=old, dst_dir_fd=new)
                        del lost[path]
        for name in lost.values():
            remove(old, _name(name))
    return set(lost)


def _delete(folder: int, paths: Collection[str]) -> None:
    if not paths:
        return
    with suppress(OSError), subfolder(folder, THUMBS) as thumbs:
        for path in paths:
            with suppress(OSError):
                os.unlink(_name(path), dir_fd=thumbs)


def _name(path: str) -> str:
    """What a picture is called in `.thumbs`."""
    return posixpath.basename(path)


def _without(metadata: GcodeMetadata, lost: Collection[str]) -> GcodeMetadata:
    """Metadata that does not list some pictures."""
    if not lost:
        return metadata
    said = metadata.model_dump(exclude_unset=True)
    kept = [each for each in said.pop("thumbnails") if each["relative_path"] not in lost]
    return GcodeMetadata.model_validate({**said, "thumbnails": kept} if kept else said)
