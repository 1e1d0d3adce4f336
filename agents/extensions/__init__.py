"""Agents of somebody else's: who they are, what they lend to others, and what they say."""

from .agent import Extensions

__all__ = ["Extensions"]
