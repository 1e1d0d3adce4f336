"""The services of the host, its power, and sudo."""

from .agent import Machine

__all__ = ["Machine"]
