"""The data store agent: samples the sensors, listens to the console, and answers with what was lately."""

import asyncio
import logging
from typing import Any

import orjson
from pydantic import Field

from bus.agent import Agent, Bus, Call, Host, Raw, Settings, implements
from bus.clock import SYSTEM, Clock
from bus.envelope import dumps
from bus.errors import BusError
from schemas import datastore, printer

from .console import ConsoleLog, Kind
from .readings import HEATERS, Readings, Status, is_whole
from .storage import Storage
from .temperatures import Temperatures

log = logging.getLogger(__name__)

FILE = ("printbus", "datastore")  # in the data folder
SAVE_EVERY = 60.0  # seconds
HOLD = 90  # seconds for which the last values stand in for unknown ones: a restart is no hole
DAMAGED = (ValueError, TypeError, LookupError, AttributeError, OverflowError)  # what another content than ours raises


class DataStoreSettings(Settings):
    """How much is kept."""

    temperature_store_size: int = Field(1200, ge=1, le=86_400, description="Values of each sensor, one a second.")
    gcode_store_size: int = Field(1000, ge=0, le=100_000, description="Lines of the console.")


class DataStore(Agent):
    """Recent temperatures and console lines."""

    name = "datastore"
    components = ("data_store",)
    settings_model = DataStoreSettings
    settings: DataStoreSettings

    def __init__(self, bus: Bus, settings: DataStoreSettings, host: Host | None = None, clock: Clock = SYSTEM) -> None:
        super().__init__(bus, settings, host)
        self._clock = clock
        self._storage = Storage(bus.data.joinpath(*FILE))
        self._temperatures = Temperatures(settings.temperature_store_size)
        self._console = ConsoleLog(settings.gcode_store_size)
        self._readings = Readings()
        self._restored = asyncio.Event()
        self._wanted = asyncio.Event()  # Klipper is there, and its sensors are not known
        self._away = 0  # seconds without Klipper
        self._sampled = clock.wall()
        self._unsaved = False
        self._shown: dict[bool, Raw] = {}  # answers of this second, by include_monitors

    async def run(self) -> None:
        """Samples and saves until cancelled, then saves once more."""
        await self._restore()
        topics = self.bus.topics
        self.bus.subscribe(topics.klipper_delta, self._on_delta)
        self.bus.subscribe(topics.notify(printer.GCODE_RESPONSE.name), self._on_response)
        self.bus.subscribe(topics.klipper_gcode, self._on_gcode)
        self.bus.subscribe(topics.state(printer.OWNER, "server"), self._on_printer)
        self.bus.subscribe(topics.agent(printer.OWNER), self._on_printer_agent)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._sample(), name="datastore: samples")
                tasks.create_task(self._save_regularly(), name="datastore: file")
                tasks.create_task(self._ask(), name="datastore: sensors")
        finally:
            await self._save()

    # -- what is answered

    @implements(datastore.TEMPERATURES)
    async def temperatures(self, params: datastore.TemperatureParams, call: Call) -> Raw:
        """Made once a second, however many ask."""
        await self._restored.wait()
        shown = self._shown.get(params.include_monitors)
        if shown is None:
            shown = Raw(dumps(self._temperatures.shown(monitors=params.include_monitors)))
            self._shown[params.include_monitors] = shown
        return shown

    @implements(datastore.CONSOLE)
    async def console(self, params: datastore.ConsoleParams, call: Call) -> Raw:
        """From memory."""
        await self._restored.wait()
        lines = self._console.newest(params.count)
        return Raw(
            dumps({"gcode_store": [{"message": text, "time": time, "type": kind} for time, kind, text in lines]})
        )

    # -- what is heard

    def _on_delta(self, _topic: str, payload: bytes) -> None:
        change = orjson.loads(payload)
        self._merge(change["revision"], change["status"], whole=is_whole(change["status"]))

    def _merge(self, revision: int, status: Status, *, whole: bool) -> None:
        readings = self._readings
        readings.merge(revision, status)
        if whole and readings.sensors:
            readings.complete = True
            self._temperatures.offer(readings.fields(), readings.monitors)
            self._shown.clear()

    def _on_response(self, _topic: str, payload: bytes) -> None:
        self._add("response", orjson.loads(payload)["params"][0])

    def _on_gcode(self, _topic: str, payload: bytes) -> None:
        self._add("command", orjson.loads(payload)["script"])

    def _add(self, kind: Kind, text: str) -> None:
        self._console.add(self._clock.wall(), kind, text)
        self._unsaved = True

    def _on_printer(self, _topic: str, payload: bytes) -> None:
        if not payload or not orjson.loads(payload)["klippy_connected"]:
            self._readings = Readings()
        elif not self._readings.complete:
            self._wanted.set()

    def _on_printer_agent(self, _topic: str, payload: bytes) -> None:
        if not payload or not orjson.loads(payload)["alive"]:
            self._readings = Readings()

    async def _ask(self) -> None:
        """Asks for the sensors where Klipper was there before us; later they come with its changes."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._take(HEATERS)
                await self._take(*self._readings.sensors, *self._readings.monitors)
            except BusError as error:
                log.debug("Klipper's sensors are not known yet: %s", error)

    async def _take(self, *names: str) -> None:
        found = await self.bus.call(printer.OBJECTS_SUBSCRIBE.name, {"objects": dict.fromkeys(names)})
        self._merge(found["revision"], found["status"], whole=HEATERS not in names)

    # -- every second

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += 1
            await asyncio.sleep(due - loop.time())
            self._second()

    def _second(self) -> None:
        self._sampled = self._clock.wall()
        self._shown.clear()
        if self._readings.complete:
            self._away = 0
            self._temperatures.sample(self._readings.values)
            self._unsaved = True
        else:
            self._away += 1
            self._pass(self._away)

    def _pass(self, unknown: int) -> None:
        """A second of which nothing is known, the so-many-th in a row."""
        if unknown <= HOLD:
            self._temperatures.hold()
        else:
            self._temperatures.blank()

    # -- the file

    async def _restore(self) -> None:
        try:
            saved = await asyncio.to_thread(self._storage.read)
            if saved is not None:
                self._take_over(saved)
        except (OSError, *DAMAGED) as error:
            log.warning("%s cannot be used, the stores begin empty: %s", self._storage.path, error)
        self._restored.set()

    def _take_over(self, saved: dict[str, Any]) -> None:
        self._temperatures.restore(saved["sensors"], saved["monitors"])
        self._console.restore(saved["console"])
        self._away = max(int(self._clock.wall() - saved["sampled"]), 0)
        for _ in range(min(self._away, self.settings.temperature_store_size)):
            self._pass(self._away)

    async def _save_regularly(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            await self._save()

    async def _save(self) -> None:
        """Writes where there is anything new."""
        if not self._unsaved:
            return
        self._unsaved = False
        content = {
            "sampled": self._sampled,
            "sensors": self._temperatures.saved(),
            "monitors": sorted(self._temperatures.monitors),
            "console": list(self._console.newest()),
        }
        try:
            await asyncio.to_thread(self._storage.write, content)
        except OSError as error:
            self._unsaved = True
            log.warning("%s could not be written: %s", self._storage.path, error)
