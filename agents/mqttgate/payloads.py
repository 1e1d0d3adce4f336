"""Values of JSON-RPC as payloads of MQTT, and back."""

from typing import Any

import orjson

from bus.envelope import dumps


def encoded(value: Any) -> bytes:
    """Text as it is, nothing for null, JSON for everything else."""
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else dumps(value)


def decoded(payload: bytes) -> Any:
    """What JSON stands for, text that is none as it is (with U+FFFD for what is no UTF-8), null for nothing."""
    if not payload:
        return None
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return payload.decode(errors="replace")
