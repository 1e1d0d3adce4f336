"""Buttons on pins or topics, whose presses and releases run templates."""

from .agent import Buttons

__all__ = ["Buttons"]
