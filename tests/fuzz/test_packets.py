"""Hostile bytes at one connection of the engine: it closes, and neither raises nor harms its neighbours."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bus.access import AccessRules, TrustedNetworks
from bus.engine import Connection
from bus.exchange import Exchange
from bus.limits import Limits
from tests import mqtt_wire
from tests.brokers import play

LIMITS = Limits(packet_bytes=4096, first_packet_bytes=4096, inflight=5, offline_messages=10)
WORDS = st.sampled_from(["a", "a/b", "+", "#", "a/#", "$SYS/#", "$share/g/a", "i/rpc/x", "", "\x01", "ä" * 300])
IDS = st.integers(0, 6)


def subscription(name: str, qos: int, packet_id: int) -> bytes:
    return mqtt_wire.subscribe((name, qos), packet_id=packet_id)


def acknowledgement(first: int, packet_id: int) -> bytes:
    return mqtt_wire.packet(first, bytes((0, packet_id)))


SANE = st.one_of(
    st.builds(mqtt_wire.connect, WORDS, clean=st.booleans(), keep_alive=st.integers(0, 9)),
    st.builds(
        mqtt_wire.publish,
        WORDS,
        st.binary(max_size=20),
        qos=st.integers(0, 3),
        retain=st.booleans(),
        dup=st.booleans(),
        packet_id=IDS,
    ),
    st.builds(subscription, WORDS, st.integers(0, 3), IDS),
    st.builds(acknowledgement, st.sampled_from([0x40, 0x50, 0x62, 0x70]), IDS),
    st.sampled_from([mqtt_wire.packet(0xC0), mqtt_wire.packet(0xE0)]),
    st.builds(mqtt_wire.packet, st.integers(0, 255), st.binary(max_size=60)),
)
STREAMS = st.lists(SANE, max_size=12).map(b"".join)


class Wire:
    """The far end of a connection without a socket."""

    def __init__(self, exchange: Exchange, client_id: str | None = None) -> None:
        self.received = b""
        self.closed = False
        self.connection = Connection(
            exchange, TrustedNetworks(), write=self._write, close=self._close, address="127.0.0.1"
        )
        if client_id is not None:
            self.connection.feed(mqtt_wire.connect(client_id))

    def _write(self, data: bytes) -> None:
        assert not self.closed
        self.received += data

    def _close(self) -> None:
        self.closed = True


async def attack(stream: bytes, *, logged_in: bool, cut: int) -> None:
    exchange = Exchange(AccessRules("i"), LIMITS)
    neighbour = Wire(exchange, "neighbour")
    neighbour.connection.feed(mqtt_wire.subscribe(("safe", 1)))
    attacker = Wire(exchange, "attacker" if logged_in else None)
    for start in range(0, len(stream), cut):
        attacker.connection.feed(stream[start : start + cut])
        exchange.flush()
    attacker.connection.lost()
    exchange.flush()
    neighbour.received = b""
    neighbour.connection.feed(mqtt_wire.publish("safe", b"alive", qos=1) + mqtt_wire.packet(0xC0))
    exchange.flush()
    assert b"alive" in neighbour.received and neighbour.received.endswith(b"\x40\x02\x00\x01\xd0\x00")
    assert exchange.sessions.links == [neighbour.connection]
    assert exchange.sessions.connected == 1


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.integers(1, 50))
def test_random_bytes(stream: bytes, logged_in: bool, cut: int) -> None:
    play(attack(stream, logged_in=logged_in, cut=cut))


@settings(max_examples=300, deadline=None)
@given(STREAMS, st.booleans(), st.integers(1, 200))
def test_plausible_packets_in_any_order(stream: bytes, logged_in: bool, cut: int) -> None:
    play(attack(stream, logged_in=logged_in, cut=cut))


@settings(max_examples=150, deadline=None)
@given(STREAMS, st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=5))
def test_packets_with_flipped_bytes(stream: bytes, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(stream)
    for position, value in flips:
        if damaged:
            damaged[position % len(damaged)] ^= value
    play(attack(bytes(damaged), logged_in=True, cut=64))
