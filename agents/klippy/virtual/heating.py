"""The commands about heat: setting targets, waiting for them, and the temperature report."""

from collections.abc import Callable

from .clock import Clock
from .command import Command
from .gcode import Gcode, Steps
from .thermal import Heat

POLL = 0.5
"""Simulated seconds between two looks at a heater that is being waited for."""
REPORT_INTERVAL = 1.0
"""Real seconds between two temperature reports while waiting."""
REPORTED = (
    ("B", "heater_bed"),
    ("C", "heater_generic chamber_heater"),
    ("CH", "temperature_sensor chamber"),
    ("T0", "extruder"),
)


class Heating:
    """Heater commands over the thermal model."""

    def __init__(self, heat: Heat, clock: Clock, extend_activity: Callable[[float], None]) -> None:
        self._heat = heat
        self._clock = clock
        self._extend_activity = extend_activity
        self._respond: Callable[[str], None] = lambda _: None
        self._reported = 0.0

    def register(self, gcode: Gcode) -> None:
        """Add the commands."""
        self._respond = gcode.respond
        gcode.register("M105", lambda _: self._report(), always=True)
        for heater, sets, waits in (("extruder", "M104", "M109"), ("heater_bed", "M140", "M190")):
            gcode.register(sets, self._setter(heater, waits=False))
            gcode.register(waits, self._setter(heater, waits=True))
        gcode.register("SET_HEATER_TEMPERATURE", self._cmd_set, "Set what a heater aims at")
        gcode.register("TURN_OFF_HEATERS", lambda _: self._heat.turn_off(), "Set every heater to 0")
        gcode.register("TEMPERATURE_WAIT", self._cmd_wait, "Wait until a sensor is within bounds")

    def _setter(self, heater: str, *, waits: bool) -> Callable[[Command], Steps | None]:
        def run(command: Command) -> Steps | None:
            self._now()
            self._heat.heaters[heater].set_target(command.number("S", 0.0))
            return self._until(lambda: not self._heat.heaters[heater].heating) if waits else None

        return run

    def _cmd_set(self, command: Command) -> None:
        wanted = command.text("HEATER")
        for name, heater in self._heat.heaters.items():
            if wanted in (name, name.rpartition(" ")[2]):
                self._now()
                heater.set_target(command.number("TARGET", 0.0))
                return
        raise command.unknown_value("HEATER")

    def _cmd_wait(self, command: Command) -> Steps:
        sensor = command.text("SENSOR")
        low, high = command.number("MINIMUM", float("-inf")), command.number("MAXIMUM", float("inf"))
        if low == float("-inf") and high == float("inf"):
            raise command.error("missing MINIMUM or MAXIMUM")
        try:
            self._heat.read(sensor)
        except KeyError:
            raise command.error(f"unknown sensor {sensor}") from None
        return self._until(lambda: low <= self._heat.read(sensor) <= high)

    def _until(self, satisfied: Callable[[], bool]) -> Steps:
        self._now()
        while not satisfied():
            self._extend_activity(self._clock.simulated() + POLL)
            self._report_now_and_then()
            yield POLL
            self._now()

    def _now(self) -> None:
        self._heat.advance(self._clock.simulated())

    def _report_now_and_then(self) -> None:
        if self._clock.now() - self._reported >= REPORT_INTERVAL:
            self._report()

    def _report(self) -> None:
        self._reported = self._clock.now()
        self._now()
        self._respond(" ".join(self._reading(code, name) for code, name in REPORTED))

    def _reading(self, code: str, name: str) -> str:
        heater = self._heat.heaters.get(name)
        return f"{code}:{self._heat.read(name):.1f} /{heater.target if heater else 0.0:.1f}"
