"""Files: the roots, what is in them, and contents on their way in and out."""

from .agent import FileStore

__all__ = ["FileStore"]
