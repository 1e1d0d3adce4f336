"""Why a scan gave no metadata.

ScanError
  NotGcode   the file cannot be gcode: an archive that is broken, a bomb, or has none in it
  Failed     reading or writing failed, or the worker died
  NoSpace    the disk has no room for what has to be written
  TimedOut   no progress for too long
  Busy       too many scans wait
"""


class ScanError(Exception):
    """A scan that gave nothing; its text may be shown to clients."""


class NotGcode(ScanError):
    """The file cannot be gcode."""


class Failed(ScanError):
    """Reading, writing or the worker failed."""


class NoSpace(ScanError):
    """The disk has no room for what has to be written."""


class TimedOut(ScanError):
    """The scan made no progress for too long and was ended."""


class Busy(ScanError):
    """Too many scans wait already."""
