"""The end stops: which are pressed, and what the last look at them found."""

from .command import Command
from .gcode import Gcode, Steps
from .motion import Toolhead


class Endstops:
    """The `query_endstops` object; an axis that is homed and at its end presses its end stop."""

    def __init__(self, toolhead: Toolhead, gcode: Gcode) -> None:
        self._toolhead = toolhead
        self._gcode = gcode
        self._last: dict[str, bool] = {}

    def register(self) -> None:
        """Add the commands."""
        self._gcode.register("M119", self._cmd_query)
        self._gcode.register("QUERY_ENDSTOPS", self._cmd_query, "Tell whether the end stops are pressed")

    def read(self) -> dict[str, str]:
        """`open` or `TRIGGERED` for each end stop."""
        position, homed = self._toolhead.live()[0], self._toolhead.homed
        pressed = {f"stepper_{name}": name in homed and position[axis] <= 0 for axis, name in enumerate("xyz")}
        self._last = {"manual_stepper feeder": False, **pressed}
        return {name: "TRIGGERED" if on else "open" for name, on in self._last.items()}

    def _cmd_query(self, _command: Command) -> Steps:
        yield from self._toolhead.wait()
        self._gcode.respond(" ".join(f"{name}:{state}" for name, state in self.read().items()))

    def status(self, _now: float) -> dict[str, object]:
        """The `query_endstops` object."""
        return {"last_query": {name: int(on) for name, on in self._last.items()}}
