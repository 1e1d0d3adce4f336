"""One life of the printer, from start to restart: every module, wired together."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .activity import Activity
from .arcs import Arcs
from .clock import Clock
from .command import Command, CommandError
from .coordinates import Coordinates
from .endstops import Endstops
from .exclusion import Exclusion
from .executor import Executor
from .extruder import Extruder
from .gcode import Gcode, Steps
from .heating import Heating
from .homing import Homing
from .loop import Loop
from .macros import Actions, Macros
from .messages import Messages
from .motion import Toolhead
from .objects import Statistics
from .outputs import Outputs
from .pausing import Pausing
from .print_stats import PrintStats
from .sdcard import SdCard
from .state import State
from .thermal import Heat


class Outside(NamedTuple):
    """What a printer needs from its host; `restart_delay` is in real seconds."""

    call_remote: Callable[[str, dict[str, object]], None]
    restart: Callable[[], None]
    restart_delay: float
    log: Callable[[str], None]


class Printer:
    """The modules of a printer; `heat` outlives it, as hot metal outlives a restart."""

    def __init__(self, loop: Loop, heat: Heat, root: Path, outside: Outside) -> None:
        clock = loop.clock
        self.loop = loop
        self.clock: Clock = clock
        self.heat = heat
        self._outside = outside
        self.state = State()
        self.statistics = Statistics()
        self.gcode = Gcode(self.state, outside.log)
        self.activity = Activity(clock, loop)
        self.toolhead = Toolhead(clock.simulated, self.activity.extend)
        self.exclusion = Exclusion()
        self.coordinates = Coordinates(self.toolhead, heat, self.exclusion)
        self.stats = PrintStats(clock.now, self.coordinates.extrusion)
        self.card = SdCard(root, self.gcode, self.stats, self.exclusion.reset)
        self.executor = Executor(loop, self.card.next_job)
        self.pausing = Pausing(self.card, self.coordinates, self.gcode)
        self.outputs = Outputs(heat, self.toolhead)
        self.messages = Messages(self.gcode, self.state, self.card, clock.now)
        self.extruder = Extruder(self.gcode)
        self.endstops = Endstops(self.toolhead, self.gcode)
        self.macros = Macros(self.gcode, Actions(outside.call_remote, self.state.shut_down))
        self._connect()
        self._register()

    def _connect(self) -> None:
        self.heat.restart()
        self.card.wake = self.executor.wake
        self.card.on_failure = lambda: self.run_unattended("TURN_OFF_HEATERS")
        self.activity.on_idle = lambda: self.run_unattended("TURN_OFF_HEATERS\nM84")
        for halt in (self._say_shutdown, self.card.halt, self.toolhead.halt, self.activity.halt, self.heat.turn_off):
            self.state.on_shutdown.append(halt)
        self.state.on_shutdown.append(self.executor.halt)

    def _say_shutdown(self) -> None:
        self.gcode.respond_state("Shutdown")

    def _register(self) -> None:
        gcode = self.gcode
        gcode.register("M112", lambda _: self.state.shut_down("Shutdown due to M112 command"), always=True)
        gcode.register("RESTART", self._cmd_restart, "Read the configuration again and start anew", always=True)
        gcode.register("FIRMWARE_RESTART", self._cmd_restart, "Restart micro-controller and host", always=True)
        gcode.register("SAVE_CONFIG", self._cmd_restart, "Write the configuration and restart")
        Heating(self.heat, self.clock, self.activity.extend).register(gcode)
        for module in (self.outputs, self.coordinates, self.toolhead, self.exclusion, self.activity, self.stats):
            module.register(gcode)
        Homing(self.toolhead, self.coordinates).register(gcode)
        for part in (
            Arcs(gcode, self.coordinates),
            self.extruder,
            self.endstops,
            self.messages,
            self.card,
            self.pausing,
            self.macros,
        ):
            part.register()

    def run(self, script: str, done: Callable[[CommandError | None], None]) -> None:
        """Queue a script; `done` is told how it ended."""
        self.executor.submit(self.gcode.run_script(script), done)

    def run_unattended(self, script: str) -> None:
        """Queue a script whose outcome nobody waits for; its errors are still said."""
        self.run(script, lambda _: None)

    def _cmd_restart(self, _command: Command) -> Steps:
        if self.state.ready:
            yield from self.toolhead.wait()
            yield self._outside.restart_delay * self.clock.factor
        self.executor.stop()
        self._outside.restart()

    def stop(self) -> None:
        """End of this life: nothing of it runs any more."""
        self.executor.stop()
        self.activity.stop()
        self.card.close()
