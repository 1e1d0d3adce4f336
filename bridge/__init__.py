"""HTTP and websockets, translated to and from topics."""

from .app import Bridge
from .settings import BridgeSettings

__all__ = ["Bridge", "BridgeSettings"]
