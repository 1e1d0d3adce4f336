"""What the server says about itself, and the way to its event log."""

from .agent import Core

__all__ = ["Core"]
