"""The extruder's own settings: pressure advance, and retraction by firmware."""

from .command import Command
from .gcode import Gcode, Steps

MM_PER_S = 60


class Extruder:
    """The parts of `extruder` that are not heat, and the `firmware_retraction` object."""

    def __init__(self, gcode: Gcode) -> None:
        self._gcode = gcode
        self._advance = 0.0
        self._smooth_time = 0.04
        self._retraction = {
            "retract_length": 0.0,
            "retract_speed": 20.0,
            "unretract_extra_length": 0.0,
            "unretract_speed": 10.0,
        }
        self._retracted = False

    def register(self) -> None:
        """Add the commands."""
        self._gcode.register("SET_PRESSURE_ADVANCE", self._cmd_advance, "Set the pressure advance of the extruder")
        self._gcode.register("SET_RETRACTION", self._cmd_set_retraction, "Set how G10 and G11 retract")
        self._gcode.register("GET_RETRACTION", self._cmd_get_retraction, "Tell how G10 and G11 retract")
        self._gcode.register("G10", self._cmd_retract)
        self._gcode.register("G11", self._cmd_unretract)

    def _cmd_advance(self, command: Command) -> None:
        self._advance = command.number("ADVANCE", self._advance, minimum=0.0)
        self._smooth_time = command.number("SMOOTH_TIME", self._smooth_time, minimum=0.0, maximum=0.2)

    def _cmd_set_retraction(self, command: Command) -> None:
        for name, value in self._retraction.items():
            least = 1.0 if name.endswith("speed") else 0.0
            self._retraction[name] = command.number(name.upper(), value, minimum=least)

    def _cmd_get_retraction(self, _command: Command) -> None:
        self._gcode.respond_info(" ".join(f"{name.upper()}={value:.5f}" for name, value in self._retraction.items()))

    def _cmd_retract(self, _command: Command) -> Steps | None:
        length = self._retraction["retract_length"]
        if self._retracted or not length:
            return None
        self._retracted = True
        return self._feed(-length, self._retraction["retract_speed"])

    def _cmd_unretract(self, _command: Command) -> Steps | None:
        if not self._retracted:
            return None
        self._retracted = False
        length = self._retraction["retract_length"] + self._retraction["unretract_extra_length"]
        return self._feed(length, self._retraction["unretract_speed"])

    def _feed(self, length: float, speed: float) -> Steps:
        return self._gcode.run_script(
            "SAVE_GCODE_STATE NAME=_retraction\nG91\n"
            f"G1 E{length:.5f} F{speed * MM_PER_S:.1f}\nRESTORE_GCODE_STATE NAME=_retraction"
        )

    def advance_status(self) -> dict[str, object]:
        """The fields that belong into the `extruder` object."""
        return {"pressure_advance": self._advance, "smooth_time": self._smooth_time, "motion_queue": None}

    def retraction_status(self, _now: float) -> dict[str, object]:
        """The `firmware_retraction` object."""
        return dict(self._retraction)
