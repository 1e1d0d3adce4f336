"""Asks a CAN bus which nodes wait for a number, in the protocol of Klipper and Katapult (Klipper's CANBUS_protocol)."""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

FRAME = struct.Struct("=IB3x8s")  # identifier, length, data
FILTER = struct.Struct("=II")  # identifier, mask
ADMIN, ANSWER = 0x3F0, 0x3F1  # identifiers
QUERY_UNASSIGNED = b"\x00"
NEEDS_NUMBER = 0x20
UUID_BYTES = 6
APPLICATIONS = {0x01: "Klipper", 0x11: "Katapult"}  # by the command that would give them a number

Open = Callable[[str], socket.socket]


def open_bus(interface: str) -> socket.socket:
    """A socket that hears the nodes' answers; raises OSError."""
    bus = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    try:
        bus.setblocking(False)
        bus.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, FILTER.pack(ANSWER, socket.CAN_SFF_MASK))
        bus.bind((interface,))
    except OSError:
        bus.close()
        raise
    return bus


async def unassigned(interface: str, open_socket: Open, seconds: float) -> list[dict[str, Any]]:
    """The nodes that answer within so long (peripherals.CanNode), each once; raises OSError."""
    found: dict[str, dict[str, Any]] = {}
    with open_socket(interface) as bus:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(bus, FRAME.pack(ADMIN, len(QUERY_UNASSIGNED), QUERY_UNASSIGNED))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    node = answered(await loop.sock_recv(bus, FRAME.size))
                    if node is not None:
                        found.setdefault(node["uuid"], node)
    return list(found.values())


def answered(frame: bytes) -> dict[str, Any] | None:
    """The node that an answer names; None for anything else."""
    if len(frame) != FRAME.size:
        return None
    identifier, length, data = FRAME.unpack(frame)
    if identifier & socket.CAN_SFF_MASK != ANSWER or length <= UUID_BYTES or data[0] != NEEDS_NUMBER:
        return None
    command = data[1 + UUID_BYTES] if length > 1 + UUID_BYTES else 0x01  # old Klipper does not say
    return {"uuid": data[1 : 1 + UUID_BYTES].hex(), "application": APPLICATIONS.get(command, "Unknown")}
