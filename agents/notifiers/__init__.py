"""Messages to people about prints, through the services that they use."""

from .agent import Notifiers

__all__ = ["Notifiers"]
