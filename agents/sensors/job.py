"""The job that is going on, and the document in which the history finds what sensors have said during it."""

from collections.abc import Callable, Mapping
from typing import Any

from bus.agent import Bus
from bus.envelope import dumps, loads
from schemas import history, sensors
from schemas.sensors import Value

from .tracking import Tracker

LAST_PRINT = ("klippy", "last_print")  # the state document that tells of jobs
GOING_ON = ("printing", "paused")

Values = Mapping[str, Value]
Known = Callable[[str], Values]


class Job:
    """Feeds trackers, by sensor, for as long as a job is going on; `known` gives a sensor's last values."""

    def __init__(self, bus: Bus, trackers: Mapping[str, list[Tracker]], known: Known) -> None:
        self._bus = bus
        self._trackers = trackers
        self._known = known
        self._id: tuple[Any, ...] | None = None
        self._state = ""
        self._unsaid = True

    def start(self) -> None:
        """Follows jobs; what is known is shown before the history hears of an end."""
        if any(self._trackers.values()):
            self._bus.subscribe(self._bus.topics.state(*LAST_PRINT), self._on_last_print)
            self._bus.subscribe(self._bus.topics.klipper_delta, self._on_change)
            self.show()

    def take(self, sensor: str, values: Values) -> None:
        """A sensor has said something."""
        if self._state not in GOING_ON:
            return
        for tracker in self._trackers.get(sensor, ()):
            if tracker.settings.parameter in values:
                tracker.take(values[tracker.settings.parameter], paused=self._state == "paused")
                self._unsaid = True

    def show(self) -> None:
        """Publishes what has changed since the last time."""
        if self._unsaid and any(self._trackers.values()):
            self._unsaid = False
            fields = [tracker.shown() for trackers in self._trackers.values() for tracker in trackers]
            topic = self._bus.topics.state(sensors.OWNER, history.JOB_DATA)
            self._bus.publish(topic, dumps(history.JobData(fields=fields)), retain=True)

    def _on_last_print(self, _topic: str, payload: bytes) -> None:
        known = loads(payload) if payload else {}
        self._state = known.get("state") or ""
        if self._state in GOING_ON and self._id != (known["filename"], known["started"]):
            self._id = known["filename"], known["started"]
            self._begin()

    def _on_change(self, _topic: str, payload: bytes) -> None:
        if "state" in loads(payload)["status"].get("print_stats", {}):
            self.show()

    def _begin(self) -> None:
        for sensor, trackers in self._trackers.items():
            values = self._known(sensor)
            for tracker in trackers:
                tracker.begin(values.get(tracker.settings.parameter))
        self._unsaid = True
