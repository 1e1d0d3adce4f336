"""The history agent."""

from .agent import History

__all__ = ["History"]
