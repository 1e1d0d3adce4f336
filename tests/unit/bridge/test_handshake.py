"""The handshake and its refusals."""

import orjson
import pytest

from bridge.handshake import acceptance, parse, refusal
from bus.errors import Forbidden, InvalidRequest

GOOD = (
    b"GET /websocket?token=x HTTP/1.1\r\nHost: a\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"sec-websocket-version: 13\r\nSec-WebSocket-Protocol: mqttv3.1,  mqtt\r\nOrigin: \r\n\r\n"
)


def test_a_good_one() -> None:
    found = parse(GOOD)
    assert found.path == "/websocket"
    assert found.subprotocols == [b"mqttv3.1", b"mqtt"]
    assert (b"origin", b"") in found.headers and (b"host", b"a") in found.headers


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"GET", b"POST"),
        (b"version: 13", b"version: 8"),
        (b"sec-websocket-version: 13\r\n", b""),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhl"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"?"),
        (b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""),
    ],
)
def test_bad_ones(old: bytes, new: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(GOOD.replace(old, new))


def test_the_proof_is_the_one_of_the_standard() -> None:
    """RFC 6455 section 1.3 has this example."""
    answer = acceptance(b"dGhlIHNhbXBsZSBub25jZQ==", b"mqtt")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in answer and answer.endswith(b"\r\n\r\n")
    assert b"Protocol:" not in acceptance(b"dGhlIHNhbXBsZSBub25jZQ==").replace(b"Switching Protocols", b"")


def test_a_refusal_has_the_error_shape() -> None:
    head, _, body = refusal(Forbidden("no")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert orjson.loads(body) == {"error": {"code": 403, "message": "no"}}
