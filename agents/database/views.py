"""Namespaces that show what other agents keep, in the form in which Moonraker's database has it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from schemas.webcams import Webcam

NEVER_PRINTED: Final = {"print_start_time": None, "job_id": None}
WEBCAMS: Final = "webcams"


def _files(state: Any) -> dict[str, Any]:
    prints = state["prints"]
    return {path: {**NEVER_PRINTED, **known, **prints.get(path, {})} for path, known in state["files"].items()}


def _webcams(state: Any) -> dict[str, Any]:
    return {uid: Webcam(**webcam).as_stored() for uid, webcam in state.items()}


VIEWS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {"gcode_metadata": _files, WEBCAMS: _webcams}
"""By namespace: what the state of the fold of that name looks like there."""
