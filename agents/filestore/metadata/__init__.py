"""Metadata of gcode files: what slicers write about a print, pictures and objects, read by a worker process."""

from .errors import Busy, Failed, NoSpace, NotGcode, ScanError, TimedOut
from .names import GCODE_SUFFIXES, gcode_name
from .renaming import renamed
from .scanner import Job, Limits, Scan, Scanner

__all__ = [
    "GCODE_SUFFIXES",
    "Busy",
    "Failed",
    "Job",
    "Limits",
    "NoSpace",
    "NotGcode",
    "Scan",
    "ScanError",
    "Scanner",
    "TimedOut",
    "can_add_objects",
    "gcode_name",
    "renamed",
]


def can_add_objects() -> bool:
    """Whether the library that knows slicers' marks of objects is installed."""
    from .objects import available  # not at the start: the worker needs it

    return available()
