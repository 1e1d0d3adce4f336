"""Names that follow from that of a gcode file."""

from pathlib import PurePosixPath

THUMBS = ".thumbs"
UFP_SUFFIX = ".ufp"
GCODE_SUFFIXES = frozenset({".gcode", ".g", ".gco", ".nc", UFP_SUFFIX})


def gcode_name(name: str) -> str:
    """What a file is called when its gcode is unpacked: x.gcode for x.ufp, and other names as they are."""
    path = PurePosixPath(name)
    return f"{path.stem}.gcode" if path.suffix.lower() == UFP_SUFFIX else name
