"""Copies of the database as files: readable by any machine, whole or not there, and never believed unchecked."""

import os
from collections.abc import Container, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson

from bus.errors import InvalidParams, NotFound
from bus.log import JSON, NewEvent

from .chronicle import DELETED, SET, Namespaces
from .past import PORTION
from .tree import DEEPEST_KEY, Piece, packed, portions, text_of

HEADER: Final = b'{"format":"printbus database 1"}\n'
LONGEST: Final = 200  # bytes of a name
LARGEST: Final = 256 << 20
APPEND_BYTES: Final = 2 << 20

NOT_ONE = "is not a backup of this database, or it is damaged"


class Backups:
    """The files of one folder; methods block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Where a copy is; raises InvalidParams for what would be elsewhere."""
        if name.startswith(".") or "\0" in name or Path(name).name != name or not 0 < len(os.fsencode(name)) <= LONGEST:
            raise InvalidParams("A backup has a plain file name, which is in the backup folder")
        return self._folder / name

    def names(self) -> list[str]:
        """All of them."""
        if not self._folder.is_dir():
            return []
        found = [entry for entry in os.scandir(self._folder) if entry.is_file(follow_symlinks=False)]
        return sorted(entry.name for entry in found if not entry.name.startswith("."))

    def write(self, names: Iterable[str], pieces: Iterable[Piece]) -> Path:
        """A new file by the first of these names that is free; raises InvalidParams where none is, and OSError."""
        paths = [self.path(name) for name in names]
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f".{uuid4().hex}.new"
        try:
            _write(fresh, pieces)
            path = next((path for path in paths if _linked(fresh, path)), None)
        finally:
            fresh.unlink(missing_ok=True)
        if path is None:
            raise InvalidParams(f"There is a backup '{paths[0].name}' already")
        _settle(self._folder)
        return path

    def delete(self, name: str) -> Path:
        """Deletes one; raises NotFound."""
        path = self.path(name)
        if name not in self.names():
            raise NotFound(f"There is no backup '{name}'")
        path.unlink()
        _settle(self._folder)
        return path

    def read(self, name: str) -> Namespaces:
        """What is in one; raises InvalidParams where there is none, or where it is not whole."""
        path = self.path(name)
        if name not in self.names():
            raise InvalidParams(f"There is no backup '{name}'")
        if path.stat().st_size > LARGEST:
            raise InvalidParams(f"'{name}' {NOT_ONE}")
        try:
            return _parsed(path.read_bytes())
        except (ValueError, TypeError):
            raise InvalidParams(f"'{name}' {NOT_ONE}") from None


def _write(path: Path, pieces: Iterable[Piece]) -> None:
    digest = sha256()
    with path.open("wb") as file:
        for line in (HEADER, *map(_line, pieces)):
            digest.update(line)
            file.write(line)
        file.write(digest.hexdigest().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _linked(file: Path, path: Path) -> bool:
    """Whether a file has got a name: never another one's."""
    try:
        os.link(file, path)
    except FileExistsError:
        return False
    return True


def _settle(folder: Path) -> None:
    """Makes a new name durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _line(piece: Piece) -> bytes:
    path, text = piece
    return b"[%b,%b]\n" % (orjson.dumps(path), text)


def _parsed(content: bytes) -> Namespaces:
    """What lines of a backup hold; raises ValueError and TypeError for what was not written here."""
    end = content.rfind(b"\n", 0, -1) + 1
    if not content.startswith(HEADER) or content[end:] != sha256(content[:end]).hexdigest().encode() + b"\n":
        raise ValueError("not whole")
    found = Namespaces()
    for line in content[len(HEADER) : end].splitlines():
        (namespace, *path), value = orjson.loads(line)
        if not all(isinstance(name, str) and name for name in (namespace, *path)) or not 1 <= len(path) <= DEEPEST_KEY:
            raise ValueError("no key")
        found.put(namespace, path, text_of(value))
    return found


def differences(now: Namespaces, wanted: Namespaces, but: Container[str] = ()) -> Iterator[list[NewEvent]]:
    """The facts that make one into the other, but for some namespaces; as many at a time as can be appended at once."""
    batch: list[NewEvent] = []
    size = 0
    names = [name for name in sorted({*now.names(), *wanted.names()}) if name not in but]
    for event, weight in _differences(now, wanted, names):
        if batch and size + weight > APPEND_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += weight
    if batch:
        yield batch


def _differences(now: Namespaces, wanted: Namespaces, names: Iterable[str]) -> Iterator[tuple[NewEvent, int]]:
    for namespace in names:
        ours, theirs = now.members(namespace), wanted.members(namespace)
        for name in [name for name in ours if name not in theirs]:
            yield _deleted(namespace, name), 0
        for name, node in theirs.items():
            if name in ours and packed(ours[name]) == packed(node):
                continue
            found = list(portions({name: node}, PORTION))
            if len(found[0][0]) > 1:  # in parts, into nothing
                yield _set(namespace, [name], b"{}"), 0
            for path, text in found:
                yield _set(namespace, path, text), len(text)


def _set(namespace: str, path: list[str], text: bytes) -> NewEvent:
    data: dict[str, JSON] = {"namespace": namespace, "key": path, "value": orjson.loads(text)}
    return NewEvent(SET, data)


def _deleted(namespace: str, name: str) -> NewEvent:
    return NewEvent(DELETED, {"namespace": namespace, "key": [name]})
