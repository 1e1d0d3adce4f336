"""Where supervisord says how it is reached, told without the libraries that reaching it takes."""

import os
from pathlib import Path

PLACES = ("/etc/supervisor/supervisord.conf", "/etc/supervisord.conf", "/usr/local/etc/supervisord.conf")
OURS = "SUPERVISOR_SERVER_URL"  # in the environment of programs that supervisord runs
UNKNOWN = "No configuration of supervisord is found"


def configuration(given: Path | None) -> Path | None:
    """The given file, or the one where it usually is."""
    usual = (path for path in map(Path, PLACES) if path.is_file())
    return given or next(usual, None)


def url() -> str:
    """What supervisord told us, if it started us; else empty."""
    return os.environ.get(OURS, "")


def is_known(given: Path | None) -> bool:
    """Whether there is anything to try."""
    return bool(configuration(given) or url())
