"""The form of the records in the broker's own store: keys that sort, and checksums that tell damage."""

from struct import Struct
from typing import Any, Final
from zlib import crc32

import orjson

from .log_record import DamagedRecord

RETAINED: Final = b"r"
"""A retained message, by its own number."""
SESSION: Final = b"s"
"""A persistent session, by its number: who it belongs to, its subscriptions, and when its client left."""
RECEIVED: Final = b"i"
"""Packet ids of QoS 2 messages that a session's client has sent and not yet released."""
MESSAGE: Final = b"m"
"""A message that waits in at least one session, by its own number."""
WAITING: Final = b"w"
"""A place in a session's line, by session and position: which message waits there, and how far it got."""

RECORD_VERSION = 1
_HEADER = Struct(">BII")
_KEY = Struct(">cQ")
_PLACE = Struct(">cQQ")


def key(kind: bytes, number: int) -> bytes:
    """The key of a record."""
    return _KEY.pack(kind, number)


def place(session: int, position: int) -> bytes:
    """The key of a place in a session's line; keys sort as the line stands."""
    return _PLACE.pack(WAITING, session, position)


def numbers(key: bytes) -> tuple[int, int]:
    """The numbers in a key: one and 0, or session and position; DamagedRecord for no key of ours."""
    if len(key) == _PLACE.size:
        return int.from_bytes(key[1:9], "big"), int.from_bytes(key[9:], "big")
    if len(key) == _KEY.size:
        return int.from_bytes(key[1:], "big"), 0
    raise DamagedRecord("a key of the wrong length")


def seal(key: bytes, fields: list[Any], payload: bytes = b"") -> bytes:
    """Version, CRC-32 (seeded with the key), length of the fields, fields as JSON, payload."""
    head = orjson.dumps(fields)
    return _HEADER.pack(RECORD_VERSION, _check(key, head, payload), len(head)) + head + payload


def unseal(key: bytes, record: bytes) -> tuple[list[Any], bytes]:
    """Fields and payload of a record; DamagedRecord when it is not what was written."""
    if len(record) < _HEADER.size:
        raise DamagedRecord("a record is too short")
    version, check, size = _HEADER.unpack_from(record)
    head, payload = record[_HEADER.size : _HEADER.size + size], record[_HEADER.size + size :]
    if version != RECORD_VERSION or check != _check(key, head, payload):
        raise DamagedRecord(f"record {key.hex()} is not what was written")
    fields: list[Any] = orjson.loads(head)
    return fields, payload


def _check(key: bytes, head: bytes, payload: bytes) -> int:
    return crc32(payload, crc32(head, crc32(key)))
