"""The listeners: tcp on IPv4 and IPv6, TLS with and without client certificates, unix socket, websocket."""

import asyncio
import contextlib
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import websockets

from bus.access import AccessRules, Identity, Login, Refusal, Tls, TrustedNetworks
from bus.broker import Broker
from bus.exchange import Exchange
from bus.limits import Limits
from bus.listeners import BrokerSettings, Listener
from tests.brokers import LOOPS, Local, LoopFactory, play, until
from tests.mqtt_wire import Clients, WireClient, clients_of, connect, packet, publish, subscribe


@contextlib.asynccontextmanager
async def listening(*listeners: Listener, limits: Limits | None = None) -> AsyncIterator[tuple[Exchange, Broker]]:
    exchange = Exchange(AccessRules("i"), limits)
    settings = BrokerSettings(listeners={f"l{index}": listener for index, listener in enumerate(listeners)})
    async with Broker(exchange, TrustedNetworks(), settings) as broker:
        yield exchange, broker


async def login(address: tuple[str, int], context: ssl.SSLContext) -> WireClient:
    client = WireClient(*await asyncio.open_connection(*address, ssl=context))
    return await client.login("one")


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_tls_listener_beside_a_plain_one(certificates: Path, loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        secure = Listener(port=0, certfile=certificates / "server.pem", keyfile=certificates / "server.key")
        async with listening(Listener(port=0), secure) as (_, broker):
            plain_address, secure_address = broker.addresses
            client = await login(secure_address, ssl.create_default_context(cafile=certificates / "ca.pem"))
            await client.ping()
            async with clients_of(plain_address) as clients:
                await (await clients("two")).ping()
            with pytest.raises(ssl.SSLCertVerificationError):
                await login(secure_address, ssl.create_default_context())
            await client.drop()

    play(scenario(), loop_factory)


def test_client_certificate_can_be_required(certificates: Path) -> None:
    async def scenario() -> None:
        listener = Listener(
            port=0,
            certfile=certificates / "server.pem",
            keyfile=certificates / "server.key",
            cafile=certificates / "ca.pem",
            require_certificate=True,
        )
        async with listening(listener) as (exchange, broker):
            context = ssl.create_default_context(cafile=certificates / "ca.pem")
            with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                await login(broker.addresses[0], context)
            context.load_cert_chain(certificates / "client.pem", certificates / "client.key")
            client = await login(broker.addresses[0], context)
            await client.ping()
            assert exchange.counters.connects == 1
            await client.drop()

    play(scenario())


class Noted(TrustedNetworks):
    """Trusts as usual, and keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.wires: list[Tls | None] = []

    def authenticate(self, login: Login) -> Identity | Refusal:
        self.wires.append(login.tls)
        return super().authenticate(login)


def test_the_name_in_a_client_certificate_is_known_on_every_kind_of_listener(certificates: Path) -> None:
    async def scenario() -> None:
        files = {"certfile": certificates / "server.pem", "keyfile": certificates / "server.key"}
        secure = [Listener(type=kind, port=0, cafile=certificates / "ca.pem", **files) for kind in ("tcp", "ws")]
        settings = BrokerSettings(listeners={"plain": Listener(port=0), "tcp": secure[0], "ws": secure[1]})
        noted = Noted()
        async with Broker(Exchange(AccessRules("i")), noted, settings) as broker:
            plain, tcp, ws = broker.addresses
            anonymous, named = (ssl.create_default_context(cafile=certificates / "ca.pem") for _ in range(2))
            named.load_cert_chain(certificates / "client.pem", certificates / "client.key")
            await (await (await WireClient.open(plain)).login("one")).drop()
            for context in (anonymous, named):
                await (await login(tcp, context)).drop()
                url, subprotocols = f"wss://127.0.0.1:{ws[1]}/mqtt", [websockets.Subprotocol("mqtt")]
                async with websockets.connect(url, subprotocols=subprotocols, ssl=context) as socket:
                    await socket.send(connect("one"))
                    assert await socket.recv() == b"\x20\x02\x00\x00"
        assert noted.wires == [None, Tls(None), Tls(None), Tls("client"), Tls("client")]

    play(scenario())


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, True),
        ({"Origin": "http://localhost:8080"}, True),
        ({"Origin": "https://panel.example.org"}, True),
        ({"Origin": "https://panel.example.org.evil.example"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Host": "printer.example.org", "Origin": "http://printer.example.org"}, True),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, False),
        ({"Host": "evil.example"}, False),
    ],
)
def test_websockets_of_foreign_pages_are_refused(headers: dict[str, str], let_in: bool) -> None:
    async def scenario() -> None:
        listener = Listener(type="ws", port=0, origins=("https://panel.example.org",), hosts=("printer.example.org",))
        async with listening(listener) as (exchange, broker):
            reader, writer = await asyncio.open_connection(*broker.addresses[0])
            lines = {
                "Host": "voron",
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
                "Sec-WebSocket-Protocol": "mqtt",
            } | headers
            writer.write(
                "".join(["GET /mqtt HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in lines.items()), "\r\n"]).encode()
            )
            assert (b" 101 " if let_in else b" 403 ") in await reader.readline()
            assert let_in or not exchange.sessions.links
            writer.close()

    play(scenario())


def test_unix_socket_is_private_to_its_group_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"

    async def scenario() -> None:
        async with listening(Listener(type="unix", path=path)) as (exchange, _):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            client = WireClient(*await asyncio.open_unix_connection(path))
            await client.login("one")
            local = Local(exchange, "t")
            await client.publish("t", b"x", qos=1)
            assert local.seen == [("t", b"x")]
            await client.drop()
        assert not path.exists()

    play(scenario())


@pytest.mark.parametrize("loop_factory", LOOPS)
def test_websocket_listener_takes_any_framing(loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        async with listening(Listener(type="ws", port=0)) as (exchange, broker):
            host, port = broker.addresses[0]
            url = f"ws://{host}:{port}/mqtt"
            local = Local(exchange, "t")
            async with websockets.connect(url, subprotocols=[websockets.Subprotocol("mqtt")], max_size=None) as client:
                assert client.subprotocol == "mqtt"
                stream = connect("one") + subscribe(("t", 0))
                for start in range(0, len(stream), 5):
                    await client.send(stream[start : start + 5])
                received = b""
                while len(received) < 9:
                    part = await client.recv()
                    assert isinstance(part, bytes)
                    received += part
                assert received == b"\x20\x02\x00\x00" + b"\x90\x03\x00\x01\x00"
                await client.send(publish("t", bytes(700_000)) + publish("t", bytes(800_000)))
                got = 0
                while got < 1_500_000:
                    got += len(await client.recv())
                assert [len(payload) for _, payload in local.seen] == [700_000, 800_000]
                await client.send(packet(0xE0))
                with pytest.raises(websockets.ConnectionClosed):
                    while True:
                        await client.recv()
            assert exchange.sessions.connected == 0

    play(scenario(), loop_factory)


def test_websocket_with_a_text_message_or_a_violation_is_closed() -> None:
    async def scenario() -> None:
        async with listening(Listener(type="ws", port=0)) as (exchange, broker):
            host, port = broker.addresses[0]
            for rubbish in ("text", bytes(20)):
                async with websockets.connect(
                    f"ws://{host}:{port}", subprotocols=[websockets.Subprotocol("mqtt")]
                ) as one:
                    await one.send(rubbish)
                    with pytest.raises(websockets.ConnectionClosed):
                        await asyncio.wait_for(one.recv(), 20)
            assert exchange.sessions.links == []

    play(scenario())


def test_slow_reader_on_a_websocket_is_cut() -> None:
    async def scenario() -> None:
        async with listening(Listener(type="ws", port=0), limits=Limits(queued_bytes=200_000)) as (exchange, broker):
            host, port = broker.addresses[0]
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(
                b"GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
            )
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            stream = connect("stalled") + subscribe(("t", 0))
            writer.write(bytes((0x82, 0x80 | len(stream), 0, 0, 0, 0)) + stream)
            await until(lambda: exchange.subscriptions == 1)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            local = Local(exchange)
            for _ in range(2000):
                local.session.publish("t", bytes(10_000))
                await asyncio.sleep(0)
                if exchange.counters.slow_readers_cut:
                    break
            assert exchange.counters.slow_readers_cut == 1
            writer.close()

    play(scenario())


def test_ipv6_listener() -> None:
    async def scenario() -> None:
        async with listening(Listener(host="::1", port=0)) as (_, broker):
            clients = Clients(broker.addresses[0])
            await (await clients("one")).ping()
            await clients.close()

    play(scenario())


def test_nagle_is_off_and_dead_peers_are_noticed() -> None:
    async def scenario() -> None:
        async with listening(Listener(port=0)) as (exchange, broker):
            clients = Clients(broker.addresses[0])
            await clients("one")
            (link,) = exchange.sessions.links
            sock = link._write.__self__.get_extra_info("socket")  # type: ignore[attr-defined]
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
            await clients.close()

    play(scenario())


def test_port_in_use_is_an_os_error_and_leaves_nothing_open() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            exchange = Exchange(AccessRules("i"))
            settings = BrokerSettings(
                listeners={"good": Listener(port=0), "bad": Listener(port=taken.getsockname()[1])}
            )
            with pytest.raises(OSError, match="in use"):
                async with Broker(exchange, TrustedNetworks(), settings):
                    pass

    play(scenario())


@pytest.mark.parametrize(
    "values",
    [
        {"certfile": "a.pem"},
        {"require_certificate": True},
        {"type": "unix"},
        {"path": "x.sock"},
        {"port": 70_000},
        {"prot": 1},
    ],
)
def test_contradictory_listener_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"Listener"):
        Listener.model_validate(values)
