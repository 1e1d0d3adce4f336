"""Finds out which systemd service a process belongs to."""

import re
from pathlib import Path

PROC = Path("/proc")
# The first service below system.slice: a service may have groups of its own, and users' services are elsewhere.
SERVICE = re.compile(r"^\d+:[^:]*:/system\.slice/(?:[^/]+\.slice/)*([^/]+)\.service(?:/|$)", re.MULTILINE)


def service_of(process: int) -> str | None:
    """The name of its unit without `.service`; None where it belongs to none of the system's services."""
    try:
        found = SERVICE.search((PROC / str(process) / "cgroup").read_text())
    except OSError:
        return None
    return re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), found[1]) if found else None
