"""MQTT over websocket at `/mqtt`, with the broker's side at the end of the wire (MQTT 3.1.1 section 6)."""

import asyncio
from collections.abc import Callable
from functools import partial

from bridge.mqtt_socket import Feed
from bus.access import AccessRules, Identity, Role, Tls, TrustedNetworks
from bus.engine import Connection
from bus.exchange import Exchange
from bus.limits import Limits
from bus.session import LocalSession
from tests.conftest import Run
from tests.mqtt_wire import connect, packet, publish, subscribe
from tests.unit.bridge.wire import running, until
from tests.unit.bridge.ws_client import masked, websocket

MQTT = {"Sec-WebSocket-Protocol": "mqttv3.1, mqtt"}


class Broker:
    """Keeps what it is fed; `write` and `close` are what it was given."""

    def __init__(self) -> None:
        self.received = b""
        self.lost_count = 0
        self.address = ""
        self.write: Callable[[bytes], None] = lambda _: None
        self.close: Callable[[], None] = lambda: None
        self.refuses = False

    def __call__(
        self,
        *,
        write: Callable[[bytes], None],
        close: Callable[[], None],
        queued: Callable[[], int],
        pause: Callable[[bool], None],
        address: str,
        tls: Tls | None,
    ) -> Feed:
        self.write, self.close, self.address = write, close, address
        if self.refuses:
            close()
        return self

    def feed(self, data: bytes) -> None:
        self.received += data

    def lost(self) -> None:
        self.lost_count += 1


def test_bytes_pass_whatever_the_frames(run: Run[None]) -> None:
    async def main() -> None:
        broker = Broker()
        async with running(broker) as behind, websocket(behind.port, "/mqtt", **MQTT) as client:
            assert client.status == 101 and b"Sec-WebSocket-Protocol: mqtt\r\n" in client.head
            assert broker.address == "127.0.0.1"
            big = bytes(range(256)) * 8192  # 2 MiB in one frame
            client.raw(masked(2, b"\x10") + masked(2, b"\x0c", fin=False) + masked(0, b"rest") + masked(2, big))
            await until(lambda: len(broker.received) == len(big) + 6)
            assert broker.received == b"\x10\x0crest" + big
            broker.write(b"\x20\x02\x00\x00")
            broker.write(b"")
            assert await client.frame() == (2, b"\x20\x02\x00\x00")
            assert behind.bridge.connections == 0

    run(main())


def test_ends_from_either_side(run: Run[None]) -> None:
    async def main() -> None:
        broker = Broker()
        async with running(broker) as behind:
            async with websocket(behind.port, "/mqtt", **MQTT) as client:
                broker.write(b"bye")
                broker.close()
                broker.close()
                assert await client.frame() == (2, b"bye")
                assert await client.close_code() == 1000
            await until(lambda: broker.lost_count == 1)
            async with websocket(behind.port, "/mqtt", **MQTT):
                pass
            await until(lambda: broker.lost_count == 2)

    run(main())


def test_text_is_1003(run: Run[None]) -> None:
    async def main() -> None:
        broker = Broker()
        async with running(broker) as behind, websocket(behind.port, "/mqtt", **MQTT) as client:
            client.raw(masked(1, b"text"))
            assert await client.close_code() == 1003
            assert broker.received == b"" and broker.lost_count == 1

    run(main())


def test_a_broker_that_has_enough_clients_leaves_nothing_behind(run: Run[None]) -> None:
    async def main() -> None:
        broker = Broker()
        broker.refuses = True
        async with running(broker, max_websockets=1) as behind:
            for turn in range(1, 4):
                async with websocket(behind.port, "/mqtt", **MQTT) as client:
                    assert client.status == 101
                    assert await client.close_code() == 1000
                await until(lambda: len(behind.bridge._door) == 0)
                assert broker.lost_count == turn

    run(main())


def test_the_subprotocol_and_the_gate(run: Run[None]) -> None:
    async def main() -> None:
        broker = Broker()
        async with running(broker) as behind:
            for headers, status in (
                ({}, 404),
                ({"Sec-WebSocket-Protocol": "other"}, 404),
                (MQTT | {"Origin": "http://evil.example"}, 403),
            ):
                async with websocket(behind.port, "/mqtt", **headers) as client:
                    assert client.status == status
            await asyncio.sleep(0)
            assert broker.address == ""
            forwarded = MQTT | {"X-Forwarded-For": "127.0.0.1"}
            async with websocket(behind.port, "/mqtt", **forwarded):
                assert not TrustedNetworks().trusts(broker.address)

    run(main())


def test_a_client_that_does_not_read_is_cut_by_the_broker(run: Run[None]) -> None:
    async def main() -> None:
        exchange = Exchange(AccessRules("test"), Limits(queued_bytes=2_000_000))
        factory = partial(Connection, exchange, TrustedNetworks(), transport="mqtt+ws")
        local = LocalSession(exchange, Identity("printbus.test", Role.BUS, transport="local"))
        async with running(factory) as behind, websocket(behind.port, "/mqtt", **MQTT) as slow:
            slow.raw(masked(2, connect("slow") + subscribe(("t", 0))))
            await until(lambda: exchange.subscriptions == 1)
            slow._reader._transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(300):
                local.publish("t", bytes(50_000))
                await asyncio.sleep(0)
                if exchange.counters.slow_readers_cut:
                    break
            assert exchange.counters.slow_readers_cut == 1
            assert exchange.sessions.connected == 0

    run(main())


def test_a_client_that_floods_is_read_no_faster_than_it_is_served(run: Run[None]) -> None:
    async def main() -> None:
        exchange = Exchange(
            AccessRules("test"), Limits(packet_bytes=128 << 10)
        )  # it is cut with four times that unserved
        factory = partial(Connection, exchange, TrustedNetworks(), transport="mqtt+ws")
        async with running(factory) as behind, websocket(behind.port, "/mqtt", **MQTT) as flooder:
            burst = masked(2, publish("t", b"x") * 2000)
            flooder.raw(masked(2, connect("flooder")) + burst * 200 + masked(2, packet(0xC0)))
            assert await flooder.frame() == (2, b"\x20\x02\x00\x00")
            assert await flooder.frame() == (2, b"\xd0\x00")
            assert exchange.counters.publishes == 400_000

    run(main())
