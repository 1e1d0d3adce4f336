"""The index: what the roots hold, kept in memory, with listings as JSON that is made once."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from bus.envelope import dumps
from schemas.files import GCODES

from .changes import Seen
from .entries import Entry, File, Folder
from .metadata import GCODE_SUFFIXES
from .roots import Location, Root

MAX_SHOWN = 200  # folders of a root whose listing is kept

Extras = Callable[[Location, File], Mapping[str, Any] | None]


class Difference(NamedTuple):
    """How one thing in the index differs from the disk, as notifications call it."""

    action: str
    location: Location
    entry: Entry | None
    old: Entry | None


def has_gcode_suffix(name: str) -> bool:
    """Whether a name is that of a gcode file."""
    return name[name.rfind(".") :].lower() in GCODE_SUFFIXES if "." in name else False


class Index:
    """Files and folders by root; it changes on the loop only."""

    def __init__(self) -> None:
        self._roots: dict[str, Folder] = {}
        self._shown: dict[str, dict[tuple[str, ...], bytes]] = {}

    def find(self, location: Location) -> Entry | None:
        """What is known of a location."""
        at: Entry | None = self._roots.get(location.root.name)
        for part in location.path.split("/") if location.path else ():
            if not isinstance(at, Folder):
                return None
            at = at.folders.get(part) or at.files.get(part)
        return at

    def put(self, seen: Seen) -> None:
        """Takes what was seen on the disk."""
        location, entry = seen.location, seen.entry
        self.touch(location.root.name)
        if not location.path:
            if isinstance(entry, Folder):
                self._roots[location.root.name] = entry
            return
        parent = self.find(location.parent)
        if not isinstance(parent, Folder) or parent.link:
            return
        if seen.modified:
            parent.size, parent.modified = seen.size, seen.modified
        parent.files.pop(location.name, None)
        parent.folders.pop(location.name, None)
        if isinstance(entry, File):
            parent.files[location.name] = entry
        elif entry is not None:
            parent.folders[location.name] = entry

    def forget(self, root: str) -> None:
        """Drops a root."""
        self._roots.pop(root, None)
        self._shown.pop(root, None)

    def touch(self, root: str) -> None:
        """Listings of a root have to be made anew."""
        self._shown.pop(root, None)

    def listing(self, root: Root) -> bytes:
        """All files of a root by path, of the gcodes root only gcode."""
        return self._kept(root.name, ("list",), lambda: dumps(self._listed(root)))

    def directory(self, location: Location, folder: Folder, extras: Extras | None, *, keep: bool) -> bytes:
        """The members `dirs` and `files` of a folder's listing; `extras` are added to a file's members."""
        if not keep:
            return directory(location, folder, extras)
        key = ("directory" if extras is None else "extended", location.path)
        return self._kept(location.root.name, key, lambda: directory(location, folder, extras))

    def files(self, location: Location) -> Iterator[tuple[str, File]]:
        """Path and entry of all files in a folder, at any depth."""
        found = self.find(location)
        if isinstance(found, Folder):
            yield from walk(found, location.path)

    def links(self, root: Root) -> list[Location]:
        """The links to folders in a root."""
        found = self._roots.get(root.name)
        return [Location(root, path) for path in _links(found, "")] if found is not None else []

    def _listed(self, root: Root) -> list[dict[str, Any]]:
        only_gcode = root.name == GCODES
        found = self._roots.get(root.name)
        files = walk(found, "") if found is not None else ()
        return [
            {"path": path, "modified": file.modified, "size": file.size, "permissions": file.permissions}
            for path, file in sorted(files, key=lambda each: each[0].lower())
            if not only_gcode or has_gcode_suffix(path)
        ]

    def _kept(self, root: str, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        shown = self._shown.setdefault(root, {})
        found = shown.get(key)
        if found is None:
            if len(shown) >= MAX_SHOWN:
                shown.clear()
            found = shown[key] = make()
        return found


def walk(folder: Folder, path: str) -> Iterator[tuple[str, File]]:
    """Path and entry of all files in a folder that has this path."""
    prefix = f"{path}/" if path else ""
    for name, file in folder.files.items():
        yield prefix + name, file
    for name, inner in folder.folders.items():
        yield from walk(inner, prefix + name)


def _links(folder: Folder, path: str) -> Iterator[str]:
    for name, inner in folder.folders.items():
        at = f"{path}/{name}" if path else name
        if inner.link:
            yield at
        else:
            yield from _links(inner, at)


def directory(location: Location, folder: Folder, extras: Extras | None) -> bytes:
    """The members `dirs` and `files` of a folder's listing, without braces."""
    dirs = [{**_shown(inner), "dirname": name} for name, inner in folder.folders.items()]
    files = []
    for name, file in folder.files.items():
        extra = extras(location.child(name), file) if extras is not None else None
        files.append({**(extra or {}), **_shown(file), "filename": name})
    return b'"dirs":%b,"files":%b' % (dumps(dirs), dumps(files))


def _shown(entry: Entry) -> dict[str, Any]:
    return {"modified": entry.modified, "size": entry.size, "permissions": entry.permissions}


def differences(
    location: Location, old: Entry | None, new: Entry | None, *, moved: bool = False
) -> Iterator[Difference]:
    """What has happened, in as few words as possible: of a folder that is new or gone, only that.

    With `moved`, apart from a move, which may have been to another disk.
    """
    if isinstance(old, Folder) and isinstance(new, Folder):
        for name in old.folders.keys() | old.files.keys() | new.folders.keys() | new.files.keys():
            yield from differences(location.child(name), _in(old, name), _in(new, name), moved=moved)
    elif isinstance(old, File) and isinstance(new, File):
        if _content(old) != _content(new) if moved else (old.stamp, old.permissions) != (new.stamp, new.permissions):
            yield Difference("modify_file", location, new, old)
    else:
        if old is not None:
            yield Difference("delete_dir" if isinstance(old, Folder) else "delete_file", location, None, old)
        if new is not None:
            yield Difference("create_dir" if isinstance(new, Folder) else "create_file", location, new, None)


def _content(file: File) -> tuple[int, int]:
    """What tells one content from the next on any disk: size and time."""
    return file.stamp[1:]


def _in(folder: Folder, name: str) -> Entry | None:
    return folder.folders.get(name) or folder.files.get(name)
