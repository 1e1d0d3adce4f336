"""Websocket framing (RFC 6455 section 5): a client's bytes into messages, messages into frames."""

from collections.abc import Callable
from struct import pack, unpack_from

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RESERVED, MASKED = 0x80, 0x70, 0x80
MAX_CONTROL = 125  # payload bytes of a control frame

GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED, NO_STATUS, INVALID_TEXT = 1001, 1002, 1003, 1005, 1007
NOT_ALLOWED, TOO_BIG = 1008, 1009


class Violation(Exception):
    """The peer broke the protocol or a limit; `code` is the close code that says so."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return bytes((FIN | opcode, size)) + payload
    if size < 0x10000:
        return pack(">BBH", FIN | opcode, 126, size) + payload
    return pack(">BBQ", FIN | opcode, 127, size) + payload


def payload_of(data: bytes) -> bytes:
    """The payload of one whole unmasked frame."""
    return data[2 if data[1] < 126 else 4 if data[1] == 126 else 10 :]


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame with its status code."""
    return frame(CLOSE, pack(">H", code) + reason.encode()[: MAX_CONTROL - 2])


def close_code(payload: bytes) -> int:
    """The status code in a received close frame; raises Violation where it may not be sent."""
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 0
    if not (code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise Violation(PROTOCOL_ERROR, "invalid close code")
    require_text(payload[2:])
    return code


def require_text(payload: bytes) -> None:
    """Raises Violation where a text is not UTF-8."""
    if payload.isascii():
        return
    try:
        payload.decode()
    except UnicodeDecodeError:
        raise Violation(INVALID_TEXT, "text is not UTF-8") from None


def unmask(payload: bytes, key: bytes) -> bytes:
    """The payload without its mask."""
    size = len(payload)
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")


class FrameReader:
    """Calls `deliver(opcode, payload)` for each whole message and control frame of a client, in order.

    A message over `limit` bytes is refused as soon as its header says so. `feed` raises Violation.
    """

    __slots__ = ("_buffer", "_deliver", "_limit", "_missing", "_opcode", "_parts", "_size", "_stopped")

    def __init__(self, limit: int, deliver: Callable[[int, bytes], None]) -> None:
        self._limit = limit
        self._deliver = deliver
        self._buffer = bytearray()
        self._missing = 0  # bytes that the buffer must hold before it is worth a look
        self._opcode = 0  # of the message that is arriving in parts
        self._parts: list[bytes] = []
        self._size = 0
        self._stopped = False

    def stop(self) -> None:
        """Ignores everything from now on."""
        self._stopped = True
        self._buffer.clear()

    def feed(self, data: bytes) -> None:
        """Takes received bytes, however they are split."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._missing:
                return
            data = bytes(self._buffer)
            self._buffer.clear()
        start = 0
        while start < len(data) and not self._stopped:
            end = self._frame(data, start)
            if not end:
                self._buffer += data[start:]
                return
            start = end

    def _frame(self, data: bytes, start: int) -> int:
        """Handles one frame; where it ends, or 0 where it is not complete."""
        if len(data) - start < 2:
            return self._wait(2)
        first, second = data[start], data[start + 1]
        length, body = second & 0x7F, start + 6
        if length >= 126:
            wide = length == 127
            body += 8 if wide else 2
            if len(data) < body - 4:
                return self._wait(body - 4 - start)
            (length,) = unpack_from(">Q" if wide else ">H", data, start + 2)
        self._check(first, second, length)
        end = body + length
        if len(data) < end:
            return self._wait(end - start)
        self._take(first, unmask(data[body:end], data[body - 4 : body]))
        return end

    def _wait(self, size: int) -> int:
        self._missing = size
        return 0

    def _check(self, first: int, second: int, length: int) -> None:
        opcode = first & 0xF
        if first & RESERVED or not second & MASKED:
            raise Violation(PROTOCOL_ERROR, "reserved bits set, or not masked")
        if opcode >= CLOSE:
            if opcode > PONG or not first & FIN or length > MAX_CONTROL:
                raise Violation(PROTOCOL_ERROR, "invalid control frame")
            return
        if opcode > BINARY or (opcode == CONTINUATION) != (self._opcode != 0):
            raise Violation(PROTOCOL_ERROR, "unexpected frame")
        if self._size + length > self._limit:
            raise Violation(TOO_BIG, f"a message holds at most {self._limit} bytes")

    def _take(self, first: int, payload: bytes) -> None:
        opcode = first & 0xF
        if opcode >= CLOSE or (first & FIN and opcode):
            return self._deliver(opcode, payload)
        if opcode:
            self._opcode = opcode
        self._parts.append(payload)
        self._size += len(payload)
        if first & FIN:
            opcode, whole = self._opcode, b"".join(self._parts)
            self._opcode, self._size, self._parts = 0, 0, []
            self._deliver(opcode, whole)
        return None
