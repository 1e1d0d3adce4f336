"""The agent that knows what is plugged into the host."""

from .agent import Peripherals

__all__ = ["Peripherals"]
