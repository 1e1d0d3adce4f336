"""Filament spools of a Spoolman server."""

from .agent import Spoolman

__all__ = ["Spoolman"]
