"""A lean load generator for HTTP, websocket and MQTT request and response, the same for every server under test.

`python -m benchmarks.load http|websocket|mqtt HOST:PORT ...` prints one JSON line.
"""

import argparse
import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from os import urandom
from struct import pack, unpack_from
from time import perf_counter
from typing import TypeVar, cast

import uvloop

P = TypeVar("P", bound="Client")

WARM_UP = 0.1  # part of the time that is not measured, and comes before
METHOD = "server.info"
ID = b'"id":'
TEXT, PING, PONG = 0x81, 0x89, 0x8A  # first bytes of whole websocket frames


@dataclass(frozen=True, slots=True)
class Result:
    """Requests a second, latencies in milliseconds, and how many answers were errors."""

    requests: int
    rps: float
    p50: float
    p99: float
    errors: int


class Run:
    """Counts the answers of one measurement, over all its clients; ends when what was sent is answered."""

    def __init__(self, seconds: float) -> None:
        self._measured_from = perf_counter() + seconds * WARM_UP
        self._until = self._measured_from + seconds
        self._began = self._ended = 0.0
        self._latencies: list[float] = []
        self._errors = self._open = 0
        self.over = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def sent(self) -> float:
        """A request leaves now."""
        self._open += 1
        return perf_counter()

    def answered(self, sent: float, good: bool) -> None:
        """One answer to a request sent at `sent`; the clock runs from the first answer after the warm-up on."""
        now = perf_counter()
        self._open -= 1
        self._errors += not good
        if not self.over:
            self._note(now, now - sent)
        if self.over and not self._open and not self.done.done():
            self.done.set_result(None)

    def _note(self, now: float, latency: float) -> None:
        if self._began:
            self._latencies.append(latency)
            self._ended = now
            self.over = now >= self._until
        elif now >= self._measured_from:
            self._began = now

    def failed(self, why: str) -> None:
        """A client cannot go on."""
        if not self.done.done():
            self.done.set_exception(ConnectionError(why))

    async def result(self) -> Result:
        """The numbers, once all answers are there."""
        await self.done
        ordered = sorted(self._latencies)
        rps = len(ordered) / (self._ended - self._began)
        p50, p99 = (ordered[int(len(ordered) * part)] * 1000 for part in (0.5, 0.99))
        return Result(len(ordered), round(rps, 1), round(p50, 3), round(p99, 3), self._errors)


class Client(asyncio.Protocol):
    """One connection that keeps `in_flight` requests under way; subclasses know the protocol."""

    def __init__(self, run: Run, in_flight: int) -> None:
        self._run = run
        self._in_flight = in_flight
        self._sent: dict[int, float] = {}
        self._number = 0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says hello."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.greet()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the run if it is not over."""
        self._run.failed(f"connection lost: {exc}")

    def data_received(self, data: bytes) -> None:
        """Cuts what has arrived into messages."""
        self._buffer = self.take(self._buffer + data if self._buffer else data)

    def greet(self) -> None:
        """What comes first on the wire."""
        self.begin()

    def take(self, data: bytes) -> bytes:
        """Handles whole messages and answers the rest."""
        raise NotImplementedError

    def request(self, number: int) -> bytes:
        """The bytes of a request with this id."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        if self._transport is not None:
            self._transport.write(data)

    def begin(self) -> None:
        """Starts the requests."""
        for _ in range(self._in_flight):
            self.next()

    def next(self) -> None:
        """Sends one request, unless the time is over."""
        if not self._run.over:
            self._number += 1
            data = self.request(self._number)
            self._sent[self._number] = self._run.sent()
            self.write(data)

    def answer(self, number: int, good: bool) -> None:
        """A request was answered; others' answers on a shared topic do not count."""
        sent = self._sent.pop(number, None)
        if sent is not None:
            self._run.answered(sent, good)
            self.next()

    def rpc_answer(self, body: bytes) -> None:
        """A JSON-RPC answer, whose last member is the id."""
        self.answer(int(body[body.rindex(ID) + len(ID) : -1]), b'"error"' not in body[:32])


class HttpClient(Client):
    """HTTP/1.1 with keep-alive, one request at a time."""

    def __init__(self, run: Run, path: str, verb: str = "GET") -> None:
        super().__init__(run, 1)
        self._bytes = f"{verb} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n".encode()

    def request(self, number: int) -> bytes:
        """Always the same."""
        return self._bytes

    def take(self, data: bytes) -> bytes:
        """One answer at most can be there."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return data
        head = data[:end].lower()
        at = head.index(b"content-length:") + 15
        if len(data) < end + 4 + int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else end]):
            return data
        self.answer(self._number, data.startswith(b"HTTP/1.1 200"))
        return b""


class WebSocketClient(Client):
    """JSON-RPC on a websocket; notifications are passed over."""

    def __init__(self, run: Run, in_flight: int, method: str, params: object = None, path: str = "/websocket") -> None:
        super().__init__(run, in_flight)
        self._path = path
        self._text = call_text(method, params)
        self._open = False

    def greet(self) -> None:
        """The handshake."""
        self.write(
            b"GET %b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n" % self._path.encode()
        )

    def request(self, number: int) -> bytes:
        """A masked text frame."""
        return _masked(TEXT, self._text % {b"n": number})

    def take(self, data: bytes) -> bytes:
        """Frames, after the answer to the handshake."""
        if not self._open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return data
            if not data.startswith(b"HTTP/1.1 101"):
                self._run.failed(data[:end].decode())
                return b""
            self._open, data = True, data[end + 4 :]
            self.begin()
        return self._frames(data)

    def _frames(self, data: bytes) -> bytes:
        at = 0
        while len(data) - at >= 2:
            size, body = data[at + 1], at + 2
            if size >= 126:
                wide = size == 127
                if len(data) < body + (8 if wide else 2):
                    break
                (size,) = unpack_from(">Q" if wide else ">H", data, body)
                body += 8 if wide else 2
            if len(data) < body + size:
                break
            if data[at] == TEXT and b'"method"' not in data[body : body + 32]:
                self.rpc_answer(data[body : body + size])
            elif data[at] == PING:
                self.write(_masked(PONG, data[body : body + size]))
            at = body + size
        return data[at:]


class MqttClient(Client):
    """JSON-RPC on Moonraker's request and response topics, MQTT 3.1.1."""

    def __init__(self, run: Run, in_flight: int, instance: str, call: bytes, qos: int = 0, name: str = "load") -> None:
        super().__init__(run, in_flight)
        self._name = name
        self._qos = qos
        self._answers = f"{instance}/moonraker/api/response".encode()
        self._topic = _text(f"{instance}/moonraker/api/request".encode())
        self._call = call

    def greet(self) -> None:
        """CONNECT; SUBSCRIBE needs not wait for its answer."""
        self.write(_packet(0x10, _text(b"MQTT") + b"\x04\x02\x00\x3c" + _text(self._name.encode())))
        self.write(_packet(0x82, b"\x00\x01" + _text(self._answers) + bytes((self._qos,))))

    def request(self, number: int) -> bytes:
        """A PUBLISH."""
        body = self._call % {b"n": number}
        if not self._qos:
            return _packet(0x30, self._topic + body)
        return _packet(0x32, self._topic + pack(">H", number % 65535 + 1) + body)

    def take(self, data: bytes) -> bytes:
        """Packets: SUBACK starts the requests, PUBLISH answers them."""
        at = 0
        while True:
            body, size = _length(data, at + 1)
            if not body or len(data) < body + size:
                return data[at:]
            self._packet(data[at], data[body : body + size])
            at = body + size

    def _packet(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == 2 and body[1]:
            self._run.failed(f"CONNACK {body[1]}")
        elif kind == 9:
            self.begin()
        elif kind == 3:
            at = 2 + len(self._answers)
            if first & 6:
                self.write(_packet(0x40, body[at : at + 2]))
                at += 2
            self.rpc_answer(body[at:])


def _masked(first: int, payload: bytes) -> bytes:
    """A websocket frame as a client has to send it."""
    size, key = len(payload), urandom(4)
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
    head = bytes((first, 0x80 | size)) if size < 126 else pack(">BBH", first, 0xFE, size)
    return head + key + masked


def call_text(method: str, params: object) -> bytes:
    """A JSON-RPC request with a place for its id, whose number may be in the params, too: `%(n)d`."""
    return (
        json.dumps({"jsonrpc": "2.0", "method": method, "params": params or {}, "id": "%(n)d"})
        .encode()
        .replace(b'"%(n)d"', b"%(n)d")
    )


def _text(value: bytes) -> bytes:
    return pack(">H", len(value)) + value


def _packet(first: int, body: bytes) -> bytes:
    size, encoded = len(body), b""
    while True:
        size, digit = size >> 7, size & 0x7F
        encoded += bytes((digit | 0x80 if size else digit,))
        if not size:
            return bytes((first,)) + encoded + body


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where the body of a packet begins and its size; zeros where that has not arrived."""
    size = 0
    for index, digit in enumerate(data[at : at + 4]):
        size |= (digit & 0x7F) << (7 * index)
        if digit < 0x80:
            return at + index + 1, size
    return 0, 0


async def measure(host: str, port: int, run: Run, make: Callable[[], P], connections: int = 1) -> Result:
    """The result of a run with so many clients."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(make, host, port) for _ in range(connections)]
    try:
        return await run.result()
    finally:
        for transport, _ in opened:
            transport.abort()


async def http(
    host: str, port: int, path: str = "/server/info", *, verb: str = "GET", connections: int = 16, seconds: float = 5.0
) -> Result:
    """GET (or another verb) on keep-alive connections."""
    run = Run(seconds)
    return await measure(host, port, run, lambda: HttpClient(run, path, verb), connections)


async def websocket(
    host: str, port: int, method: str = METHOD, params: object = None, *, in_flight: int = 1, seconds: float = 5.0
) -> Result:
    """Requests on one websocket."""
    run = Run(seconds)
    return await measure(host, port, run, lambda: WebSocketClient(run, in_flight, method, params))


async def mqtt(
    host: str,
    port: int,
    instance: str,
    method: str = METHOD,
    params: object = None,
    *,
    in_flight: int = 1,
    seconds: float = 5.0,
    qos: int = 0,
) -> Result:
    """Requests of one MQTT client on the shared topic."""
    run, call = Run(seconds), call_text(method, params)
    return await measure(host, port, run, lambda: MqttClient(run, in_flight, instance, call, qos))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("transport", choices=("http", "websocket", "mqtt"))
    parser.add_argument("address", help="HOST:PORT")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--in-flight", type=int, default=1, help="requests under way (HTTP: connections)")
    parser.add_argument("--instance", default="printer")
    parser.add_argument("--method", default=METHOD)
    parser.add_argument("--params", type=json.loads, default={}, metavar="JSON", help="of the method")
    parser.add_argument("--path", default="/server/info")
    return parser.parse_args()


async def _main(chosen: argparse.Namespace) -> Result:
    host, _, port = chosen.address.rpartition(":")
    at, seconds, in_flight = int(port), chosen.seconds, chosen.in_flight
    if chosen.transport == "http":
        return await http(host, at, chosen.path, connections=in_flight, seconds=seconds)
    if chosen.transport == "websocket":
        return await websocket(host, at, chosen.method, chosen.params, in_flight=in_flight, seconds=seconds)
    return await mqtt(host, at, chosen.instance, chosen.method, chosen.params, in_flight=in_flight, seconds=seconds)


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_main(_arguments())))))
