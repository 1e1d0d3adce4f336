"""A printer's modules on a loop whose time the test moves."""

from pathlib import Path

from agents.klippy.virtual.clock import Clock
from agents.klippy.virtual.command import CommandError
from agents.klippy.virtual.loop import Loop
from agents.klippy.virtual.printer import Outside, Printer
from agents.klippy.virtual.thermal import Heat


class HandClock(Clock):
    """Stands still until it is moved; starts at a round number."""

    def __init__(self, factor: float = 1.0) -> None:
        self.moment = 1000.0
        super().__init__(factor)

    def now(self) -> float:
        return self.moment


class HandLoop(Loop):
    """Fires timers in order as time is moved past them."""

    clock: HandClock

    def pass_time(self, seconds: float) -> None:
        """Let time pass, stopping at every timer on the way."""
        end = self.clock.moment + seconds
        while self._heap and self._heap[0][0] <= end:
            self.clock.moment = max(self.clock.moment, self._heap[0][0])
            self._fire_due()
        self.clock.moment = end


class Bench:
    """A ready printer without a socket, its console and what it asked of its host."""

    def __init__(self, root: Path) -> None:
        self.clock = HandClock()
        self.loop = HandLoop(self.clock)
        self.restarts = 0
        self.remote_calls: list[tuple[str, dict[str, object]]] = []
        self.log: list[str] = []
        outside = Outside(self._call_remote, self._restart, 0.8, self.log.append)
        self.printer = Printer(self.loop, Heat(), root, outside)
        self.printer.state.become_ready()
        self.console: list[str] = []
        self.printer.gcode.listeners.append(self.console.append)

    def _call_remote(self, name: str, params: dict[str, object]) -> None:
        self.remote_calls.append((name, params))

    def _restart(self) -> None:
        self.restarts += 1

    def run(self, script: str, seconds: float = 600.0) -> None:
        """Run g-code to its end within the time; its error is raised."""
        outcomes: list[CommandError | None] = []
        self.printer.run(script, outcomes.append)
        end = self.clock.moment + seconds
        while not outcomes and self.clock.moment < end:
            self.loop.pass_time(0.05)
        assert outcomes, f"still running after {seconds} s"
        if outcomes[0] is not None:
            raise outcomes[0]

    def status(self, name: str) -> dict[str, object]:
        """A status object of one of the modules."""
        printer, now = self.printer, self.clock.moment
        sources = {
            "toolhead": printer.toolhead.status,
            "motion_report": printer.toolhead.motion_status,
            "gcode_move": printer.coordinates.status,
            "print_stats": printer.stats.status,
            "virtual_sdcard": printer.card.status,
            "pause_resume": printer.pausing.status,
            "idle_timeout": printer.activity.status,
            "exclude_object": printer.exclusion.status,
            "display_status": printer.messages.status,
            "firmware_retraction": printer.extruder.retraction_status,
        }
        return sources[name](now)

    def heat_up(self) -> None:
        """Make the nozzle hot enough at once, and home."""
        self.printer.heat.heaters["extruder"].temperature = 200.0
        self.run("M104 S200\nG28")
