"""Pausing, resuming and cancelling whatever is being printed."""

from .command import Command
from .coordinates import Coordinates
from .gcode import Gcode, Steps
from .sdcard import SdCard

RECOVER_SPEED = 50.0
SAVED_STATE = "PAUSE_STATE"


class Pausing:
    """The `pause_resume` object and its commands, which the macros of the same names wrap."""

    def __init__(self, card: SdCard, coordinates: Coordinates, gcode: Gcode) -> None:
        self.paused = False
        self._card = card
        self._coordinates = coordinates
        self._gcode = gcode
        self._card_was_active = False

    def register(self) -> None:
        """Add the commands."""
        self._gcode.register("PAUSE", self._cmd_pause, "Rest the print")
        self._gcode.register("RESUME", self._cmd_resume, "Go on with the print")
        self._gcode.register("CLEAR_PAUSE", self._cmd_clear, "Forget the pause without going on")
        self._gcode.register("CANCEL_PRINT", self._cmd_cancel, "End the print")

    def _cmd_pause(self, _command: Command) -> None:
        if self.paused:
            self._gcode.respond_info("Print already paused")
            return
        self._card_was_active = self._card.active
        if self._card_was_active:
            self._card.pause()
        else:
            self._gcode.respond_info("action:paused")
        self._coordinates.save(SAVED_STATE)
        self.paused = True

    def _cmd_resume(self, command: Command) -> Steps | None:
        if not self.paused:
            self._gcode.respond_info("Print is not paused, resume aborted")
            return None
        return self._resume(command.number("VELOCITY", RECOVER_SPEED))

    def _resume(self, speed: float) -> Steps:
        yield from self._coordinates.restore(SAVED_STATE, speed) or ()
        self.paused = False
        if self._card_was_active:
            self._card.resume()
        else:
            self._gcode.respond_info("action:resumed")

    def _cmd_clear(self, _command: Command) -> None:
        self.paused = self._card_was_active = False

    def _cmd_cancel(self, command: Command) -> None:
        if self._card.loaded:
            self._card.cancel()
        else:
            self._gcode.respond_info("action:cancel")
        self._cmd_clear(command)

    def status(self, _now: float) -> dict[str, object]:
        """The `pause_resume` object."""
        return {"is_paused": self.paused}
