"""The story of a print: its state, how long it took, how much filament went in."""

from collections.abc import Callable

from .command import Command
from .gcode import Gcode

NO_FILAMENT = 1e-7


class PrintStats:
    """The `print_stats` object; times are event time, so a print at factor 50 takes a fiftieth."""

    def __init__(self, now: Callable[[], float], extrusion: Callable[[], float]) -> None:
        self._now = now
        self._extrusion = extrusion
        self.reset()

    def reset(self) -> None:
        """Back to standby, no file."""
        self.filename = self.message = ""
        self.state = "standby"
        self.filament_used = self._total = self._preparation = self._paused_before = 0.0
        self._last_e = 0.0
        self._started: float | None = None
        self._paused_at: float | None = None
        self._layers: dict[str, object] = {"total_layer": None, "current_layer": None}

    def register(self, gcode: Gcode) -> None:
        """Add the command."""
        gcode.register("SET_PRINT_STATS_INFO", self._cmd_info, "Tell which layer is being printed, of how many")

    def select(self, filename: str) -> None:
        """A file was loaded."""
        self.reset()
        self.filename = filename

    def started(self) -> None:
        """The file runs, for the first time or again."""
        now = self._now()
        if self._started is None:
            self._started = now
        elif self._paused_at is not None:
            self._paused_before += now - self._paused_at
        self._paused_at = None
        self._last_e = self._extrusion()
        self.state = "printing"

    def paused(self) -> None:
        """The file rests."""
        if self._paused_at is None:
            self._count_filament()
            self._paused_at = self._now()
        if self.state != "error":
            self.state = "paused"

    def finished(self, state: str, message: str = "") -> None:
        """The end: complete, cancelled or error."""
        if self._started is None:
            return
        self._paused_before, self._paused_at = self._update(), None
        self._started = None
        self.state, self.message = state, message

    def _count_filament(self) -> None:
        here = self._extrusion()
        self.filament_used += here - self._last_e
        self._last_e = here

    def _update(self) -> float:
        """Bring the counters up to now; the seconds spent paused."""
        paused = self._paused_before
        if self._started is None:
            return paused
        now = self._now()
        if self._paused_at is None:
            self._count_filament()
        else:
            paused += now - self._paused_at
        self._total = now - self._started
        if self.filament_used < NO_FILAMENT:
            self._preparation = self._total - paused
        return paused

    def _cmd_info(self, command: Command) -> None:
        total, current = command.optional("TOTAL_LAYER"), command.optional("CURRENT_LAYER")
        layers = dict(self._layers)
        if total is not None:
            layers = {"total_layer": int(total) or None, "current_layer": 0 if total else None}
        if current is not None and layers["total_layer"] is not None:
            layers["current_layer"] = int(current)
        self._layers = layers

    def status(self, _now: float) -> dict[str, object]:
        """The `print_stats` object."""
        paused = self._update()
        return {
            "filename": self.filename,
            "total_duration": self._total,
            "print_duration": self._total - self._preparation - paused,
            "filament_used": self.filament_used,
            "state": self.state,
            "message": self.message,
            "info": self._layers,
        }
