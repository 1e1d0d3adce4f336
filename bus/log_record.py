"""The form in which an event is stored: a checksummed record under its sequence number."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import NamedTuple, TypeAlias
from uuid import UUID, SafeUUID
from zlib import crc32

import orjson

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"
Position = int
START: Position = 0
Item = tuple[bytes, bytes]
"""A stored key and its record."""

RECORD_VERSION = 1
_HEADER = Struct(">BII")
_HEADER_BYTES = _HEADER.size
_KEY = Struct(">Q")
_CRC_MASK = 0xFFFFFFFF
pack_key = _KEY.pack


class DamagedRecord(Exception):
    """A stored record is not what was written."""


class NewEvent(NamedTuple):
    """A fact to be stored; `type` is versioned (`print.started.1`), `data` must not be changed afterwards."""

    type: str
    data: Mapping[str, JSON]
    actor: Mapping[str, JSON] | None = None


class StoredEvent(NamedTuple):
    """A fact of the log; `seq` gives the order, `time` (Unix, seconds) is only for showing."""

    seq: Position
    time: float
    stream: str
    type: str
    actor: Mapping[str, JSON] | None
    data: Mapping[str, JSON]
    append_id: UUID


def encode(event: StoredEvent) -> Item:
    """Key, and version byte, length, CRC-32 (seeded with the key) and body; TypeError for data that is not JSON."""
    body = orjson.dumps([event.time, event.stream, event.type, event.actor, event.append_id.hex, event.data])
    check = crc32(body, event.seq & _CRC_MASK)
    return pack_key(event.seq), _HEADER.pack(RECORD_VERSION, len(body), check) + body


def verified(item: Item) -> tuple[Position, bytes]:
    """Sequence number and body of a record; DamagedRecord when anything about it is wrong."""
    key, record = item
    if len(key) != _KEY.size or len(record) < _HEADER_BYTES:
        raise DamagedRecord("key or record too short")
    seq = int.from_bytes(key, "big")
    body = record[_HEADER_BYTES:]
    if _HEADER.unpack_from(record) != (RECORD_VERSION, len(body), crc32(body, seq & _CRC_MASK)):
        raise DamagedRecord(f"record {seq} is not what was written")
    return seq, body


class Room:
    """How many bytes of records are still to be taken at once; the one that is too many is the last."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, items: Iterable[Item]) -> Iterator[Item]:
        """Items for as long as there is room."""
        for item in items:
            self.left -= len(item[1])
            yield item
            if self.left <= 0:
                return


class Summary(NamedTuple):
    """What an index needs of a record."""

    seq: Position
    time: float
    stream: str
    append_id: bytes


def summary(item: Item) -> Summary:
    """What an index needs of a record; DamagedRecord when anything about it is wrong."""
    seq, body = verified(item)
    fields = orjson.loads(body)
    return Summary(seq, fields[0], fields[1], bytes.fromhex(fields[4]))


# What UUID's own __init__ does costs more than the JSON parser: replay decodes millions of records.
_SET_INT, _SET_SAFE = (UUID.__dict__[name].__set__ for name in ("int", "is_safe"))


def quick_uuid(number: int) -> UUID:
    """The UUID with this number, of 128 bits."""
    made = object.__new__(UUID)
    _SET_INT(made, number)
    _SET_SAFE(made, SafeUUID.unknown)
    return made


def decode(items: Iterable[Item]) -> list[StoredEvent]:
    """The events of stored records, in their order; DamagedRecord when one is not what was written."""
    loads, unpack, made = orjson.loads, _HEADER.unpack_from, StoredEvent._make
    events: list[StoredEvent] = []
    for key, record in items:
        seq, body = int.from_bytes(key, "big"), record[_HEADER_BYTES:]
        if len(record) < _HEADER_BYTES or unpack(record) != (RECORD_VERSION, len(body), crc32(body, seq & _CRC_MASK)):
            raise DamagedRecord(f"record {seq} is not what was written")
        time, stream, kind, actor, append_id, data = loads(body)
        events.append(made((seq, time, stream, kind, actor, data, quick_uuid(int(append_id, 16)))))
    return events
