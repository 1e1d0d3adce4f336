"""Klipper's framing: JSON objects, each ended by the byte 0x03."""

import json
from typing import Any

import orjson

TERMINATOR = b"\x03"
MAX_FRAME = 16 << 20  # bytes; a longer frame ends the connection


class FrameTooLong(Exception):
    """A frame is over the bound."""


class Frames:
    """Cuts a byte stream into frames, however it was split on its way."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that end in `data`; raises FrameTooLong."""
        *ended, rest = data.split(TERMINATOR)
        if ended and self._parts:
            ended[0] = b"".join((*self._parts, ended[0]))
            self._parts.clear()
        self._keep(rest, 0 if ended else self._size)
        if ended and len(ended[0]) > MAX_FRAME:
            raise FrameTooLong
        return ended

    def _keep(self, rest: bytes, before: int) -> None:
        self._size = before + len(rest)
        if self._size > MAX_FRAME:
            raise FrameTooLong
        if rest:
            self._parts.append(rest)


def encode(number: int, method: str, params: dict[str, Any]) -> bytes:
    """One request as a frame; raises TypeError for what is not JSON. A 0x03 in a text is escaped by JSON."""
    return orjson.dumps({"id": number, "method": method, "params": params}) + TERMINATOR


def decode(frame: bytes) -> dict[str, Any]:
    """The object of one frame; raises ValueError."""
    try:
        value = orjson.loads(frame)
    except orjson.JSONDecodeError:
        value = _lenient(frame)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _lenient(frame: bytes) -> Any:
    """Klipper's encoder lets NaN and lone surrogates through; they become null and `?`."""
    try:
        value = json.loads(frame.decode("utf-8", "replace"), parse_constant=lambda _: None)
        return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
