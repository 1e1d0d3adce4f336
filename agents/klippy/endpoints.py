"""Which of Klipper's requests can be called by name, and why others cannot."""

from collections.abc import Iterable, Mapping
from typing import Any

from bus.errors import InvalidParams, MethodNotFound, Refused

from .chronicle import DISCONNECTED
from .prints import ENDED, PAUSED, RESUMED

NAMESPACE = "printer."
HIDDEN = frozenset(("list_endpoints", "gcode/subscribe_output", "register_remote_method"))  # about a connection
TEMPLATE = "response_template"  # with it Klipper sends messages that its caller has worded
STREAMS = "dump_"  # begins the last word of requests that go on until the connection ends
ENDING = frozenset(("bed_mesh/dump_mesh",))  # the one that does not
# What a request brings about, so that whoever asked for it is credited.
EFFECTS: Mapping[str, str] = {
    "pause_resume/pause": PAUSED,
    "pause_resume/resume": RESUMED,
    "pause_resume/cancel": ENDED,
    "gcode/restart": DISCONNECTED,
    "gcode/firmware_restart": DISCONNECTED,
}


class Endpoints:
    """The requests that Klipper knows, by the names of their methods."""

    def __init__(self, paths: Iterable[str] = ()) -> None:
        shown = (path for path in paths if path not in HIDDEN)
        self._paths = {NAMESPACE + path.replace("/", "."): path for path in shown}

    def path(self, name: str, params: Mapping[str, Any]) -> str:
        """The path of a method; raises MethodNotFound, or Refused for what needs a connection of its own."""
        path = self._paths.get(name)
        if path is None:
            raise MethodNotFound(f"Klipper does not know {name}")
        if path.rpartition("/")[2].startswith(STREAMS) and path not in ENDING:
            raise Refused(f"{path} goes on until its connection ends: use a tunnel (/klippysocket)")
        if TEMPLATE in params:
            raise InvalidParams(f"{TEMPLATE} needs a connection of its own: use a tunnel (/klippysocket)")
        return path
