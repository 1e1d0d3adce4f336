"""What clients remember here: namespaces of JSON, every change of them a fact."""

from .agent import Database

__all__ = ["Database"]
