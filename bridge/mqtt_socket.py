"""MQTT over websocket at `/mqtt`: the frames carry a byte stream (MQTT 3.1.1 section 6)."""

from collections.abc import Callable
from typing import Protocol

from bus.access import Tls

from .frames import BINARY, UNSUPPORTED, frame
from .socket import WebSocket

SUBPROTOCOL = b"mqtt"
NORMAL = 1000


class Feed(Protocol):
    """The broker's side of a connection."""

    def feed(self, data: bytes, /) -> None:
        """Bytes from the client; packets may be split anywhere."""

    def lost(self) -> None:
        """The connection has ended."""


class MqttFactory(Protocol):
    """Makes the broker's side of a connection."""

    def __call__(
        self,
        *,
        write: Callable[[bytes], None],
        close: Callable[[], None],
        queued: Callable[[], int],
        pause: Callable[[bool], None],
        address: str,
        tls: Tls | None,
    ) -> Feed:
        """`queued` tells how many written bytes wait for the client; `pause` stops the reading from it, or goes on."""


class MqttSocket:
    """One client on `/mqtt`."""

    def __init__(self, wire: WebSocket, factory: MqttFactory, address: str) -> None:
        self._wire = wire
        self._feed = factory(
            write=self._write,
            close=self._close,
            queued=wire.queued,
            pause=wire.pause,
            address=address,
            tls=wire.tls,
        )

    def on_message(self, opcode: int, payload: bytes) -> None:
        """Binary messages only (MQTT-6.0.0-1)."""
        if opcode == BINARY:
            self._feed.feed(payload)
        else:
            self._wire.close(UNSUPPORTED, "MQTT is binary")

    def on_end(self) -> None:
        """Tells the broker."""
        self._feed.lost()

    def _write(self, data: bytes) -> None:
        self._wire.write(frame(BINARY, data))

    def _close(self) -> None:
        self._wire.close(NORMAL)
