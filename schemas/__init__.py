"""What is said on the bus: the method table, models and notifications."""

from . import datastore, klippy, printer, rpc, server
from .base import AnyMethod, Arguments, Flags, Method, Model, NoParams, Notification, Params, Permission, Table, table

NAMESPACES = (datastore, klippy, printer, rpc, server)
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
    "Table",
    "datastore",
    "klippy",
    "printer",
    "rpc",
    "server",
    "table",
]
