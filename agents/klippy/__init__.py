"""The agent that speaks to Klipper."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import Klippy

__all__ = ["Klippy"]


def __getattr__(name: str) -> Any:
    """Loads the agent when it is asked for: the virtual printer beside it is a process that needs nothing of it."""
    if name != "Klippy":
        raise AttributeError(name)
    from .agent import Klippy

    return Klippy
