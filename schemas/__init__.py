"""What is said on the bus: the method table, models and notifications."""

from . import (
    buttons,
    datastore,
    extensions,
    files,
    klippy,
    machine,
    mqtt,
    peripherals,
    printer,
    rpc,
    server,
    services,
    webcams,
)
from .base import AnyMethod, Arguments, Flags, Method, Model, NoParams, Notification, Params, Permission, Table, table

NAMESPACES = (
    buttons,
    datastore,
    extensions,
    files,
    klippy,
    machine,
    mqtt,
    peripherals,
    printer,
    rpc,
    server,
    services,
    webcams,
)
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
    "buttons",
    "datastore",
    "extensions",
    "files",
    "klippy",
    "machine",
    "mqtt",
    "peripherals",
    "printer",
    "rpc",
    "server",
    "services",
    "table",
    "webcams",
]
