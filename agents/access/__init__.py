"""Users, logins and API keys."""

from .agent import Access

__all__ = ["Access"]
