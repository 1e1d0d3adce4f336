"""One connection to Klipper's unix socket: requests, their answers, and what Klipper sends by itself."""

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, cast

from bus.errors import BusError, InvalidParams, Refused, Unavailable
from bus.framing import MAX_FRAME, Frames, FrameTooLong

from .frames import decode, encode

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 5.0  # seconds
MAX_PENDING = 4096  # requests without an answer; further ones are refused as busy
MAX_UNSENT = 256 << 10  # bytes that Klipper has not taken yet; above it requests are refused as busy
NOT_CONNECTED = "Klipper is not connected"
LOST = "The connection to Klipper was lost"
BUSY = "Klipper is busy: too many requests wait for it"

Answered = Callable[[Any, BusError | None], None]
Received = Callable[[dict[str, Any]], None]


class Link(asyncio.Protocol):
    """Reads whatever comes at once, so that Klipper never waits for us; `lost` is called once."""

    def __init__(self, received: Received, lost: Callable[["Link"], None]) -> None:
        self._received = received
        self._lost = lost
        self._frames = Frames()
        self._numbers = count(1)
        self._pending: dict[int, Answered] = {}
        self._transport: asyncio.WriteTransport | None = None
        self._complained = False
        self.closed = False
        self.heard = False  # whether anything came since somebody last set this to False

    def send(self, method: str, params: dict[str, Any], answered: Answered, *, urgent: bool = False) -> None:
        """Writes a request at once; `answered` gets result or error during delivery, or at the loss of the link.

        Raises Unavailable when the link is down, or too much waits (never for urgent ones), and InvalidParams.
        """
        transport = self._transport
        if self.closed or transport is None or transport.is_closing():
            raise Unavailable(NOT_CONNECTED)
        if not urgent and (len(self._pending) >= MAX_PENDING or transport.get_write_buffer_size() > MAX_UNSENT):
            raise Unavailable(BUSY)
        number = next(self._numbers)
        try:
            frame = encode(number, method, params)
        except TypeError:
            raise InvalidParams("Expected text that can be encoded as UTF-8") from None
        self._pending[number] = answered
        transport.write(frame)

    def request(
        self,
        method: str,
        params: dict[str, Any] | None = None,
        *,
        first: Callable[[Any], object] | None = None,
        urgent: bool = False,
    ) -> asyncio.Future[Any]:
        """The same with a future; `first` sees the result before anything that Klipper sent after it.

        A ValueError or TypeError of `first` becomes the caller's Unavailable.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(result: Any, error: BusError | None) -> None:
            if error is None and first is not None:
                try:
                    first(result)
                except (ValueError, TypeError) as wrong:
                    error = Unavailable(f"Klipper gave an answer that cannot be understood: {wrong}")
            settle(future, result, error)

        self.send(method, params or {}, answered, urgent=urgent)
        return future

    def close(self) -> None:
        """Ends the connection; everything that waits fails now."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        self._end()

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self.heard = True
        try:
            frames = self._frames.feed(data)
        except FrameTooLong:
            log.error("Klipper sent a frame of more than %d bytes; reconnecting", MAX_FRAME)
            return self.close()
        for frame in frames:
            if not self.closed:
                self._take(frame)

    def _take(self, frame: bytes) -> None:
        """The edge towards Klipper: whatever one frame causes, the next one is read."""
        try:
            message = decode(frame)
            if "id" in message:
                self._answer(message)
            else:
                self._received(message)
        except Exception as error:
            if not self._complained:
                self._complained = True
                log.warning("a frame of Klipper's was dropped: %.200r", frame, exc_info=error)

    def _answer(self, message: dict[str, Any]) -> None:
        number = message["id"]
        answered = self._pending.pop(number, None) if type(number) is int else None
        if answered is None:
            return
        error = message.get("error")
        answered(message.get("result"), None if error is None else Refused(_text(error)))

    def _end(self) -> None:
        if self.closed:
            return
        self.closed = True
        pending, self._pending = self._pending, {}
        for answered in pending.values():
            answered(None, Unavailable(LOST))
        self._lost(self)


async def connect(path: Path, received: Received, lost: Callable[[Link], None]) -> Link:
    """An open link; raises OSError (a time-out is one)."""
    async with asyncio.timeout(CONNECT_TIMEOUT):
        _, link = await asyncio.get_running_loop().create_unix_connection(lambda: Link(received, lost), str(path))
    return link


def settle(future: "asyncio.Future[Any]", result: Any, error: BusError | None) -> None:
    """Ends a future that nobody may be waiting for any more."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _text(error: Any) -> str:
    found = error.get("message") if isinstance(error, dict) else error
    return found if isinstance(found, str) else str(error)
