"""What is shown and said: the display's message and progress, echoes, and the reports about the printer itself."""

from collections.abc import Callable

from .command import Command, CommandError
from .gcode import Gcode
from .sdcard import SdCard
from .state import State

VERSION = "v0.13.0-0-virtual"
PROGRESS_LASTS = 5.0
"""Real seconds for which an M73 progress counts while nothing is being printed."""
PREFIXES = {"echo": "echo: ", "echo_no_space": "echo:", "command": "// ", "error": "!! "}


class Messages:
    """The `display_status` object and the commands that only say something."""

    def __init__(self, gcode: Gcode, state: State, card: SdCard, now: Callable[[], float]) -> None:
        self._gcode = gcode
        self._state = state
        self._card = card
        self._now = now
        self._progress: float | None = None
        self._progress_until = 0.0
        self._message: str | None = None

    def register(self) -> None:
        """Add the commands."""
        add = self._gcode.register
        add("M110", lambda _: None, always=True)
        add("M115", self._cmd_firmware, always=True)
        add("ECHO", lambda c: self._gcode.respond_info(c.line), always=True)
        add("STATUS", self._cmd_status, "Tell the printer's state", always=True)
        add("HELP", self._cmd_help, "List the extended commands", always=True)
        add("M73", self._cmd_progress)
        add("M117", self._cmd_message)
        add("SET_DISPLAY_TEXT", self._cmd_display_text, "Show a text, or nothing")
        add("M118", lambda c: self._gcode.respond(f"echo: {c.rest}"))
        add("RESPOND", self._cmd_respond, "Say a line")

    def _cmd_firmware(self, _command: Command) -> None:
        self._gcode.respond_info(f"FIRMWARE_VERSION:{VERSION} FIRMWARE_NAME:Klipper")

    def _cmd_status(self, _command: Command) -> None:
        if not self._state.ready:
            raise CommandError(self._state.message.rstrip() + "\nKlipper state: Not ready")
        self._gcode.respond_state("Ready")

    def _cmd_help(self, _command: Command) -> None:
        lines = [f"{name:<10}: {summary}" for name, summary in sorted(self._gcode.help().items())]
        self._gcode.respond_info("\n".join(["Available extended commands:", *lines]))

    def _cmd_progress(self, command: Command) -> None:
        self._progress = min(100.0, command.number("P", 0.0, minimum=0.0)) / 100.0
        self._progress_until = self._now() + PROGRESS_LASTS

    def _cmd_message(self, command: Command) -> None:
        self._message = command.rest or None

    def _cmd_display_text(self, command: Command) -> None:
        self._message = command.text("MSG", "") or None

    def _cmd_respond(self, command: Command) -> None:
        kind = command.text("TYPE", "echo").lower()
        if kind not in PREFIXES:
            raise command.error(f"RESPOND TYPE '{kind}' is invalid. Must be one of 'echo', 'command', or 'error'")
        prefix = f"{command.text('PREFIX')} " if "PREFIX" in command.params else PREFIXES[kind]
        self._gcode.respond(f"{prefix}{command.text('MSG', '')}")

    def status(self, now: float) -> dict[str, object]:
        """The `display_status` object."""
        if now > self._progress_until and not self._card.active:
            self._progress = None
        progress = self._card.progress() if self._progress is None else self._progress
        return {"progress": progress, "message": self._message}
