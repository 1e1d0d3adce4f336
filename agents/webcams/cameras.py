"""The webcams there are: those of the configuration, and those that clients have added, as the log tells of them."""

from collections.abc import Iterable, Mapping
from typing import Any, Self
from uuid import NAMESPACE_URL, uuid5

from bus.fold import Fold
from bus.log import StoredEvent
from schemas.webcams import Webcam

STREAM = "webcams"
SAVED, REMOVED = "webcam.saved.1", "webcam.removed.1"


class StoredWebcams(Fold):
    """Webcams that clients have added, by uid, oldest first."""

    name = "webcams"
    version = 1
    streams = frozenset((STREAM,))
    published = False  # the agent shows them together with those of the configuration

    def __init__(self) -> None:
        self.webcams: dict[str, dict[str, Any]] = {}

    def apply(self, event: StoredEvent) -> None:
        """Takes a fact about a webcam."""
        data: Mapping[str, Any] = event.data
        if event.type == SAVED:
            self.webcams[data["webcam"]["uid"]] = data["webcam"]
        elif event.type == REMOVED:
            self.webcams.pop(data["uid"], None)

    def state(self) -> Any:
        """Webcams by uid."""
        return self.webcams

    @classmethod
    def restored(cls, state: Any) -> Self:
        """With these webcams."""
        made = cls()
        made.webcams = dict(state)
        return made


def of_configuration(instance: str, options: Mapping[str, Mapping[str, Any]]) -> list[Webcam]:
    """Webcams of printer.yaml; their uid depends on the instance and the name, so that it stays."""
    return [
        Webcam(name=name, source="config", extra_data={}, uid=_uid(instance, name), **given)
        for name, given in options.items()
    ]


def visible(configured: Iterable[Webcam], stored: StoredWebcams) -> list[Webcam]:
    """All webcams; a stored one is hidden for as long as the configuration has its name."""
    shown = list(configured)
    taken = {webcam.name for webcam in shown}
    return shown + [Webcam(**known) for known in stored.webcams.values() if known["name"] not in taken]


def _uid(instance: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"printbus:{instance}:webcam:{name}"))
