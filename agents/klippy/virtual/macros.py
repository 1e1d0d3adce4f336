"""The printer's macros: what each expands to, and the actions that are not g-code."""

import ast
import json
from collections.abc import Callable
from typing import NamedTuple

from .command import Command, CommandError
from .gcode import Gcode, Steps

PRINT_END = "M104 S0\nM140 S0\nM107\nG91\nG1 Z10 F600\nG90"
REMOTE_DEFAULTS: dict[str, object] = {"a": 1, "b": "two"}


class Actions(NamedTuple):
    """What macros can do to the host."""

    call_remote: Callable[[str, dict[str, object]], None]
    shut_down: Callable[[str], None]


class Macros:
    """The `gcode_macro` objects; PAUSE, RESUME and CANCEL_PRINT wrap built-ins renamed to BASE_..."""

    def __init__(self, gcode: Gcode, actions: Actions) -> None:
        self._gcode = gcode
        self._actions = actions
        self._variables: dict[str, dict[str, object]] = {
            name: {} for name in ("PRINT_END", "PAUSE", "RESUME", "CANCEL_PRINT", "CALL_REMOTE", "RAISE", "EMERGENCY")
        }
        self._variables["PRINT_START"] = {"bed": 60, "tool": 200, "note": "hello"}

    def register(self) -> None:
        """Add the macros; to be called after the built-ins that they replace are there."""
        gcode = self._gcode
        for name in ("PAUSE", "RESUME", "CANCEL_PRINT"):
            gcode.rename(name, f"BASE_{name}")
        gcode.register("SET_GCODE_VARIABLE", self._cmd_variable, "Change a variable of a macro")
        gcode.register("PRINT_START", self._print_start, "Home and heat for a print")
        gcode.register("PRINT_END", self._script(PRINT_END), "G-Code macro")
        gcode.register("PAUSE", self._script('RESPOND TYPE=command MSG="action:paused"\nBASE_PAUSE'), "G-Code macro")
        gcode.register("RESUME", self._script("BASE_RESUME"), "G-Code macro")
        gcode.register("CANCEL_PRINT", self._script("TURN_OFF_HEATERS\nBASE_CANCEL_PRINT"), "G-Code macro")
        gcode.register("CALL_REMOTE", self._call_remote, "G-Code macro")
        gcode.register("RAISE", self._raise, "G-Code macro")
        gcode.register("EMERGENCY", self._emergency, "G-Code macro")

    def _script(self, text: str) -> Callable[[Command], Steps]:
        return lambda _: self._gcode.run_script(text)

    def _print_start(self, command: Command) -> Steps:
        bed, tool = command.number("BED", 60.0), command.number("EXTRUDER", 200.0)
        return self._gcode.run_script(
            f"G28\nG90\nM140 S{bed}\nM104 S{tool}\n"
            f"TEMPERATURE_WAIT SENSOR=extruder MINIMUM={tool - 2}\n"
            f"TEMPERATURE_WAIT SENSOR=heater_bed MINIMUM={bed - 2}\n"
            f"SET_GCODE_VARIABLE MACRO=PRINT_START VARIABLE=bed VALUE={bed}"
        )

    def _call_remote(self, command: Command) -> None:
        """CALL_REMOTE [METHOD=name] [KEY=value ...]: parameters go along as text, in small letters."""
        params = {name.lower(): value for name, value in command.params.items() if name != "METHOD"}
        self._actions.call_remote(command.text("METHOD", "rig_method"), dict(params) or dict(REMOTE_DEFAULTS))

    def _raise(self, _command: Command) -> None:
        raise CommandError("Error evaluating 'gcode_macro RAISE:gcode': gcode.CommandError: custom error\n")

    def _emergency(self, _command: Command) -> None:
        self._actions.shut_down("Shutdown due to macro estop")

    def _cmd_variable(self, command: Command) -> None:
        variables = self._variables.get(command.text("MACRO").upper())
        if variables is None:
            raise command.unknown_value("MACRO")
        name, value = command.text("VARIABLE"), command.text("VALUE")
        if name not in variables:
            raise CommandError(f"Unknown gcode_macro variable '{name}'")
        try:
            literal = ast.literal_eval(value)
            json.dumps(literal, allow_nan=False)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            raise CommandError(f"Unable to parse '{value}' as a literal in '{command.line}'") from None
        variables[name] = literal

    def status(self, name: str) -> dict[str, object]:
        """The variables of a macro."""
        return dict(self._variables[name])
