"""Which roots there are: those of the data folder and the configuration, and those that Klipper brings along."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .roots import Reserved, is_in
from .settings import FileStoreSettings

OURS = ("printbus", "database", "certs", "systemd", "comms", "backup", "moonraker.secrets", "moonraker.asvc")
KLIPPER_ROOTS = {"docs": "docs", "config_examples": "config"}  # by name, the folder in Klipper's source


class Place(NamedTuple):
    """A root as it is configured."""

    name: str
    path: Path
    writable: bool


def places(settings: FileStoreSettings, data: Path) -> Iterator[Place]:
    """The roots that are there from the beginning."""
    yield Place("gcodes", settings.gcodes or data / "gcodes", True)
    yield Place("config", settings.config or data / "config", settings.enable_config_write_access)
    yield Place("logs", settings.logs or data / "logs", False)
    for name, root in settings.roots.items():
        yield Place(name, root.path, root.writable)


def klipper_places(info: dict[str, Any]) -> Iterator[Place]:
    """The roots in the source that a Klipper says it runs from."""
    source = info.get("klipper_path")
    if isinstance(source, str) and source.startswith("/"):
        for name, folder in KLIPPER_ROOTS.items():
            if (Path(source) / folder).is_dir():
                yield Place(name, Path(source) / folder, False)


def outside(info: dict[str, Any], config: str) -> str | None:
    """The warning that front ends cannot change what a Klipper is configured by; None where they can."""
    path = info.get("config_file")
    if not isinstance(path, str) or not path.startswith("/"):
        return None
    if any(is_in(each, config) for each in (os.path.normpath(path), os.path.realpath(path))):
        return None
    return (
        f"Klipper is configured by '{path}', which is not in the root 'config' ({config}) and cannot be "
        "changed here: start Klipper with a file in there, or set 'config' of 'filestore' in printer.yaml"
    )


def reserved(data: Path) -> list[Reserved]:
    """What belongs to the server itself."""
    return [Reserved(str(data / name)) for name in OURS]
