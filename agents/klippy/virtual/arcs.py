"""Arcs: G2 and G3 in the XY plane, drawn as short straight moves."""

import math

from .command import Command, CommandError
from .coordinates import Coordinates
from .gcode import Gcode, Steps

RESOLUTION = 1.0
"""Millimetres of arc drawn as one straight move."""
FULL_TURN = 2 * math.pi


class Arcs:
    """Arcs given by their centre (I J); the height and the filament are spread evenly."""

    def __init__(self, gcode: Gcode, coordinates: Coordinates) -> None:
        self._gcode = gcode
        self._coordinates = coordinates

    def register(self) -> None:
        """Add the commands."""
        self._gcode.register("G17", lambda _: None)
        self._gcode.register("G2", self._cmd_arc)
        self._gcode.register("G3", self._cmd_arc)

    def _cmd_arc(self, command: Command) -> Steps:
        if not self._coordinates.frame.absolute:
            raise CommandError("G2/G3 does not support relative move mode")
        if "R" in command.params:
            raise CommandError("G2/G3 does not support R moves")
        i, j = command.number("I", 0.0), command.number("J", 0.0)
        if not i and not j:
            raise CommandError("G2/G3 requires IJ parameters")
        return self._gcode.run_script("\n".join(self._lines(command, i, j)))

    def _lines(self, command: Command, i: float, j: float) -> list[str]:
        x, y, z, e = self._coordinates.gcode_position()
        end = [command.number("X", x), command.number("Y", y), command.number("Z", z)]
        centre, radius = (x + i, y + j), math.hypot(i, j)
        first = math.atan2(-j, -i)
        turn = _turn(first, math.atan2(end[1] - centre[1], end[0] - centre[0]), clockwise=command.name == "G2")
        count = max(1, int(abs(turn) * radius / RESOLUTION))
        feed = f" F{command.text('F')}" if "F" in command.params else ""
        fed = self._fed(command, e, count)
        angles = (first + turn * step / count for step in range(1, count))
        places = [(centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in angles]
        places.append((end[0], end[1]))
        return [
            f"G1 X{px:.5f} Y{py:.5f} Z{z + (end[2] - z) * step / count:.5f}{fed[step - 1]}{feed}"
            for step, (px, py) in enumerate(places, 1)
        ]

    def _fed(self, command: Command, e: float, count: int) -> list[str]:
        """The E word of each move: shares if extrusion is relative, places on the way if it is absolute."""
        if "E" not in command.params:
            return [""] * count
        target = command.number("E")
        if not self._coordinates.frame.absolute_extrude:
            return [f" E{target / count:.6f}"] * count
        return [f" E{e + (target - e) * step / count:.6f}" for step in range(1, count + 1)]


def _turn(first: float, last: float, *, clockwise: bool) -> float:
    """The signed angle from one direction to another; a whole turn if they are the same."""
    turn = (last - first) % FULL_TURN or FULL_TURN
    return turn - FULL_TURN if clockwise and turn < FULL_TURN else -turn if clockwise else turn
