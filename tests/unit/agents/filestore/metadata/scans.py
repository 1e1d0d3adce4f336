"""A scan as files get it: in this process, with the pictures in their place at the end."""

import os
from pathlib import Path

from agents.filestore.metadata import Scan, gcode_name, thumbnails
from agents.filestore.metadata.scan import Order, scan
from agents.filestore.pictures import Reading
from agents.filestore.roots import Location, Root
from schemas.gcode_metadata import GcodeMetadata


def scanned(path: Path, folder: int, name: str, output: str | None = None) -> tuple[GcodeMetadata, bool]:
    """The metadata of a file that gets a name in an open folder, and whether it was rewritten to the output."""
    location = Location(Root("gcodes", str(path.parent), True, folder), gcode_name(name))
    reading = Reading(location, os.dup(folder), archive=location.name != name)
    try:
        with path.open("rb") as file:
            found, rewritten = scan(
                Order(file.fileno(), folder, name, output, pictures=reading.stem), lambda share: None
            )
        former = thumbnails.former(folder, location.name)
        reading.take(Scan(GcodeMetadata.model_validate(found), rewritten, former))
        metadata = reading.place()
        assert metadata is not None
        return metadata, rewritten
    finally:
        reading.close()
