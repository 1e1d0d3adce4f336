"""Webcams that were added in front ends, as facts about ours."""

from typing import Any, Final

from schemas.webcams import Webcam

from .database import Database, Unreadable
from .fitting import fitted
from .known import SAVED, Known
from .namespaces import WEBCAMS
from .part import Fact, Part, counted, fact

NAMES: Final = {  # in Moonraker's database
    "rotate": "rotation",  # as front ends kept it long ago; what comes later counts
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
    names = {*known.webcams.values()}
    for found in database.values():
        if isinstance(found, Unreadable) or found[0] != WEBCAMS or found[1] in known.webcams:
            continue
        given = _named(found[1], found[2])
        title = f"webcam {given.get('name') or found[1]}"
        webcam, refused = fitted(Webcam, given)
        part.lost += [f"{title}{''.join(f', {name}' for name in place)}: {why}" for place, why in refused.items()]
        if not webcam:
            continue
        if webcam["name"] in names:
            part.lost.append(f"{title}: there is another of that name")
            continue
        names.add(webcam["name"])
        facts.append(fact(SAVED, webcam=Webcam(**webcam).model_dump(mode="json")))
        part.carried.append(title)
    part.new = len(facts)
    return part


def _named(uid: str, stored: Any) -> dict[str, Any]:
    """The members that webcams have here, by our names; where Moonraker has more, these are its own business."""
    given = stored if isinstance(stored, dict) else {}
    named = {ours: given[theirs] for theirs, ours in NAMES.items() if theirs in given} | given
    fields = {name: value for name, value in named.items() if name in Webcam.model_fields}
    if "name" in fields:
        fields["name"] = str(fields["name"])  # as Moonraker takes it
    return {"stream_url": "", **fields, "uid": uid, "source": "database"}
