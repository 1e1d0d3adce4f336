"""The MQTT 3.1.1 packet format: an incremental frame parser, and readers and writers for each packet a broker meets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

CONNECT: Final = 0x10
PUBLISH: Final = 3
PUBACK: Final = 0x40
PUBREC: Final = 0x50
PUBREL: Final = 0x62
PUBCOMP: Final = 0x70
SUBSCRIBE: Final = 0x82
UNSUBSCRIBE: Final = 0xA2
PINGREQ: Final = 0xC0
DISCONNECT: Final = 0xE0

PROTOCOL: Final = b"\0\4MQTT\4"
"""How the body of a CONNECT of MQTT 3.1.1 begins; flags and keep-alive follow."""
CLIENT_ID_AT: Final = 10
PLAIN_CONNECT: Final = 0x02
"""The flags of a clean session without will, user and password."""

PINGRESP: Final = b"\xd0\x00"
SUBSCRIBE_FAILURE: Final = 0x80
LONGEST_LENGTH_FIELD: Final = 4
MOST_FILTERS: Final = 2000
"""In one packet; a mebibyte has room for 260 000, which would take long."""

Frame = tuple[int, bytes, int, int, int]
"""First byte, buffer, and the positions in it where the packet starts, its body starts, and it ends."""


class ProtocolError(Exception):
    """The peer broke MQTT 3.1.1; the connection must be closed (section 4.8)."""


class PacketTooLarge(ProtocolError):
    """A packet announces more bytes than are accepted."""


class UnsupportedVersion(ProtocolError):
    """CONNECT asks for another protocol than MQTT 3.1.1 (section 3.1.2.2)."""


class Frames:
    """Cuts received bytes into packets, keeping at most one unfinished packet of `limit` bytes."""

    __slots__ = ("_need", "_partial", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._partial = bytearray()
        self._need = 2

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each packet that is now complete; raises before buffering one that claims too many bytes."""
        if self._partial:
            self._partial += data
            if len(self._partial) < self._need:
                return
            data = bytes(self._partial)
            self._partial = bytearray()
        start, size, need = 0, len(data), 2
        while size - start >= need:
            length, body = data[start + 1], start + 2
            if length > 127:
                length, body = _long_length(data, start, size)
                if not body:
                    need = size - start + 1
                    break
            if length > self.limit:
                raise PacketTooLarge(f"a packet of {length} bytes")
            end = body + length
            if end > size:
                need = end - start
                break
            yield data[start], data, start, body, end
            start = end
        if start < size:
            self._partial += data[start:]
            self._need = need


def _long_length(data: bytes, start: int, size: int) -> tuple[int, int]:
    """Remaining length of several bytes and where the body starts, which is 0 when bytes are missing."""
    length = 0
    for index in range(LONGEST_LENGTH_FIELD):
        at = start + 1 + index
        if at >= size:
            return 0, 0
        length |= (data[at] & 127) << (7 * index)
        if data[at] < 128:
            return length, at + 1
    raise ProtocolError("remaining length of more than four bytes")


class _Cursor:
    """Reads fields of a packet body in order."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def _pass(self, size: int) -> int:
        """Go past a field; where it starts."""
        start = self._at
        self._at = start + size
        if self._at > len(self._data):
            raise ProtocolError("a field is cut short")
        return start

    def byte(self) -> int:
        return self._data[self._pass(1)]

    def number(self) -> int:
        start = self._pass(2)
        return self._data[start] << 8 | self._data[start + 1]

    def binary(self) -> bytes:
        size = self.number()
        start = self._pass(size)
        return self._data[start : start + size]

    def text(self) -> str:
        return read_text(self.binary())

    @property
    def done(self) -> bool:
        return self._at >= len(self._data)


def read_text(raw: bytes) -> str:
    """A UTF-8 string without NUL (section 1.5.3)."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("a string is not UTF-8") from error
    if "\0" in text:
        raise ProtocolError("a string contains NUL")
    return text


@dataclass(frozen=True, slots=True)
class Will:
    """What to publish when the connection ends without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


@dataclass(slots=True)
class Connect:
    """The fields of a CONNECT packet."""

    client_id: str
    clean: bool
    keep_alive: int
    will: Will | None
    user: str | None
    password: bytes | None


def read_connect(body: bytes) -> Connect:
    """Parse CONNECT (section 3.1); raises UnsupportedVersion for other protocol names and levels."""
    if not body.startswith(PROTOCOL):
        _refuse_protocol(_Cursor(body))
    if len(body) < CLIENT_ID_AT:
        raise ProtocolError("CONNECT is cut short")
    flags, keep_alive = body[7], body[8] << 8 | body[9]
    if flags != PLAIN_CONNECT:
        _check_connect_flags(flags)
    cursor = _Cursor(body, CLIENT_ID_AT)
    client_id = cursor.text()
    will = _read_will(cursor, flags) if flags & 0x04 else None
    user = cursor.text() if flags & 0x80 else None
    password = cursor.binary() if flags & 0x40 else None
    if not cursor.done:
        raise ProtocolError("CONNECT is longer than its fields")
    return Connect(client_id, bool(flags & 0x02), keep_alive, will, user, password)


def _refuse_protocol(cursor: _Cursor) -> None:
    name, level = cursor.binary(), cursor.byte()
    raise UnsupportedVersion(f"protocol {name!r} level {level}")


def _check_connect_flags(flags: int) -> None:
    if flags & 0x01:
        raise ProtocolError("the reserved CONNECT flag is set")
    if (flags & 0x38 and not flags & 0x04) or flags & 0x18 == 0x18:
        raise ProtocolError("will flags contradict each other")
    if flags & 0x40 and not flags & 0x80:
        raise ProtocolError("a password without a user name")


def _read_will(cursor: _Cursor, flags: int) -> Will:
    return Will(cursor.text(), cursor.binary(), flags >> 3 & 3, bool(flags & 0x20))


def read_subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """Parse SUBSCRIBE (section 3.8): packet id, filters with the QoS asked for."""
    cursor = _Cursor(body)
    packet_id, filters = _read_id(cursor), []
    while not cursor.done:
        name, qos = cursor.text(), cursor.byte()
        if qos > 2:
            raise ProtocolError("a requested QoS above 2")
        filters.append((name, qos))
        _check_count(len(filters))
    _check_count(len(filters))
    return packet_id, filters


def read_unsubscribe(body: bytes) -> tuple[int, list[str]]:
    """Parse UNSUBSCRIBE (section 3.10): packet id and filters."""
    cursor = _Cursor(body)
    packet_id, filters = _read_id(cursor), []
    while not cursor.done:
        filters.append(cursor.text())
        _check_count(len(filters))
    _check_count(len(filters))
    return packet_id, filters


def _check_count(filters: int) -> None:
    if not 0 < filters <= MOST_FILTERS:
        raise ProtocolError(f"{filters} filters in one packet")


def read_id(body: bytes) -> int:
    """Parse the body of PUBACK, PUBREC, PUBREL or PUBCOMP: the packet id."""
    if len(body) != 2:
        raise ProtocolError("an acknowledgement is not two bytes long")
    return int.from_bytes(body, "big")


def _read_id(cursor: _Cursor) -> int:
    packet_id = cursor.number()
    if not packet_id:
        raise ProtocolError("packet id 0")
    return packet_id


def length_field(length: int) -> bytes:
    """The remaining length of a fixed header (section 2.2.3)."""
    if length < 128:
        return bytes((length,))
    if length < 16_384:
        return bytes((length & 127 | 128, length >> 7))
    field = bytearray()
    while length > 127:
        field.append(length & 127 | 128)
        length >>= 7
    field.append(length)
    return bytes(field)


def encode_topic(topic: str) -> bytes:
    """A topic name as it stands in a packet, with its length."""
    raw = topic.encode()
    return len(raw).to_bytes(2, "big") + raw


def publish_head(topic: bytes, size: int, qos: int, *, retain: bool = False, dup: bool = False) -> bytes:
    """A PUBLISH of `size` payload bytes up to and without its packet id; `topic` is an encoded one."""
    first = 0x30 | dup << 3 | qos << 1 | retain
    return bytes((first,)) + length_field(len(topic) + size + (2 if qos else 0)) + topic


def connack(code: int, *, present: bool = False) -> bytes:
    """CONNACK with a return code and the session-present flag (section 3.2)."""
    return bytes((0x20, 2, present, code))


def acknowledge(first: int, packet_id: int) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP, told by the first byte."""
    return bytes((first, 2, packet_id >> 8, packet_id & 255))


def suback(packet_id: int, codes: Sequence[int]) -> bytes:
    """SUBACK with one return code per filter (section 3.9)."""
    return b"\x90" + length_field(2 + len(codes)) + packet_id.to_bytes(2, "big") + bytes(codes)


def unsuback(packet_id: int) -> bytes:
    """UNSUBACK (section 3.11)."""
    return b"\xb0\x02" + packet_id.to_bytes(2, "big")
