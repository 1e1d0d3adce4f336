"""What is said on the bus: the method table, models and notifications."""

from . import printer, server
from .base import AnyMethod, Arguments, Flags, Method, Model, NoParams, Notification, Params, Permission, table

METHODS = table(printer, server)

__all__ = [
    "METHODS",
    "AnyMethod",
    "Arguments",
    "Flags",
    "Method",
    "Model",
    "NoParams",
    "Notification",
    "Params",
    "Permission",
    "printer",
    "server",
    "table",
]
