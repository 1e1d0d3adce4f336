"""The agent that knows what the host is made of."""

from .agent import SysInfo

__all__ = ["SysInfo"]
