"""The websocket handshake (RFC 6455 section 4): what was asked for, and the answer."""

from base64 import b64decode, b64encode
from binascii import Error
from hashlib import sha1
from http import HTTPStatus
from typing import NamedTuple

from bus.errors import BusError, InvalidRequest

from .answers import failure

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION = b"13"


class Handshake(NamedTuple):
    """A request to upgrade: path, query, headers by lower-case name (in order) and offered subprotocols."""

    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    key: bytes
    subprotocols: list[bytes]


def parse(request: bytes) -> Handshake:
    """Reads a request whose HTTP form was checked already; raises InvalidRequest where it is not a proper handshake."""
    first, *lines = request.removesuffix(b"\r\n\r\n").split(b"\r\n")
    verb, target, _ = first.split(b" ", 2)
    headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in lines)]
    by_name = dict(headers)
    key = by_name.get(b"sec-websocket-key", b"")
    if verb != b"GET" or by_name.get(b"sec-websocket-version") != VERSION or not _is_key(key):
        raise InvalidRequest("Not a websocket handshake of version 13")
    offered = by_name.get(b"sec-websocket-protocol", b"")
    names = [name.strip() for name in offered.split(b",") if name.strip()]
    path, _, query = target.partition(b"?")
    return Handshake(path.decode("latin-1"), query, headers, key, names)


def _is_key(key: bytes) -> bool:
    try:
        return len(b64decode(key, validate=True)) == 16
    except Error:
        return False


def acceptance(key: bytes, subprotocol: bytes | None = None) -> bytes:
    """The answer that opens the websocket."""
    proof = b64encode(sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455 asks for it; it protects nothing
    chosen = b"Sec-WebSocket-Protocol: %b\r\n" % subprotocol if subprotocol is not None else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (proof, chosen)
    )


def refusal(error: BusError) -> bytes:
    """The answer that does not, in the error shape of HTTP."""
    status, body = failure(error)
    phrase = HTTPStatus(status).phrase.encode()
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: %d\r\n"
        b"Sec-WebSocket-Version: 13\r\nConnection: close\r\n\r\n%b" % (status, phrase, len(body), body)
    )
