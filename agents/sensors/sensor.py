"""One sensor: what its topic says, what its template makes of that, and what it was lately."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from math import isfinite

from bus.mandate import Mandate
from bus.templates import TemplateError, Templates
from schemas import Permission
from schemas.sensors import Reading, Value
from schemas.sensors import Sensor as Shown

from .settings import SensorSettings
from .topic import Topic

log = logging.getLogger(__name__)

STORED = 1200  # numbers of a parameter, one a second
MAX_PARAMETERS = 64
MAX_NAME, MAX_TEXT = 128, 1024  # characters
MAX_WAITING = 64  # messages whose template has not been rendered; with one more, the oldest is dropped
TEMPLATE = "state_response_template"

Values = Mapping[str, Value]
Taken = Callable[[str, Values], None]


class Sensor:
    """A sensor's values; `taken` is called with what each message has set."""

    def __init__(self, name: str, settings: SensorSettings, topic: Topic, templates: Templates, taken: Taken) -> None:
        self.name = name
        self.settings = settings
        self.values: dict[str, Value] = {}
        self.fault: str | None = None
        self._topic = topic
        self._taken = taken
        self._stored: dict[str, deque[float]] = {}
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._flooded = False
        self._came = asyncio.Event()
        mandate = Mandate(f"sensor {name} {TEMPLATE}", frozenset({Permission.READ}))
        self._template = templates.template(settings.state_response_template, mandate)

    async def run(self) -> None:
        """Takes what its topic says, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._topic.follow(self._on_message, self._fail), name=f"sensor {self.name}: topic")
            tasks.create_task(self._render(), name=f"sensor {self.name}: template")

    async def _render(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                await self._take(self._waiting.popleft())
                await asyncio.sleep(0)  # a template may give nobody else a turn
            self._flooded = False

    def sample(self) -> None:
        """Keeps the numbers of this second, true and false as 1 and 0."""
        for name, value in self.values.items():
            if not isinstance(value, str):
                number = int(value) if isinstance(value, bool) else value
                self._stored.setdefault(name, deque(maxlen=STORED)).append(number)

    def measurements(self) -> dict[str, list[float]]:
        """What was kept, oldest first."""
        return {name: list(values) for name, values in self._stored.items()}

    def reading(self) -> Reading:
        """As its state document has it."""
        return Reading(**dict(self.shown(extended=True)), fault=self.fault)

    def shown(self, *, extended: bool) -> Shown:
        """As clients know it."""
        settings = self.settings
        shown = Shown(
            id=self.name, friendly_name=settings.name or self.name, type=settings.type, values=dict(self.values)
        )
        if not extended:
            return shown
        fields = [each.shown(name, self.name) for name, each in settings.history_fields().items()]
        return shown.model_copy(update={"parameter_info": settings.parameter_info(), "history_fields": fields})

    def _on_message(self, payload: bytes) -> None:
        if len(self._waiting) == MAX_WAITING and not self._flooded:
            log.warning("sensor %s: %d messages wait already; the oldest are dropped", self.name, MAX_WAITING)
            self._flooded = True
        self._waiting.append(payload.decode(errors="replace"))
        self._came.set()

    async def _take(self, payload: str) -> None:
        found: dict[str, Value] = {}

        def set_result(name: str, value: Value) -> None:
            found[_name(name)] = _value(value)
            if len(self.values.keys() | found.keys()) > MAX_PARAMETERS:
                raise ValueError(f"a sensor has at most {MAX_PARAMETERS} values")

        try:
            await self._template.render(payload=payload, set_result=set_result)
        except TemplateError as error:
            return self._fail(str(error).removeprefix(f"sensor {self.name} "))
        self._fail(None)
        self.values |= found
        return self._taken(self.name, found)

    def _fail(self, reason: str | None) -> None:
        """Why nothing comes, or what comes is of no use, which is logged once; None: it is well again."""
        if reason is not None and reason != self.fault:
            log.warning("sensor %s: %s", self.name, reason)
        self.fault = reason


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"set_result: a name has 1 to {MAX_NAME} characters")
    return name


def _value(value: object) -> Value:
    if isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return str(value)
    raise ValueError(f"set_result: a value is a finite number, true, false or a text of at most {MAX_TEXT} characters")
