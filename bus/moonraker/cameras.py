"""Webcams that were added in front ends, as facts about ours."""

from typing import Any, Final

from schemas.webcams import Webcam

from .database import Database, Unreadable
from .fitting import fitted
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
        webcam, refused = fitted(Webcam, _named(found[1], found[2]))
        part.lost += [
            f"webcam {found[1]}{''.join(f', {name}' for name in place)}: {why}" for place, why in refused.items()
        ]
        if webcam and found[1] not in known.webcams and webcam["name"] not in known.webcams.values():
            facts.append(fact(SAVED, webcam=Webcam(**webcam).model_dump(mode="json")))
            part.carried.append(f"webcam {webcam['name']}")
    part.new = len(facts)
    return part


def _named(uid: str, stored: Any) -> dict[str, Any]:
    """The members that webcams have here, by our names; where Moonraker has more, these are its own business."""
    named = {NAMES.get(name, name): value for name, value in (stored if isinstance(stored, dict) else {}).items()}
    fields = {name: value for name, value in named.items() if name in Webcam.model_fields}
    return {**fields, "uid": uid, "source": "database"}
