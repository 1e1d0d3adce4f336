"""The broker for HTTP and websocket clients, and for gcode macros."""

from .agent import MqttGate

__all__ = ["MqttGate"]
