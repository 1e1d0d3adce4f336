"""A client's connection: frames of JSON ended by 0x03 in both directions, within bounds."""

import contextlib
import json
import selectors
import socket
from collections.abc import Callable

from .loop import Loop, Timer

END = b"\x03"
READ_SIZE = 64 * 1024
MAX_FRAME = 16 * 1024 * 1024
MAX_OUTBOX = 32 * 1024 * 1024
"""A client whose unread answers grow beyond this is dropped."""
STALLED_AFTER = 5.0
"""Real seconds a client may leave the socket full before it is dropped."""


class Connection:
    """Owns the socket; `on_message` gets every decoded frame, `on_close` is called once."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_message: Callable[["Connection", object], None],
        on_close: Callable[["Connection"], None],
    ) -> None:
        sock.setblocking(False)
        self._loop = loop
        self._socket = sock
        self._on_message = on_message
        self._on_close = on_close
        self._inbox: list[bytes] = []
        self._inbox_size = 0
        self._outbox = bytearray()
        self._stalled: Timer | None = None
        self._waits_to_write = False
        self.closed = False
        loop.watch(sock, selectors.EVENT_READ, self._on_event)

    def send(self, message: dict[str, object]) -> None:
        """Queue a message; harmless after the connection has closed."""
        if self.closed:
            return
        self._outbox += json.dumps(message, separators=(",", ":")).encode() + END
        if self._stalled is None:
            self._write()
        if len(self._outbox) > MAX_OUTBOX:
            self.close()

    def close(self) -> None:
        """Close at once; what was not written is lost."""
        if self.closed:
            return
        self.closed = True
        if self._stalled is not None:
            self._stalled.cancel()
        self._loop.unwatch(self._socket)
        self._socket.close()
        self._inbox.clear()
        self._outbox.clear()
        self._on_close(self)

    def _on_event(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write()
        if events & selectors.EVENT_READ and not self.closed:
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        head, *rest = data.split(END)
        self._inbox.append(head)
        self._inbox_size += len(head)
        for chunk in rest:
            frame = b"".join(self._inbox)
            self._inbox, self._inbox_size = [chunk], len(chunk)
            self._deliver(frame)
            if self.closed:
                return
        if self._inbox_size > MAX_FRAME:
            self.close()

    def _deliver(self, frame: bytes) -> None:
        """Malformed frames are dropped without a word, as Klipper does."""
        with contextlib.suppress(ValueError, RecursionError):
            self._on_message(self, json.loads(frame))

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._outbox)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        del self._outbox[:sent]
        self._watch_progress(sent)

    def _watch_progress(self, sent: int) -> None:
        if sent and self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        waits = bool(self._outbox)
        if waits and self._stalled is None:
            self._stalled = self._loop.call_later(STALLED_AFTER, self.close)
        if waits != self._waits_to_write:
            self._waits_to_write = waits
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
            self._loop.watch(self._socket, events, self._on_event)
