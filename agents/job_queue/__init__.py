"""The job queue agent."""

from .agent import JobQueue

__all__ = ["JobQueue"]
