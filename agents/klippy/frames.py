"""What is in Klipper's frames: JSON objects."""

import json
from typing import Any

import orjson

from bus.framing import TERMINATOR


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
