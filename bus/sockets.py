"""Stream sockets (tcp, TLS, unix) as carriers of MQTT connections."""

import asyncio
import socket
from typing import cast

from .access import UNIX, Authenticator, Tls
from .engine import Connection
from .exchange import Exchange

LINGER_SECONDS = 2.0
"""How long a closed connection may take to send what was written before."""
LINGER_BYTES = 64 * 1024
"""A closed connection with more than this unsent is not waited for."""
PROBES = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}
"""Seconds until the first probe of a silent peer and between probes, and how many it may miss."""


class SocketProtocol(asyncio.Protocol):
    """One accepted socket."""

    def __init__(self, exchange: Exchange, authenticator: Authenticator) -> None:
        self._exchange = exchange
        self._authenticator = authenticator
        self._blocked = False
        self._transport: asyncio.Transport
        self._connection: Connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start an MQTT connection on an accepted socket."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._connection = Connection(
            self._exchange,
            self._authenticator,
            write=self._transport.write,
            write_parts=self._transport.writelines,
            close=self._close,
            address=peer[0] if isinstance(peer, tuple) else UNIX,
            tls=tls_of(transport),
            queued=self._queued,
            pause=self._pause,
        )

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._connection.feed(data)

    def eof_received(self) -> None:
        """The peer has finished: the transport closes."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._connection.lost()
        del self._connection  # which knows us: this way both are freed without the garbage collector

    def pause_writing(self) -> None:
        """The peer does not keep up: from here on the backlog counts."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._blocked = False

    def _queued(self) -> int:
        return self._transport.get_write_buffer_size() if self._blocked else 0

    def _pause(self, stop: bool) -> None:
        if self._transport.is_closing():
            return
        if stop:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _close(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent > LINGER_BYTES:
            self._transport.abort()
            return
        self._transport.close()
        if unsent:
            self._exchange.loop.call_later(LINGER_SECONDS, self._transport.abort)


def tls_of(transport: asyncio.BaseTransport) -> Tls | None:
    """What TLS says of a wire; None where it is not encrypted."""
    if transport.get_extra_info("ssl_object") is None:
        return None
    subject = (transport.get_extra_info("peercert") or {}).get("subject", ())
    return Tls(next((value for part in subject for key, value in part if key == "commonName"), None))


def notice_dead_peers(server: asyncio.Server) -> None:
    """Probe silent peers, even those without a keep-alive; accepted sockets inherit it from the listening ones."""
    for sock in server.sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in PROBES.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
