"""The data store: what the sensors and the console said lately."""

from .agent import DataStore

__all__ = ["DataStore"]
