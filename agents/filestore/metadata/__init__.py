"""Metadata of gcode files: what slicers write about a print, pictures and objects, read by a worker process."""

from .errors import Busy, Failed, NotGcode, ScanError, TimedOut
from .objects import available as can_add_objects
from .renaming import renamed
from .scan import gcode_name
from .scanner import Job, Limits, Scan, Scanner

GCODE_SUFFIXES = frozenset({".gcode", ".g", ".gco", ".nc", ".ufp"})

__all__ = [
    "GCODE_SUFFIXES",
    "Busy",
    "Failed",
    "Job",
    "Limits",
    "NotGcode",
    "Scan",
    "ScanError",
    "Scanner",
    "TimedOut",
    "can_add_objects",
    "gcode_name",
    "renamed",
]
