"""A websocket connection: handshake, frames, control frames, closing and the bounds that keep it harmless."""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from bus.access import Tls
from bus.sockets import tls_of

from .frames import (
    BINARY,
    CLOSE,
    NO_STATUS,
    PING,
    PONG,
    TEXT,
    FrameReader,
    Violation,
    close_code,
    close_frame,
    frame,
    require_text,
)

MAX_MESSAGE = 16 << 20  # bytes of one message
MAX_QUEUED = 8 << 20  # bytes waiting for a slow reader, who is then cut
TOGETHER = 64 << 10  # bytes that wait for the end of a turn of the loop at most
READ_PAUSE = 1 << 20  # bytes waiting for a reader from which on nothing more is read from it
CLOSE_WAIT = 2.0  # seconds for the peer to end the connection after our close frame
QUIET = 0.2  # seconds without a sign of it after which we do that


class Talk(Protocol):
    """What happens on an open websocket."""

    def on_message(self, opcode: int, payload: bytes) -> None:
        """A whole text (checked to be UTF-8) or binary message."""

    def on_end(self) -> None:
        """The websocket has ended; called once."""


class Keeper(Protocol):
    """Lets websockets in and knows which are open."""

    def enter(self, wire: "WebSocket", request: bytes) -> Talk | None:
        """Answers a handshake; None where it was refused."""

    def left(self, wire: "WebSocket") -> None:
        """The connection of a websocket that was let in is gone."""

    def slow(self) -> None:
        """A websocket is being cut because its client does not read."""


class WebSocket(asyncio.Protocol):
    """One connection, from the handshake that its keeper judges to its end."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._talk: Talk | None = None
        self._reader = FrameReader(MAX_MESSAGE, self._on_frame)
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._entered = False
        self._heard = False  # something came after our close frame
        self._blocked = self._paused = False  # it does not read its answers; nothing is wanted from it for now
        self._deadline = 0.0
        self._later: list[bytes] | None = None  # what is sent at the end of this turn of the loop, behind the first
        self._later_bytes = 0
        self.peer = ""
        self.silent = False  # nothing has arrived since the last ping
        self.opening = False  # the answer to the handshake is still being looked for
        self.flow: Callable[[bool], None] | None = None  # is told when the peer does not keep up, and when it does

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes over a connection whose first bytes were a request to upgrade."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not one by class
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if peer else ""
        self._transport.set_write_buffer_limits(high=READ_PAUSE)

    def data_received(self, data: bytes) -> None:
        """Handshake first, frames then; after our close frame nothing counts any more."""
        if self._closing:
            self._heard = True
            return
        self.silent = False
        if self._talk is None:
            self._talk = self._keeper.enter(self, data)
            self._entered = self._talk is not None
            if self._closing:
                self._finish()  # it was ended while it was let in
            return
        if self.opening:
            return self.abort()  # what came before the answer to the handshake cannot be meant for us
        try:
            self._reader.feed(data)
        except Violation as broken:
            self.close(broken.code, broken.reason)

    def pause_writing(self) -> None:
        """A peer that does not read its answers may not ask for more."""
        self._blocked = True
        self._steer()
        if self.flow is not None:
            self.flow(True)

    def resume_writing(self) -> None:
        """It has caught up."""
        self._blocked = False
        self._steer()
        if self.flow is not None:
            self.flow(False)

    def _steer(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._blocked or self._paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The wire is gone."""
        self._transport = self._later = None
        self._finish()
        if self._timer is not None:
            self._timer.cancel()
        if self._entered:
            self._keeper.left(self)

    # -- our side

    def write(self, data: bytes) -> None:
        """Sends bytes as they are; a peer that is too far behind is cut instead.

        The first of a turn of the loop leaves at once and the others together: a system call for each costs more than
        making most of them.
        """
        transport = self._transport
        if transport is None or self._closing or transport.is_closing():
            return
        waiting = transport.get_write_buffer_size()
        if waiting and waiting + self._later_bytes + len(data) > MAX_QUEUED:
            self._keeper.slow()
            self.abort()
            return
        if self._later is None:
            self._later = []
            asyncio.get_running_loop().call_soon(self._end_turn)
            transport.write(data)
            return
        self._later.append(data)
        self._later_bytes += len(data)
        if self._later_bytes > TOGETHER:
            self._flush()

    def _end_turn(self) -> None:
        self._flush()
        self._later = None

    def _flush(self) -> None:
        if self._later and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._later))
            self._later.clear()
        self._later_bytes = 0

    def queued(self) -> int:
        """Bytes that wait for a peer which does not keep up; 0 for one that does."""
        return self._transport.get_write_buffer_size() if self._blocked and self._transport is not None else 0

    @property
    def tls(self) -> Tls | None:
        """Whether it is encrypted, and what that says of the peer."""
        return tls_of(self._transport) if self._transport is not None else None

    def pause(self, stop: bool) -> None:
        """Read no more from the peer, or again."""
        self._paused = stop
        self._steer()

    def refuse(self, answer: bytes) -> None:
        """Answers the handshake with something else than an upgrade, and ends."""
        self.write(answer)
        self._closing = True
        self._part()

    def _part(self) -> None:
        """Ends the connection once everything has been sent."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def close(self, code: int, reason: str = "") -> None:
        """Says why and ends; what the peer still sends is thrown away, so that it can read the reason."""
        if self._closing or self._transport is None:
            return
        if self.opening:
            return self.abort()
        self.write(close_frame(code, reason))
        self._finish()
        self.pause(False)
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + CLOSE_WAIT
        self._timer = loop.call_later(QUIET, self._settle)

    def _settle(self) -> None:
        """Ends the connection once nothing moves; done under a peer that still sends, it would lose our close frame."""
        loop, transport = asyncio.get_running_loop(), self._transport
        if transport is None:
            return
        if loop.time() > self._deadline:
            transport.abort()
        elif self._heard or transport.get_write_buffer_size():
            self._heard = False
            self._timer = loop.call_later(QUIET, self._settle)
        else:
            self._part()

    def drop(self) -> None:
        """Ends without a closing handshake, once what is queued has been sent."""
        self._finish()
        self._part()

    def abort(self) -> None:
        """Ends at once, whatever is still queued."""
        self._finish()
        if self._transport is not None:
            self._transport.abort()

    def go_on(self, talk: Talk) -> None:
        """What happens from now on, on a websocket that was let in late."""
        self._talk = talk

    def ping(self) -> None:
        """Asks whether the peer is still there; cuts it where the last question went unanswered."""
        if self.silent:
            return self.abort()
        if self.opening:
            return None
        self.silent = True
        return self.write(frame(PING, b""))

    def _finish(self) -> None:
        self._closing = True
        self._reader.stop()
        talk, self._talk = self._talk, None
        if talk is not None:
            talk.on_end()

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if opcode in (TEXT, BINARY):
            if opcode == TEXT:
                require_text(payload)
            if self._talk is not None:
                self._talk.on_message(opcode, payload)
        elif opcode == PING:
            self.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self._on_close(payload)

    def _on_close(self, payload: bytes) -> None:
        code = close_code(payload)
        self.write(frame(CLOSE, b"") if code == NO_STATUS else close_frame(code))
        self._finish()
        self._part()
