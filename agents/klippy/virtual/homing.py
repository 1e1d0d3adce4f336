"""Homing: the machine finds its end stops from wherever the carriage happens to be."""

from .command import Command
from .coordinates import Coordinates
from .gcode import Gcode, Steps
from .motion import AXIS_MAXIMUM, AXIS_MINIMUM, Toolhead, as_position

HOMING_SPEED = (50.0, 50.0, 10.0)
RETRACT = 5.0
HOP = 5.0
HOP_SPEED = 15.0
SAFE_XY = (100.0, 100.0)
SAFE_SPEED = 50.0
LOST_CARRIAGE = (40.0, 30.0, 8.0)
"""How far from its end stop an axis is taken to be while it is not homed (mm)."""


class Homing:
    """G28 with a safe place for Z, as a bed-slinger with a probe does it."""

    def __init__(self, toolhead: Toolhead, coordinates: Coordinates) -> None:
        self._toolhead = toolhead
        self._coordinates = coordinates

    def register(self, gcode: Gcode) -> None:
        """Add G28."""
        gcode.register("G28", self._cmd_home)

    def _cmd_home(self, command: Command) -> Steps:
        wanted = [axis for axis in "XYZ" if axis in command.params] or list("XYZ")
        if "Z" in wanted:
            yield from self._hop()
        for axis in wanted:
            if axis == "Z":
                yield from self._go({0: SAFE_XY[0], 1: SAFE_XY[1]}, SAFE_SPEED)
            yield from self._home_axis("XYZ".index(axis))
        if "Z" in wanted:
            yield from self._hop()

    def _hop(self) -> Steps:
        """Lift the nozzle off the bed, also before anybody knows where it is."""
        yield from self._toolhead.wait()
        if "z" not in self._toolhead.homed:
            self._declare(2, 0.0)
        if self._toolhead.position[2] < HOP:
            yield from self._go({2: HOP}, HOP_SPEED)

    def _home_axis(self, axis: int) -> Steps:
        """Approach the end stop, back off, approach again at half the speed."""
        toolhead, speed = self._toolhead, HOMING_SPEED[axis]
        yield from toolhead.wait()
        distance = toolhead.position[axis] if "xyz"[axis] in toolhead.homed else LOST_CARRIAGE[axis]
        far = 1.5 * (AXIS_MAXIMUM[axis] - AXIS_MINIMUM[axis])
        self._declare(axis, far)
        yield from self._go({axis: far - max(distance, RETRACT)}, speed)
        self._declare(axis, 0.0)
        yield from self._go({axis: RETRACT}, speed)
        yield from self._go({axis: 0.0}, speed / 2)
        toolhead.homed.add("xyz"[axis])
        self._coordinates.homed("XYZ"[axis])

    def _declare(self, axis: int, value: float) -> None:
        position = list(self._toolhead.position)
        position[axis] = value
        self._toolhead.set_position(as_position(position))

    def _go(self, places: dict[int, float], speed: float) -> Steps:
        position = list(self._toolhead.position)
        for axis, value in places.items():
            position[axis] = value
        self._toolhead.move(as_position(position), speed)
        self._coordinates.resync()
        yield from self._toolhead.wait()
