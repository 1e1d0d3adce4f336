"""Ports for what has to come back on the same one."""

import secrets
import socket
from contextlib import suppress

OWN = range(20_000, 32_000)


def free_port() -> int:
    """A port that nobody has, nor will have soon: none of those that the system gives to whoever asks for any."""
    while True:
        port = OWN[secrets.randbelow(len(OWN))]
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
