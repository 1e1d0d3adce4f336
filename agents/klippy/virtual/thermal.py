"""Heat: a first-order model of each heater under proportional control, and the sensors that follow it."""

import math

from .command import CommandError

AMBIENT = 22.0
STEP = 0.25
LONGEST_INTEGRATION = 600.0
"""Simulated seconds; after a longer gap a regulated heater is taken to be at its target."""
GAIN = 0.2
"""Power per degree below the target, on top of what holds the target."""
SETTLED = 1.0
"""A wait for a heater ends this many degrees below its target."""
RIPPLE = 0.02
CHAMBER_SHARE = 0.15
"""How much of the bed's excess over ambient reaches the chamber."""


def ripple(moment: float, phase: float) -> float:
    """The noise of a sensor in degrees: repeatable, but different at every reading."""
    return RIPPLE * math.sin(moment * 7.3 + phase * 2.1) * math.cos(moment * 3.1)


class Heater:
    """A body that gains `rate` degrees a second at full power and loses `loss` of its excess over ambient."""

    def __init__(self, limits: tuple[float, float], rate: float, loss: float) -> None:
        self.minimum, self.maximum = limits
        self.temperature = AMBIENT
        self.target = 0.0
        self.power = 0.0
        self._rate = rate
        self._loss = loss
        self._moment = 0.0

    def set_target(self, degrees: float) -> None:
        """Aim at a temperature; 0 turns the heater off."""
        if degrees and not self.minimum <= degrees <= self.maximum:
            bounds = f"({self.minimum:.1f}:{self.maximum:.1f})"
            raise CommandError(f"Requested temperature ({degrees:.1f}) out of range {bounds}")
        self.target = degrees

    def advance(self, moment: float) -> None:
        """Bring the model up to a moment of simulated time."""
        elapsed, self._moment = moment - self._moment, max(moment, self._moment)
        if self.target and elapsed > LONGEST_INTEGRATION:
            self.temperature, elapsed = max(self.target, AMBIENT), STEP
        while elapsed > 0:
            step = min(elapsed, STEP) if self.target else elapsed
            self._integrate(step)
            elapsed -= step

    def _integrate(self, seconds: float) -> None:
        """One exact step of the linear model for the regime (off, full, regulated) at its start."""
        hold = self._loss * (self.target - AMBIENT) / self._rate
        wanted = hold + GAIN * (self.target - self.temperature) if self.target else 0.0
        self.power = min(1.0, max(0.0, wanted))
        if self.power == wanted and self.target:
            goal, pace = self.target, self._loss + self._rate * GAIN
        else:
            goal, pace = AMBIENT + self._rate * self.power / self._loss, self._loss
        self.temperature = goal + (self.temperature - goal) * math.exp(-pace * seconds)

    @property
    def heating(self) -> bool:
        """Whether a wait for this heater should go on."""
        return self.target > 0 and self.temperature < self.target - SETTLED


class Heat:
    """Every heater and sensor of the machine, by object name; all temperatures in degrees Celsius."""

    def __init__(self) -> None:
        self.heaters = {
            "heater_bed": Heater((0.0, 130.0), rate=2.5, loss=0.01),
            "heater_generic chamber_heater": Heater((0.0, 80.0), rate=0.8, loss=0.008),
            "extruder": Heater((0.0, 300.0), rate=8.0, loss=0.012),
        }
        self._extremes: dict[str, tuple[float, float]] = {}
        self._moment = 0.0

    def advance(self, moment: float) -> None:
        """Bring every heater up to a moment of simulated time."""
        self._moment = moment
        for heater in self.heaters.values():
            heater.advance(moment)

    def restart(self) -> None:
        """A new life of the printer begins with everything off."""
        self.turn_off()
        self._extremes.clear()

    def turn_off(self) -> None:
        """All targets to 0."""
        for heater in self.heaters.values():
            heater.target = 0.0

    def read(self, name: str) -> float:
        """What the sensor of an object shows; KeyError for an unknown one."""
        if name in self.heaters:
            phase = float(len(name))
            return round(self.heaters[name].temperature + ripple(self._moment, phase), 2)
        if name == "temperature_sensor ambient_combined":
            return round((self.read("temperature_sensor chamber") + self.read("temperature_fan host_fan")) / 2, 2)
        return round(self._sensors()[name] + ripple(self._moment, float(len(name))), 2)

    def _sensors(self) -> dict[str, float]:
        bed = self.heaters["heater_bed"].temperature
        warm = self.heaters["heater_generic chamber_heater"].temperature
        return {
            "temperature_sensor chamber": AMBIENT + CHAMBER_SHARE * (bed - AMBIENT) + 0.8 * (warm - AMBIENT),
            "temperature_fan host_fan": AMBIENT + 5.0,
            "temperature_sensor host": AMBIENT + 23.0,
            "z_thermal_adjust": AMBIENT + 6.0,
        }

    def heater_status(self, name: str) -> dict[str, object]:
        """Temperature, target and power of a heater."""
        heater = self.heaters[name]
        return {"temperature": self.read(name), "target": heater.target, "power": round(heater.power, 3)}

    def sensor_status(self, name: str) -> dict[str, object]:
        """Temperature of a sensor with the extremes seen so far."""
        now = self.read(name)
        low, high = self._extremes.get(name, (now, now))
        self._extremes[name] = low, high = min(low, now), max(high, now)
        return {"temperature": now, "measured_min_temp": low, "measured_max_temp": high}
