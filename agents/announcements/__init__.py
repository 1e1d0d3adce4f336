"""Announcements from the feeds of the software that a printer runs."""

from .agent import Announcements

__all__ = ["Announcements"]
