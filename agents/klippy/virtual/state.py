"""The printer's state as Klipper tells it: startup, ready, shutdown or error, with the message that goes with it."""

from collections.abc import Callable

STARTING = (
    "\nPrinter is not ready\nThe klippy host software is attempting to connect.  Please\nretry in a few moments.\n"
)
READY = "Printer is ready"
AFTER_SHUTDOWN = (
    "\nOnce the underlying issue is corrected, use the\n"
    '"FIRMWARE_RESTART" command to reset the firmware, reload the\n'
    "config, and restart the host software.\nPrinter is shutdown\n"
)
AFTER_CONFIG_ERROR = (
    '\n\nOnce the underlying issue is corrected, use the "RESTART"\n'
    "command to reload the config and restart the host software.\nPrinter is halted\n"
)


class State:
    """What `webhooks` reports; a shutdown of a ready printer calls its listeners in order."""

    def __init__(self) -> None:
        self.name = "startup"
        self.message = STARTING
        self.on_shutdown: list[Callable[[], None]] = []

    @property
    def ready(self) -> bool:
        """Whether g-code may move the machine."""
        return self.name == "ready"

    def become_ready(self) -> None:
        """End of the start-up."""
        self.name, self.message = "ready", READY

    def fail(self, problem: str) -> None:
        """The configuration cannot be used; only a restart leads out of it."""
        self.name, self.message = "error", problem + AFTER_CONFIG_ERROR

    def shut_down(self, reason: str) -> None:
        """Stop the machine; ignored when it is stopped already."""
        if self.name == "shutdown":
            return
        running = self.ready
        self.name, self.message = "shutdown", reason + AFTER_SHUTDOWN
        for listener in self.on_shutdown if running else ():
            listener()

    def status(self, _now: float) -> dict[str, object]:
        """The `webhooks` object."""
        return {"state": self.name, "state_message": self.message}
