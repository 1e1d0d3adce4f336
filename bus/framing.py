"""Messages on unix sockets, as Klipper and Moonraker send them: each ended by the byte 0x03."""

TERMINATOR = b"\x03"
MAX_FRAME = 16 << 20  # bytes; a longer frame ends the connection


class FrameTooLong(Exception):
    """A frame is over the bound."""


class Frames:
    """Cuts a byte stream into frames, however it was split on its way."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that end in `data`; raises FrameTooLong."""
        *ended, rest = data.split(TERMINATOR)
        if ended and self._parts:
            ended[0] = b"".join((*self._parts, ended[0]))
            self._parts.clear()
        self._keep(rest, 0 if ended else self._size)
        if ended and len(ended[0]) > self._limit:
            raise FrameTooLong
        return ended

    def _keep(self, rest: bytes, before: int) -> None:
        self._size = before + len(rest)
        if self._size > self._limit:
            raise FrameTooLong
        if rest:
            self._parts.append(rest)
