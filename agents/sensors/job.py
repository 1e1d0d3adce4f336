"""The job that is going on, and the document in which the history finds what sensors have said during it."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bus.agent import Bus
from bus.envelope import dumps, loads
from bus.errors import ParseError
from bus.whole_file import replace
from schemas import history, sensors
from schemas.sensors import Value

from .tracking import Seen, Tracker

log = logging.getLogger(__name__)

LAST_PRINT = ("klippy", "last_print")  # the state document that tells of jobs
KLIPPER = ("klippy", "server")  # the one that tells when Klipper, and with it a job, has come to an end
GOING_ON = ("printing", "paused")
FILE = Path("printbus", "sensors.json")  # in the data folder: what was seen of the job, for after a restart
SAVE_EVERY = 60.0  # seconds

Values = Mapping[str, Value]
Known = Callable[[str], Values]


class Job:
    """Feeds trackers, by sensor, for as long as a job is going on; `known` gives a sensor's last values."""

    def __init__(self, bus: Bus, trackers: Mapping[str, list[Tracker]], known: Known) -> None:
        self._bus = bus
        self._trackers = trackers
        self._known = known
        self._path = bus.data / FILE
        self._id: list[Any] | None = None  # file name and when it began, Unix seconds
        self._state = ""
        self._remembered: dict[str, Any] = {}
        self._unsaid = self._unsaved = True

    async def run(self) -> None:
        """Follows jobs until cancelled."""
        if not any(self._trackers.values()):
            return
        self._remembered = await asyncio.to_thread(_read, self._path)
        self._bus.subscribe(self._bus.topics.state(*LAST_PRINT), self._on_last_print)
        self._bus.subscribe(self._bus.topics.klipper_delta, self._on_change)
        self._bus.subscribe(self._bus.topics.state(*KLIPPER), lambda *_: self.show())
        self.show()
        try:
            while True:
                await asyncio.sleep(SAVE_EVERY)
                await self._save()
        finally:
            await self._save()

    def take(self, sensor: str, values: Values) -> None:
        """A sensor has said something."""
        if self._state not in GOING_ON:
            return
        for tracker in self._trackers.get(sensor, ()):
            if tracker.settings.parameter in values:
                tracker.take(values[tracker.settings.parameter], paused=self._state == "paused")
                self._unsaid = self._unsaved = True

    def show(self) -> None:
        """Publishes what has changed since the last time."""
        if self._unsaid and any(self._trackers.values()):
            self._unsaid = False
            fields = [tracker.shown() for _, tracker in self._all()]
            topic = self._bus.topics.state(sensors.OWNER, history.JOB_DATA)
            self._bus.publish(topic, dumps(history.JobData(fields=fields)), retain=True)

    def _all(self) -> Iterator[tuple[str, Tracker]]:
        return ((sensor, tracker) for sensor, trackers in self._trackers.items() for tracker in trackers)

    def _on_last_print(self, _topic: str, payload: bytes) -> None:
        known = loads(payload) if payload else {}
        self._state = known.get("state") or ""
        if self._state in GOING_ON and self._id != [known["filename"], known["started"]]:
            self._id = [known["filename"], known["started"]]
            self._begin()

    def _on_change(self, _topic: str, payload: bytes) -> None:
        """The history hears of the end a little later, from the log; by then all has been said."""
        if "state" in loads(payload)["status"].get("print_stats", {}):
            self.show()

    def _begin(self) -> None:
        seen = self._remembered.get("seen", {}) if self._remembered.get("job") == self._id else {}
        for sensor, tracker in self._all():
            try:
                tracker.seen = Seen.restored(seen[sensor][tracker.name])
            except (KeyError, TypeError):
                tracker.begin(self._known(sensor).get(tracker.settings.parameter))
        self._remembered = {}
        self._unsaid = self._unsaved = True
        self.show()  # now: what was seen of the job before must not become this one's

    async def _save(self) -> None:
        """So that a restart in the middle of a job goes on with what was seen."""
        if self._id is None or not self._unsaved:
            return
        self._unsaved = False
        seen: dict[str, dict[str, Any]] = {}
        for sensor, tracker in self._all():
            seen.setdefault(sensor, {})[tracker.name] = tracker.seen.saved()
        try:
            await asyncio.to_thread(replace, self._path, dumps({"job": self._id, "seen": seen}))
        except OSError as error:
            log.warning("%s could not be written: %s", self._path, error.strerror)


def _read(path: Path) -> dict[str, Any]:
    """What was saved, nothing where that cannot be used; it blocks."""
    try:
        found = loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ParseError) as error:
        log.warning("%s cannot be used: %s", path, error)
        return {}
    return found if isinstance(found, dict) else {}
