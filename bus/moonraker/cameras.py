"""Webcams that were added in front ends, as facts about ours."""

from typing import Any

from schemas.webcams import Webcam

from .database import Database, Unreadable
from .fitting import fitted
from .known import SAVED, Known
from .namespaces import WEBCAMS
from .part import Fact, Part, counted, fact


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
    """As Moonraker takes it: any name as a text, and no address as an empty one."""
    fields = {"stream_url": ""} | Webcam.named(uid, stored if isinstance(stored, dict) else {})
    return fields | ({"name": str(fields["name"])} if "name" in fields else {})
