"""Webcams that were added in front ends, as facts about ours."""

from typing import Any, Final

from pydantic import ValidationError

from schemas.webcams import Webcam

from .database import Database, Unreadable
from .known import SAVED, Known
from .namespaces import WEBCAMS
from .part import Fact, Part, counted, fact

NAMES: Final = {  # in Moonraker's database
    "urlStream": "stream_url",
    "urlSnapshot": "snapshot_url",
    "targetFps": "target_fps",
    "targetFpsIdle": "target_fps_idle",
    "flipX": "flip_horizontal",
    "flipY": "flip_vertical",
    "aspectRatio": "aspect_ratio",
}


def cameras(database: Database, known: Known) -> Part:
    """Those whose id and name the target does not have."""
    facts: list[Fact] = []
    part = Part(lambda: facts, counted(len(known.webcams), "webcam") if known.webcams else "")
    for found in database.values():
        if isinstance(found, Unreadable) or found[0] != WEBCAMS:
            continue
        try:
            webcam = _webcam(found[1], found[2])
        except (ValidationError, AttributeError) as error:
            part.lost.append(f"webcam {found[1]}: {' '.join(str(error).split()[:20])}")
            continue
        if webcam.uid not in known.webcams and webcam.name not in known.webcams.values():
            facts.append(fact(SAVED, webcam=webcam.model_dump(mode="json")))
            part.carried.append(f"webcam {webcam.name}")
    part.new = len(facts)
    return part


def _webcam(uid: str, stored: Any) -> Webcam:
    named = {NAMES.get(name, name): value for name, value in stored.items()}
    fields = {name: value for name, value in named.items() if name in Webcam.model_fields}
    return Webcam(**{**fields, "uid": uid, "source": "database"})
