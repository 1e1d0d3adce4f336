"""The states of the link to Klipper and of Klipper itself, as clients are shown them."""

from enum import StrEnum


class State(StrEnum):
    """Disconnected is the link's; the others are what Klipper calls itself."""

    DISCONNECTED = "disconnected"
    STARTUP = "startup"
    READY = "ready"
    ERROR = "error"
    SHUTDOWN = "shutdown"

    @classmethod
    def of(cls, text: object) -> "State | None":
        """The state that Klipper names; None for what it never says."""
        return _SAID.get(text) if isinstance(text, str) else None


_SAID = {str(state): state for state in State if state is not State.DISCONNECTED}
