"""The g-code coordinate state: absolute and relative moves, offsets, factors, and saved states."""

import copy

from .command import Command, CommandError, finite
from .exclusion import Exclusion
from .gcode import Gcode, Steps
from .motion import Toolhead, as_position
from .thermal import Heat

AXES = "XYZE"
MM_PER_MINUTE = 1.0 / 60.0
INCH = 25.4
MIN_EXTRUDE_TEMP = 170.0
MAX_EXTRUDE_ONLY_DISTANCE = 100.0


class Frame:
    """What SAVE_GCODE_STATE saves; lists are x y z e, `speed` is mm/s with the override in it."""

    def __init__(self) -> None:
        self.absolute = True
        self.absolute_extrude = True
        self.base = [0.0] * 4
        self.last = [0.0] * 4
        self.origin = [0.0] * 4
        self.speed = 25.0
        self.speed_factor = MM_PER_MINUTE
        self.extrude_factor = 1.0


class Coordinates:
    """Turns g-code moves into toolhead moves."""

    def __init__(self, toolhead: Toolhead, heat: Heat, exclusion: Exclusion) -> None:
        self.frame = Frame()
        self._toolhead = toolhead
        self._heat = heat
        self._exclusion = exclusion
        self._extrusion = 0.0
        self._saved: dict[str, Frame] = {}

    def register(self, gcode: Gcode) -> None:
        """Add the commands."""
        gcode.on_error.append(self.resync)
        table = {
            "G0": self._cmd_move, "G1": self._cmd_move, "G20": self._cmd_inches, "G21": lambda _: None,
            "M82": self._cmd_extrude_mode, "M83": self._cmd_extrude_mode, "G90": self._cmd_mode, "G91": self._cmd_mode,
            "G92": self._cmd_set_position, "M114": lambda _: gcode.respond(self._position_line()),
            "M220": self._cmd_speed_factor, "M221": self._cmd_extrude_factor,
        }  # fmt: skip
        for name, handler in table.items():
            gcode.register(name, handler)
        gcode.register("SET_GCODE_OFFSET", self._cmd_offset, "Shift the coordinates that g-code uses")
        gcode.register("SAVE_GCODE_STATE", self._cmd_save, "Remember the coordinate state under a name")
        gcode.register("RESTORE_GCODE_STATE", self._cmd_restore, "Return to a remembered coordinate state")
        gcode.register("GET_POSITION", lambda _: gcode.respond_info(self._position_report()), "Tell where the tool is")

    def resync(self) -> None:
        """Take the toolhead's position as the last one (after an error or homing)."""
        self.frame.last = list(self._toolhead.position)

    def homed(self, axes: str) -> None:
        """Homing drops the offsets of these axes (capitals), except the one set by SET_GCODE_OFFSET."""
        self.resync()
        for axis in axes:
            index = AXES.index(axis)
            self.frame.base[index] = self.frame.origin[index]

    def extrusion(self) -> float:
        """Millimetres of filament that moves asked for so far, before the extrude factor."""
        return self._extrusion

    def _cmd_move(self, command: Command) -> Steps | None:
        params, frame = command.params, self.frame
        before = frame.last[3]
        try:
            for index, axis in enumerate("XYZ"):
                if axis in params:
                    start = frame.base[index] if frame.absolute else frame.last[index]
                    frame.last[index] = start + finite(params[axis])
            if "E" in params:
                absolute = frame.absolute and frame.absolute_extrude
                fed = finite(params["E"]) * frame.extrude_factor
                frame.last[3] = fed + (frame.base[3] if absolute else frame.last[3])
            if "F" in params:
                self._set_speed(finite(params["F"]), command)
        except ValueError:
            raise CommandError(f"Unable to parse move '{command.line}'") from None
        steps = self.travel(frame.speed)
        self._extrusion += (frame.last[3] - before) / frame.extrude_factor
        return steps

    def _set_speed(self, per_minute: float, command: Command) -> None:
        if per_minute <= 0:
            raise CommandError(f"Invalid speed in '{command.line}'")
        self.frame.speed = per_minute * self.frame.speed_factor

    def travel(self, speed: float) -> Steps | None:
        """Move the tool to the last position; the wait that keeps the plan short, if one is due."""
        target = as_position(self.frame.last)
        toolhead = self._toolhead
        if self._exclusion.skips(target, toolhead):
            return None
        toolhead.check(target)
        if target[3] != toolhead.position[3]:
            self._check_extrusion(target[3] - toolhead.position[3], target[:3] != toolhead.position[:3])
        toolhead.move(target, speed)
        return toolhead.throttle()

    def _check_extrusion(self, fed: float, travelling: bool) -> None:
        self._heat.advance(self._toolhead.simulated())
        if not self.can_extrude():
            raise CommandError("Extrude below minimum temp\nSee the 'min_extrude_temp' config option for details")
        if not travelling and abs(fed) > MAX_EXTRUDE_ONLY_DISTANCE:
            raise CommandError(
                f"Extrude only move too long ({fed:.3f}mm vs {MAX_EXTRUDE_ONLY_DISTANCE:.3f}mm)\n"
                "See the 'max_extrude_only_distance' config option for details"
            )

    def can_extrude(self) -> bool:
        """Whether the nozzle is hot enough."""
        return self._heat.heaters["extruder"].temperature >= MIN_EXTRUDE_TEMP

    def _cmd_inches(self, _command: Command) -> None:
        raise CommandError("Machine does not support G20 (inches) command")

    def _cmd_mode(self, command: Command) -> None:
        self.frame.absolute = command.name == "G90"

    def _cmd_extrude_mode(self, command: Command) -> None:
        self.frame.absolute_extrude = command.name == "M82"

    def _cmd_set_position(self, command: Command) -> None:
        frame = self.frame
        offsets = [command.optional(axis) for axis in AXES]
        for index, value in enumerate(offsets):
            if value is not None:
                frame.base[index] = frame.last[index] - value * (frame.extrude_factor if index == 3 else 1.0)
        if offsets == [None] * 4:
            frame.base = list(frame.last)

    def _cmd_speed_factor(self, command: Command) -> None:
        factor = command.number("S", 100.0, minimum=0.001) / 100.0 * MM_PER_MINUTE
        self.frame.speed *= factor / self.frame.speed_factor
        self.frame.speed_factor = factor

    def _cmd_extrude_factor(self, command: Command) -> None:
        frame = self.frame
        factor = command.number("S", 100.0, minimum=0.001) / 100.0
        fed = (frame.last[3] - frame.base[3]) / frame.extrude_factor
        frame.base[3] = frame.last[3] - fed * factor
        frame.extrude_factor = factor

    def _cmd_offset(self, command: Command) -> Steps | None:
        frame, moved = self.frame, [0.0] * 4
        for index, axis in enumerate(AXES):
            offset = command.optional(axis)
            if offset is None:
                offset = frame.origin[index] + command.number(f"{axis}_ADJUST", 0.0)
            moved[index] = offset - frame.origin[index]
            frame.base[index] += moved[index]
            frame.origin[index] = offset
        if not command.integer("MOVE", 0):
            return None
        frame.last = [a + b for a, b in zip(frame.last, moved, strict=True)]
        return self.travel(command.number("MOVE_SPEED", frame.speed, minimum=0.001))

    def _cmd_save(self, command: Command) -> None:
        self.save(command.text("NAME", "default"))

    def save(self, name: str) -> None:
        """Remember the state under a name."""
        self._saved[name] = copy.deepcopy(self.frame)

    def _cmd_restore(self, command: Command) -> Steps | None:
        speed = command.number("MOVE_SPEED", self.frame.speed, minimum=0.001) if command.integer("MOVE", 0) else None
        return self.restore(command.text("NAME", "default"), speed)

    def restore(self, name: str, speed: float | None) -> Steps | None:
        """Return to a remembered state; with a speed, also move back to where it was."""
        saved = self._saved.get(name)
        if saved is None:
            raise CommandError(f"Unknown g-code state: {name}")
        frame, here = copy.deepcopy(saved), self.frame.last
        frame.base[3] += here[3] - frame.last[3]
        there, frame.last = frame.last, list(here)
        self.frame = frame
        if speed is None:
            return None
        frame.last[:3] = there[:3]
        return self.travel(speed)

    def gcode_position(self) -> list[float]:
        """Where the tool will be, in the coordinates that g-code uses."""
        frame = self.frame
        x, y, z, e = (a - b for a, b in zip(frame.last, frame.base, strict=True))
        return [x, y, z, e / frame.extrude_factor]

    def _position_line(self) -> str:
        return " ".join(f"{axis}:{value:.3f}" for axis, value in zip(AXES, self.gcode_position(), strict=True))

    def _position_report(self) -> str:
        tool = " ".join(f"{a}:{v:.6f}" for a, v in zip(AXES, self._toolhead.position, strict=True))
        code = " ".join(f"{a}:{v:.6f}" for a, v in zip(AXES, self.frame.last, strict=True))
        return f"toolhead: {tool}\ngcode: {code}"

    def status(self, _now: float) -> dict[str, object]:
        """The `gcode_move` object."""
        frame = self.frame
        return {
            "speed_factor": frame.speed_factor / MM_PER_MINUTE,
            "speed": frame.speed / frame.speed_factor,
            "extrude_factor": frame.extrude_factor,
            "absolute_coordinates": frame.absolute,
            "absolute_extrude": frame.absolute_extrude,
            "homing_origin": list(frame.origin),
            "position": list(frame.last),
            "gcode_position": self.gcode_position(),
            "axis_map": {"X": 0, "Y": 1, "Z": 2, "E": 3},
        }
