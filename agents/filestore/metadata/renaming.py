"""Thumbnails follow their file when it gets another name."""

from pathlib import PurePosixPath

from schemas.gcode_metadata import GcodeMetadata, Thumbnail

from .names import THUMBS


def renamed(metadata: GcodeMetadata, name: str, new_name: str) -> tuple[GcodeMetadata, list[tuple[str, str]]]:
    """The metadata of a file under its new name, and by relative paths which thumbnails to rename to which.

    Pictures that are not called after the file stay as they are.
    """
    if "thumbnails" not in metadata.model_fields_set:
        return metadata, []
    old, new = (f"{THUMBS}/{PurePosixPath(each).stem}" for each in (name, new_name))
    moves = [
        (path, new + path[len(old) :]) for each in metadata.thumbnails if (path := each.relative_path).startswith(old)
    ]
    places = dict(moves)
    thumbnails = [_at(each, places.get(each.relative_path, each.relative_path)) for each in metadata.thumbnails]
    return metadata.model_copy(update={"thumbnails": thumbnails}), moves


def _at(thumbnail: Thumbnail, path: str) -> Thumbnail:
    return thumbnail.model_copy(update={"relative_path": path})
