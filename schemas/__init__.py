"""What is said on the bus: the method table, models and notifications."""

from . import printer, rpc, server
from .base import AnyMethod, Arguments, Flags, Method, Model, NoParams, Notification, Params, Permission, table

NAMESPACES = (printer, rpc, server)
METHODS = table(*NAMESPACES)

__all__ = [
    "METHODS",
    "NAMESPACES",
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
    "rpc",
    "server",
    "table",
]
