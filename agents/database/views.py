"""Namespaces that show what other agents keep, in the form in which Moonraker's database has it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

NEVER_PRINTED: Final = {"print_start_time": None, "job_id": None}
WEBCAM_NAMES: Final = {
    "stream_url": "urlStream",
    "snapshot_url": "urlSnapshot",
    "target_fps": "targetFps",
    "target_fps_idle": "targetFpsIdle",
    "flip_horizontal": "flipX",
    "flip_vertical": "flipY",
    "aspect_ratio": "aspectRatio",
}
NOT_STORED: Final = ("uid", "source")


def _files(state: Any) -> dict[str, Any]:
    prints = state["prints"]
    return {path: {**NEVER_PRINTED, **known, **prints.get(path, {})} for path, known in state["files"].items()}


def _webcams(state: Any) -> dict[str, Any]:
    return {uid: _stored(webcam) for uid, webcam in state.items()}


def _stored(webcam: Mapping[str, Any]) -> dict[str, Any]:
    return {WEBCAM_NAMES.get(name, name): value for name, value in webcam.items() if name not in NOT_STORED}


VIEWS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {"gcode_metadata": _files, "webcams": _webcams}
"""By namespace: what the state of the fold of that name looks like there. What clients write beside it is added."""
