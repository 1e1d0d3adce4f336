"""Which gcode files there are, and of when, for agents that often have to know: kept current by what is announced."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from schemas import files

from .agent import Bus
from .envelope import loads
from .errors import BusError

log = logging.getLogger(__name__)

WAIT = 2.0  # seconds for the filestore to say what it has; it may be starting


class GcodeFiles:
    """Times of change by path in the gcodes root."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._modified: dict[str, float] = {}
        self._known = False

    def start(self) -> None:
        """Follows what changes from now on."""
        self._bus.subscribe(self._bus.topics.notify(files.FILELIST_CHANGED.name), self._on_changed)
        self._bus.subscribe(self._bus.topics.agent(files.OWNER), self._on_presence)

    async def refresh(self) -> None:
        """Asks where something happened that was not told file by file; what cannot be learnt stays as it was."""
        if self._known:
            return
        try:
            async with asyncio.timeout(WAIT):
                await self.learn()
        except (BusError, TimeoutError) as error:
            log.debug("which files there are is not known: %s", error)

    async def learn(self) -> None:
        """Asks; raises BusError."""
        listed = await self._bus.call(files.LIST.name, {"root": files.GCODES})
        self._modified = {each["path"]: each["modified"] for each in listed}
        self._known = True

    async def missing(self, paths: Sequence[str]) -> list[str]:
        """Those that are not there, not even as the filestore says when asked; raises BusError."""
        if not self.has_all(paths):
            await self.learn()
        return [path for path in paths if not self.has(path)]

    def has_all(self, paths: Sequence[str]) -> bool:
        """Whether all are there, as far as is known here."""
        return self._known and all(map(self.has, paths))

    def has(self, path: str, modified: float | None = None) -> bool:
        """Whether a file is there, as it was at a time if that is known."""
        found = self._modified.get(path)
        return found is not None and modified in (None, found)

    def _on_presence(self, _topic: str, _payload: bytes) -> None:
        self._known = False

    def _on_changed(self, _topic: str, payload: bytes) -> None:
        (said,) = loads(payload)["params"]
        if said["action"].endswith("_file"):
            self._take(said["action"], said["item"], said.get("source_item"))
        else:
            self._known = False

    def _take(self, action: str, item: Mapping[str, Any], source: Mapping[str, Any] | None) -> None:
        if source is not None and source["root"] == files.GCODES:
            self._modified.pop(source["path"], None)
        if item["root"] != files.GCODES:
            return
        if action == "delete_file":
            self._modified.pop(item["path"], None)
        else:
            self._modified[item["path"]] = item["modified"]
