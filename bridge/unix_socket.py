"""JSON-RPC on a unix socket: what a websocket says, each message ended by the byte 0x03, and no login."""

import asyncio
import logging
import socket
from collections import Counter
from pathlib import Path
from struct import unpack
from typing import cast

from bus.framing import MAX_FRAME, TERMINATOR, Frames, FrameTooLong

from .callers import owner
from .clients import Clients
from .frames import TEXT, payload_of
from .rpc_socket import RpcSocket
from .socket import MAX_QUEUED, READ_PAUSE

log = logging.getLogger(__name__)

SOCKET = Path("comms", "moonraker.sock")  # in the data folder; Moonraker's name
OWNER_ONLY = 0o600
BACKLOG = 100
MAX_CLIENTS = 100
PROBE_SECONDS = 1.0


class UnixClient(asyncio.Protocol):
    """One connection: to its RpcSocket a wire that takes websocket frames, of which the payload is sent."""

    def __init__(self, server: "UnixServer") -> None:
        self._server = server
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._rpc: RpcSocket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Lets a client in, unless there are too many."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not one by class
        self._transport.set_write_buffer_limits(high=READ_PAUSE)
        if not self._server.enter(self):
            return self._transport.abort()
        self._rpc = RpcSocket(self._server.clients, self, owner("unix", _peer(transport)).actor)

    def data_received(self, data: bytes) -> None:
        """Messages, however they were split."""
        try:
            messages = self._frames.feed(data)
        except FrameTooLong:
            self._server.counters["too_long"] += 1
            log.warning("a client on %s sent a message of more than %d bytes", SOCKET, MAX_FRAME)
            return self.abort()
        for message in messages:
            if message and self._rpc is not None:
                self._rpc.on_message(TEXT, message)

    def pause_writing(self) -> None:
        """A client that does not read its answers may not ask for more."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._transport = None
        self._finish()

    def write(self, data: bytes) -> None:
        """Sends the payload of a frame; a client that is too far behind is cut instead."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        waiting = transport.get_write_buffer_size()
        if waiting and waiting + len(data) > MAX_QUEUED:
            self._server.counters["slow_readers"] += 1
            return self.abort()
        transport.write(payload_of(data) + TERMINATOR)

    def abort(self) -> None:
        """Ends the connection at once."""
        self._finish()
        if self._transport is not None:
            self._transport.abort()

    def _finish(self) -> None:
        rpc, self._rpc = self._rpc, None
        if rpc is not None:
            self._server.left(self)
            rpc.on_end()


class UnixServer:
    """Listens on one path; where that cannot be, a warning says why, and the rest of the bridge serves."""

    def __init__(self, clients: Clients, path: Path) -> None:
        self.clients = clients
        self.counters: Counter[str] = Counter()
        self._path = path
        self._open: set[UnixClient] = set()
        self._server: asyncio.Server | None = None
        self._identity: tuple[int, int] | None = None  # of the file that is ours

    async def start(self) -> None:
        """Listens, in the place of a socket that a run before has left behind."""
        loop = asyncio.get_running_loop()
        try:
            await self._clear(loop)
            listener = self._bind()
        except OSError as error:
            return log.warning("no JSON-RPC on %s: %s", self._path, error)
        self._server = await loop.create_unix_server(lambda: UnixClient(self), sock=listener, backlog=BACKLOG)

    async def stop(self) -> None:
        """Ends all connections and removes the socket."""
        if self._server is None:
            return
        self._server.close()
        self.part()
        if self._identity == _identity(self._path):
            self._path.unlink(missing_ok=True)
        self._server = None

    def part(self) -> None:
        """Ends all connections: what was asked on them is lost."""
        for client in list(self._open):
            client.abort()

    def enter(self, client: UnixClient) -> bool:
        """Whether one more is let in."""
        if len(self._open) >= MAX_CLIENTS:
            self.counters["refused"] += 1
            return False
        self._open.add(client)
        return True

    def left(self, client: UnixClient) -> None:
        """One that was let in has gone."""
        self._open.discard(client)

    async def _clear(self, loop: asyncio.AbstractEventLoop) -> None:
        """Removes a socket that nobody listens on; raises OSError for one that somebody does, and for other files."""
        if not self._path.is_socket():
            return
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await loop.sock_connect(probe, str(self._path))
            except (ConnectionRefusedError, FileNotFoundError):
                return self._path.unlink(missing_ok=True)
        raise OSError("another program listens there")

    def _bind(self) -> socket.socket:
        """A socket that only its owner can open: until it listens nobody can connect to it."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(str(self._path))
            self._path.chmod(OWNER_ONLY)
            self._identity = _identity(self._path)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        return listener


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _peer(transport: asyncio.BaseTransport) -> str:
    """Whose process it is, where the system tells."""
    peer = transport.get_extra_info("socket")
    if peer is None or not hasattr(socket, "SO_PEERCRED"):
        return ""
    process, user, _ = unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return f"uid {user}, process {process}"
