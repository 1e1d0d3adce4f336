"""The agent that knows how busy program and host are."""

from .agent import ProcStats

__all__ = ["ProcStats"]
