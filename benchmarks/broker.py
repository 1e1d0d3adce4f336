"""The broker against mosquitto: deliveries, connects, and round trips through a local session, each per second.

`python -m benchmarks.broker` prints a table; the load generator speaks MQTT on raw sockets to be no bottleneck itself.
"""

import argparse
import asyncio
import contextlib
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

TOPIC = b"device/topic"
REQUEST = b"bench/moonraker/api/request"
RESPONSE = b"bench/moonraker/api/response"
WINDOW_BYTES = 256 * 1024
"""How far the publisher may be ahead of the slowest subscriber."""
BURST = 64
START_SECONDS = 5.0
IDLE_FILTERS = (500, 10_000)


def field(raw: bytes) -> bytes:
    """A length-prefixed string."""
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, body: bytes) -> bytes:
    """A control packet with its fixed header."""
    length, head = len(body), bytearray((first,))
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + body


def publish(topic: bytes, payload: bytes, qos: int = 0, packet_id: int = 1) -> bytes:
    """A PUBLISH."""
    return packet(0x30 | qos << 1, field(topic) + (packet_id.to_bytes(2, "big") if qos else b"") + payload)


def receive(sock: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes."""
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionError("the broker closed a connection")
        data += part
    return data


def connect(port: int, name: str) -> socket.socket:
    """A logged-in raw connection."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(packet(0x10, field(b"MQTT") + b"\x04\x02\x00\x00" + field(name.encode())))
    if receive(sock, 4) != b"\x20\x02\x00\x00":
        raise ConnectionError("refused")
    return sock


def subscribe(sock: socket.socket, topic: bytes, qos: int = 0) -> None:
    """Subscribe and wait for the answer."""
    sock.sendall(packet(0x82, b"\x00\x01" + field(topic) + bytes((qos,))))
    receive(sock, 5)


class Subscriber:
    """Counts what arrives; all messages have the same size, so bytes tell the number."""

    def __init__(self, port: int, name: str, size: int, qos: int) -> None:
        self.sock = connect(port, name)
        subscribe(self.sock, TOPIC, qos)
        self.sock.setblocking(False)
        self.received = 0
        self._size = len(publish(TOPIC, bytes(size), qos))
        self._id_at = self._size - size - 2
        self._qos = qos
        self._rest = b""

    def read(self) -> None:
        """Take what has arrived and, at QoS 1, acknowledge it."""
        data = self._rest + self.sock.recv(256 * 1024)
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        self.received += whole // self._size
        if self._qos and whole:
            at = self._id_at
            acks = b"".join([b"\x40\x02" + data[i + at : i + at + 2] for i in range(0, whole, self._size)])
            self.sock.setblocking(True)
            self.sock.sendall(acks)
            self.sock.setblocking(False)


def deliveries(port: int, *, size: int, subscribers: int, qos: int, seconds: float, burst: int = BURST) -> float:
    """Deliveries per second to all subscribers together, from one publisher that writes `burst` messages at once."""
    readers = [Subscriber(port, f"sub-{index}", size, qos) for index in range(subscribers)]
    publisher = connect(port, "publisher")
    publisher.setblocking(False)
    burst = max(1, min(burst, WINDOW_BYTES // 4 // size))
    window = max(burst, WINDOW_BYTES // size) if not qos else 256
    blob = b"".join(publish(TOPIC, bytes(size), qos, index + 1) for index in range(burst))
    sent, pending = 0, b""
    selector = selectors.DefaultSelector()
    for reader in readers:
        selector.register(reader.sock, selectors.EVENT_READ, reader.read)
    selector.register(publisher, selectors.EVENT_READ, lambda: publisher.recv(65_536))
    start = time.perf_counter()
    end = start + seconds
    while (now := time.perf_counter()) < end:
        behind = sent - min(reader.received for reader in readers)
        if not pending and behind + burst <= window:
            pending = blob
            sent += burst
        if pending:
            with contextlib.suppress(BlockingIOError):
                pending = pending[publisher.send(pending) :]
        idle = behind + burst > window
        for key, _ in selector.select(1.0 if idle else 0):
            key.data()
    total = sum(reader.received for reader in readers)
    for sock in [publisher, *(reader.sock for reader in readers)]:
        sock.close()
    return total / (now - start)


def connects(port: int, seconds: float) -> float:
    """Connections per second, each from socket to CONNACK and DISCONNECT, one after the other."""
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        sock = connect(port, f"c{count}")
        sock.sendall(b"\xe0\x00")
        sock.close()
        count += 1
    return count / seconds


def round_trips(port: int, *, inflight: int, seconds: float) -> float:
    """Requests per second answered by an echo handler in the broker's process."""
    sock = connect(port, "caller")
    subscribe(sock, RESPONSE)
    request = publish(REQUEST, bytes(200))
    size = len(publish(RESPONSE, bytes(200)))
    sock.sendall(request * inflight)
    count, rest, end = 0, 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        answers, rest = divmod(rest + len(sock.recv(65_536)), size)
        count += answers
        if answers:
            sock.sendall(request * answers)
    sock.close()
    return count / seconds


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    """Until somebody listens."""
    end = time.perf_counter() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.perf_counter() > end:
                raise
            time.sleep(0.02)


@contextlib.contextmanager
def mosquitto() -> Iterator[int]:
    """A mosquitto with its defaults, without Nagle's delay."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nlog_type error\n")
        process = subprocess.Popen([shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)])
        try:
            wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def printbus(filters: int = 0) -> Iterator[int]:
    """Our broker in a process of its own, with a number of idle subscriptions."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.broker", "--serve", str(port), "--idle", str(filters)]
    )
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


async def serve(port: int, idle_filters: int, folder: Path) -> None:
    """Run our broker with an echo handler until the process is ended."""
    from bus.access import AccessRules, Identity, Role, TrustedNetworks
    from bus.broker import Broker
    from bus.exchange import Exchange
    from bus.limits import Limits
    from bus.listeners import BrokerSettings, Listener
    from bus.lmdb_store import LmdbStore
    from bus.session import LocalSession
    from bus.session_store import map_bytes

    limits = Limits()
    exchange = Exchange(AccessRules("bench"), limits, LmdbStore.open(folder, map_bytes(limits)))
    echo = LocalSession(exchange, Identity("printbus.echo", Role.BUS, transport="local"))
    answer = RESPONSE.decode()
    echo.subscribe(REQUEST.decode(), lambda message: echo.publish(answer, message.payload))
    for index in range(idle_filters):
        echo.subscribe(f"idle/{index}/+/x", print)
    async with Broker(exchange, TrustedNetworks(), BrokerSettings(listeners={"tcp": Listener(port=port)})):
        await asyncio.Event().wait()


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured, and by which function of a port."""

    name: str
    measure: Callable[[int], float]
    compare: bool = True


def rows(seconds: float, *, full: bool) -> list[Row]:
    """What is measured."""
    sizes, counts, levels = ((200, 10_000), (1, 10, 100), (0, 1)) if full else ((200,), (1, 10), (0, 1))
    found = [
        Row(
            f"{size} B, QoS {qos}, {count} subscribers",
            lambda port, s=size, c=count, q=qos: deliveries(port, size=s, subscribers=c, qos=q, seconds=seconds),  # type: ignore[misc]
        )
        for size in sizes
        for qos in levels
        for count in counts
    ]
    found += [
        Row(
            f"200 B, QoS 0, {count} subscribers, singly",
            lambda port, c=count: deliveries(port, size=200, subscribers=c, qos=0, seconds=seconds, burst=1),  # type: ignore[misc]
        )
        for count in counts
    ]
    found.append(Row("connects", lambda port: connects(port, seconds)))
    found.append(
        Row("requests, in sequence", lambda port: round_trips(port, inflight=1, seconds=seconds), compare=False)
    )
    found.append(
        Row("requests, 16 in flight", lambda port: round_trips(port, inflight=16, seconds=seconds), compare=False)
    )
    return found


def compare(seconds: float, repeats: int, *, full: bool, only: str) -> None:
    """Measure both in turns, and print the medians: of the rates, and of the ratios within each round."""
    print(f"{'per second':36} {'printbus':>10} {'mosquitto':>10} {'ratio':>6}")
    with printbus() as ours, mosquitto() as theirs:
        for row in rows(seconds, full=full):
            if only not in row.name:
                continue
            print(_line(row, ours, theirs if row.compare else None, repeats), flush=True)
    for count in IDLE_FILTERS:
        row = Row(
            f"200 B, 1 subscriber, {count} idle filters",
            lambda port: deliveries(port, size=200, subscribers=1, qos=0, seconds=seconds),
        )
        if only not in row.name:
            continue
        with printbus(count) as loaded, printbus() as empty:
            print(_line(row, loaded, empty, repeats), "(with / without)", flush=True)


def _line(row: Row, ours: int, theirs: int | None, repeats: int) -> str:
    """One row of the table."""
    if theirs is None:
        return f"{row.name:36} {median(row.measure(ours) for _ in range(repeats)):10,.0f}"
    rounds = [(row.measure(ours), row.measure(theirs)) for _ in range(repeats)]
    mine, other = (median(rates) for rates in zip(*rounds, strict=True))
    return f"{row.name:36} {mine:10,.0f} {other:10,.0f} {median(one / two for one, two in rounds):6.2f}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="10 kB messages and 100 subscribers too")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name contains this")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("--idle", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        import uvloop

        with tempfile.TemporaryDirectory() as folder:
            uvloop.run(serve(options.serve, options.idle, Path(folder)))
    else:
        compare(options.seconds, options.repeats, full=options.full, only=options.only)


if __name__ == "__main__":
    main()
