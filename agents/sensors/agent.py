"""The sensor agent: answers for values and measurements, and tells once a second what has changed."""

import asyncio
from typing import TYPE_CHECKING

from bus.agent import Agent, Bus, Call, Host, implements
from bus.envelope import dumps
from bus.errors import InvalidParams
from schemas import sensors
from schemas.sensors import Value

from .job import Job
from .settings import SensorsSettings
from .tracking import Tracker

if TYPE_CHECKING:
    from .sensor import Sensor

INTERVAL = 1.0  # seconds between two measurements, and two notifications
DOCUMENT = "sensors"  # the state document

Values = dict[str, Value]


class Sensors(Agent):
    """Sensors of the configuration."""

    name = sensors.OWNER
    components = ("sensor",)
    optional = True
    settings_model = SensorsSettings
    settings: SensorsSettings

    def __init__(self, bus: Bus, settings: SensorsSettings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        self._sensors: dict[str, Sensor] = {}
        self._ready = asyncio.Event()
        self._told: dict[str, Values] = {}
        self._faults: dict[str, str | None] = {}
        trackers = {
            name: [Tracker(f"sensor {name}", field, kept) for field, kept in each.history_fields().items()]
            for name, each in settings.sensors.items()
        }
        self._job = Job(bus, trackers, lambda name: self._sensors[name].values)

    async def run(self) -> None:
        """Listens to sensors until cancelled."""
        from bus.templates import Templates  # with jinja2, which only those pay for who have sensors

        from .sensor import Sensor
        from .topic import Topic

        templates = await Templates.open(self.bus, self.host)
        for name, settings in self.settings.sensors.items():
            topic = Topic(settings, self.bus, self.host)
            self._sensors[name] = Sensor(name, settings, topic, templates, self._job.take)
        self._show()
        self._ready.set()
        async with asyncio.TaskGroup() as tasks:
            for sensor in self._sensors.values():
                tasks.create_task(sensor.run(), name=f"sensor {sensor.name}")
            tasks.create_task(self._measure(), name="sensors: seconds")
            tasks.create_task(self._job.run(), name="sensors: job")

    @implements(sensors.LIST)
    async def list_sensors(self, params: sensors.ExtendedParams, call: Call) -> sensors.Sensors:
        """From memory."""
        await self._ready.wait()
        return sensors.Sensors(
            sensors={name: each.shown(extended=params.extended) for name, each in self._sensors.items()}
        )

    @implements(sensors.INFO)
    async def info(self, params: sensors.SensorParams, call: Call) -> sensors.Sensor:
        """Raises InvalidParams for an unknown one."""
        return (await self._sensor(params.sensor)).shown(extended=params.extended)

    @implements(sensors.MEASUREMENTS)
    async def measurements(self, params: sensors.MeasurementParams, call: Call) -> dict[str, dict[str, list[float]]]:
        """Raises InvalidParams for an unknown one."""
        await self._ready.wait()
        wanted = [await self._sensor(params.sensor)] if params.sensor else self._sensors.values()
        return {sensor.name: sensor.measurements() for sensor in wanted}

    async def _sensor(self, name: str) -> "Sensor":
        await self._ready.wait()
        if name not in self._sensors:
            raise InvalidParams(f"No sensor is called '{name}'; known: {', '.join(self._sensors)}")
        return self._sensors[name]

    # -- every second

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += INTERVAL
            await asyncio.sleep(due - loop.time())
            for sensor in self._sensors.values():
                sensor.sample()
            self._tell()
            self._job.show()

    def _tell(self) -> None:
        """What has changed since it was told last."""
        changed = {
            name: dict(each.values) for name, each in self._sensors.items() if each.values != self._told.get(name, {})
        }
        if changed:
            self._told |= changed
            self.notify(sensors.UPDATED, [changed])
        if changed or any(each.fault != self._faults[name] for name, each in self._sensors.items()):
            self._show()

    def _show(self) -> None:
        document = sensors.Readings(sensors={name: each.reading() for name, each in self._sensors.items()})
        self.bus.publish(self.bus.topics.state(self.name, DOCUMENT), dumps(document), retain=True)
        for name, sensor in self._sensors.items():
            if self.host is not None and self._faults.get(name, "") != sensor.fault:
                self.host.warn(f"sensor {name}", sensor.fault and f"Sensor {name}: {sensor.fault}")
            self._faults[name] = sensor.fault
