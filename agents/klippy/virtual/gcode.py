"""The g-code dispatcher: the command table, running lines and scripts, and what is said in response."""

import traceback
from collections.abc import Callable, Generator
from typing import NamedTuple

from .command import Command, CommandError, parse
from .state import State

Steps = Generator[float, None, None]
"""A command that takes time: each yield is a number of simulated seconds to wait."""

Handler = Callable[[Command], Steps | None]


class HaltedError(Exception):
    """Thrown into a waiting command when the printer shuts down: the wait ends, the command does not fail."""


class Entry(NamedTuple):
    """A row of the command table; `help` is empty for the traditional codes."""

    handler: Handler
    help: str
    always: bool


class Gcode:
    """Runs lines and scripts, and sends every response line to the listeners."""

    def __init__(self, state: State, log: Callable[[str], None]) -> None:
        self.commands: dict[str, Entry] = {}
        self.listeners: list[Callable[[str], None]] = []
        self.on_error: list[Callable[[], None]] = []
        self._state = state
        self._log = log

    def register(self, name: str, handler: Handler, summary: str = "", *, always: bool = False) -> None:
        """Add a command; `always` ones also run while the printer is not ready."""
        self.commands[name] = Entry(handler, summary, always)

    def rename(self, name: str, new_name: str) -> None:
        """Move a built-in out of the way of a macro."""
        entry = self.commands.pop(name)
        self.commands[new_name] = Entry(entry.handler, f"Renamed builtin of '{name}'", entry.always)

    def help(self) -> dict[str, str]:
        """The commands that have a help sentence."""
        return {name: entry.help for name, entry in self.commands.items() if entry.help}

    def status(self) -> dict[str, object]:
        """The `gcode` object."""
        return {"commands": {name: {"help": e.help} if e.help else {} for name, e in self.commands.items()}}

    def run_script(self, script: str) -> Steps:
        """Run every line; the first failing one ends it with CommandError."""
        for line in script.split("\n"):
            yield from self.run_line(line)

    def run_line(self, line: str) -> Steps:
        """Run one line; a failure is told to the listeners, then raised as CommandError."""
        command = parse(line)
        if command is None:
            return
        try:
            steps = self._start(command)
            if steps is not None:
                yield from steps
        except HaltedError:
            return
        except CommandError as error:
            self.respond_error(str(error))
            for listener in self.on_error:
                listener()
            raise
        except Exception as error:
            self._log(traceback.format_exc())
            raise self._crash(command) from error

    def _crash(self, command: Command) -> CommandError:
        """A handler is broken: like Klipper, stop the machine rather than go on with it."""
        problem = f'Internal error on command:"{command.name}"'
        self._state.shut_down(problem)
        self.respond_error(problem)
        return CommandError(problem)

    def _start(self, command: Command) -> Steps | None:
        entry = self.commands.get(command.name)
        if not self._state.ready and not (entry and entry.always):
            raise CommandError(self._state.message)
        if entry is None:
            self.respond_info(f'Unknown command:"{command.name}"')
            return None
        if not command.well_formed:
            raise CommandError(f"Malformed command '{command.line}'")
        return entry.handler(command)

    def respond(self, text: str) -> None:
        """Say a line as it is."""
        for listener in self.listeners:
            listener(text)

    def respond_info(self, text: str) -> None:
        """Say one or more lines as comments."""
        self.respond("\n".join(f"// {line.strip()}" for line in text.strip().split("\n")))

    def respond_error(self, text: str) -> None:
        """Say an error: the whole text as comments if it has several lines, then its first line."""
        lines = text.strip().split("\n")
        if len(lines) > 1:
            self.respond_info(text)
        self.respond(f"!! {lines[0].strip()}")

    def respond_state(self, name: str) -> None:
        """Say that the printer is now Ready, Shutdown or Disconnect."""
        self.respond_info(f"Klipper state: {name}")
