"""Objects on the bed: what a slicer declares, which one is being printed, which ones are to be left out."""

import json

from .command import Command, CommandError
from .gcode import Gcode
from .motion import Position, Toolhead


class Exclusion:
    """The `exclude_object` module; moves inside an excluded object are not carried out."""

    def __init__(self) -> None:
        self._objects: list[dict[str, object]] = []
        self._excluded: list[str] = []
        self._current: str | None = None

    def register(self, gcode: Gcode) -> None:
        """Add the commands."""
        gcode.register("EXCLUDE_OBJECT_DEFINE", self._cmd_define, "Declare an object of the print")
        gcode.register("EXCLUDE_OBJECT_START", self._cmd_start, "What follows belongs to an object")
        gcode.register("EXCLUDE_OBJECT_END", self._cmd_end, "What follows belongs to no object")
        gcode.register("EXCLUDE_OBJECT", self._cmd_exclude, "Leave an object out of the print")

    def reset(self) -> None:
        """Forget everything (a file is loaded or unloaded)."""
        self._objects, self._excluded, self._current = [], [], None

    def skips(self, target: Position, toolhead: Toolhead) -> bool:
        """Whether a move is to be left out; its extrusion is then taken as done."""
        if self._current not in self._excluded:
            return False
        toolhead.forget_extrusion(target[3])
        return True

    def _cmd_define(self, command: Command) -> None:
        if command.params.get("RESET"):
            self.reset()
        if "NAME" not in command.params:
            return
        found: dict[str, object] = {"name": command.text("NAME").upper()}
        if "CENTER" in command.params:
            found["center"] = _numbers(command, f"[{command.text('CENTER')}]")
        if "POLYGON" in command.params:
            found["polygon"] = _numbers(command, command.text("POLYGON"))
        self._objects = sorted([*self._objects, found], key=lambda each: str(each["name"]))

    def _cmd_start(self, command: Command) -> None:
        name = command.text("NAME").upper()
        if all(each["name"] != name for each in self._objects):
            self._objects = [*self._objects, {"name": name}]
        self._current = name

    def _cmd_end(self, command: Command) -> None:
        if self._current is None:
            raise CommandError("EXCLUDE_OBJECT_END called, but no object is currently active")
        self._current = None

    def _cmd_exclude(self, command: Command) -> None:
        if "RESET" in command.params:
            self._excluded = []
        elif "NAME" in command.params:
            self._exclude(command.text("NAME").upper())
        elif "CURRENT" in command.params:
            if self._current is None:
                raise CommandError("There is no current object to cancel")
            self._exclude(self._current)

    def _exclude(self, name: str) -> None:
        if name not in self._excluded:
            self._excluded = sorted([*self._excluded, name])

    def status(self, _now: float) -> dict[str, object]:
        """The `exclude_object` object."""
        return {"objects": self._objects, "excluded_objects": self._excluded, "current_object": self._current}


def _numbers(command: Command, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        raise command.error(f"unable to parse {text}") from None
