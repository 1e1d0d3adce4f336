"""The broker on the wire: MQTT 3.1.1 between one connection and the next."""

import asyncio

import pytest

from tests.brokers import LOOPS, LoopFactory, play, running
from tests.mqtt_wire import Published, Refused, Will, connect, packet, publish, subscribe, text


@pytest.mark.parametrize("loop_factory", LOOPS)
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_effective_qos_is_the_lower_one(published: int, granted: int, loop_factory: LoopFactory) -> None:
    async def scenario() -> None:
        async with running() as broker:
            reader, writer = await broker.client("reader"), await broker.client("writer")
            assert await reader.subscribe(("a/b", granted)) == [granted]
            await writer.publish("a/b", b"hello", qos=published)
            got = await reader.published()
            assert (got.topic, got.payload, got.qos) == ("a/b", b"hello", min(published, granted))
            assert not got.retain and not got.dup

    play(scenario(), loop_factory)


def test_subscribing_again_replaces_the_qos() -> None:
    async def scenario() -> None:
        async with running() as broker:
            client = await broker.client("one")
            for qos in (2, 0, 1):
                assert await client.subscribe(("t", qos)) == [qos]
                client.send(publish("t", b"x", qos=1, packet_id=9))
                packets = [await client.receive(), await client.receive()]
                delivered = next(Published.read(first, body) for first, body in packets if first >> 4 == 3)
                assert delivered.qos == min(qos, 1)
                if delivered.qos:
                    client.send(packet(0x40, delivered.packet_id.to_bytes(2, "big")))

    play(scenario())


def test_overlapping_filters_deliver_once_with_the_highest_qos() -> None:
    async def scenario() -> None:
        async with running() as broker:
            reader, writer = await broker.client("reader"), await broker.client("writer")
            assert await reader.subscribe(("a/#", 0), ("a/+", 2), ("a/b", 1)) == [0, 2, 1]
            await writer.publish("a/b", b"x", qos=2)
            assert (await reader.published()).qos == 2
            await reader.silent()

    play(scenario())


def test_qos_2_is_published_once_and_completed_in_four_steps() -> None:
    async def scenario() -> None:
        async with running() as broker:
            reader, writer = await broker.client("reader"), await broker.client("writer")
            await reader.subscribe(("t", 2))
            for dup in (False, True):
                writer.send(publish("t", b"x", qos=2, dup=dup, packet_id=5))
                assert await writer.receive() == (0x50, b"\x00\x05")
            writer.send(packet(0x62, b"\x00\x05"))
            assert await writer.receive() == (0x70, b"\x00\x05")
            got = await reader.published()
            raw_id = got.packet_id.to_bytes(2, "big")
            reader.send(packet(0x50, raw_id))
            assert await reader.receive() == (0x62, raw_id)
            reader.send(packet(0x70, raw_id))
            await reader.silent()
            writer.send(publish("t", b"again", qos=2, packet_id=5))
            assert (await reader.published()).payload == b"again"

    play(scenario())


def test_retained_message_goes_to_new_subscriptions_until_it_is_cleared() -> None:
    async def scenario() -> None:
        async with running() as broker:
            old, writer = await broker.client("old"), await broker.client("writer")
            await old.subscribe(("r/#", 1))
            await writer.publish("r/a", b"one", qos=1, retain=True)
            live = await old.published()
            assert (live.payload, live.retain) == (b"one", False)
            old.send(packet(0x40, live.packet_id.to_bytes(2, "big")))
            new = await broker.client("new")
            await new.subscribe(("r/a", 0))
            assert await new.published() == Published("r/a", b"one", retain=True)
            await new.subscribe(("+/a", 1))
            again = await new.published()
            assert (again.retain, again.qos) == (True, 1)
            await writer.publish("r/a", b"", qos=1, retain=True)
            assert (await old.published()).payload == b""
            late = await broker.client("late")
            await late.subscribe(("r/#", 0))
            await late.silent()

    play(scenario())


def test_dollar_topics_are_not_matched_by_wildcards_on_the_first_level() -> None:
    async def scenario() -> None:
        async with running() as broker:
            client, local = await broker.client("one"), broker.local()
            await client.subscribe(("#", 0), ("+/x", 0))
            local.session.publish("$other/x", b"hidden", retain=True)
            await client.silent()
            await client.subscribe(("$other/#", 0))
            assert (await client.published()).payload == b"hidden"
            local.session.publish("$other/x", b"seen")
            assert (await client.published()).payload == b"seen"

    play(scenario())


def test_unsubscribe_ends_deliveries() -> None:
    async def scenario() -> None:
        async with running() as broker:
            client, local = await broker.client("one"), broker.local()
            await client.subscribe(("a", 0), ("b/+", 1))
            await client.unsubscribe("a", "unknown")
            local.session.publish("a", b"1")
            await client.silent()
            local.session.publish("b/c", b"2")
            assert (await client.published()).payload == b"2"

    play(scenario())


@pytest.mark.parametrize(
    "name", ["", "a/#/b", "a#", "#/a", "a/+b", "++", "$share/group/a", "$share/group/#", "/".join("x" * 40), "x" * 2000]
)
def test_filter_that_cannot_be_served_is_refused_alone(name: str) -> None:
    async def scenario() -> None:
        async with running() as broker:
            client, local = await broker.client("one"), broker.local()
            assert await client.subscribe(("good", 1), (name, 1), ("fine", 2)) == [1, 0x80, 2]
            local.session.publish("fine", b"x")
            assert (await client.published()).topic == "fine"
            assert broker.exchange.counters.filters_refused == 1

    play(scenario())


def test_client_without_id_gets_one_if_its_session_is_clean() -> None:
    async def scenario() -> None:
        async with running() as broker:
            first, second = await broker.client(""), await broker.client("")
            await first.ping()
            await second.ping()
            with pytest.raises(Refused) as refused:
                await broker.client("", clean=False)
            assert refused.value.code == 2

    play(scenario())


def test_mqtt_5_and_older_clients_are_told_the_version_is_unsupported() -> None:
    async def scenario() -> None:
        async with running() as broker:
            for name, level, tail in ((b"MQTT", 5, b"\x00"), (b"MQIsdp", 3, b""), (b"MQTT", 0x84, b"")):
                client = await broker.client.socket()
                client.send(packet(0x10, text(name) + bytes((level, 2, 0, 0)) + tail + text("one")))
                assert await client.receive() == (0x20, b"\x00\x01")
                await client.closed()
            assert broker.exchange.counters.unsupported_versions == 3

    play(scenario())


VIOLATIONS = {
    "second CONNECT": connect("again"),
    "reserved type 0": b"\x00\x00",
    "reserved type 15": b"\xf0\x00",
    "SUBSCRIBE with wrong flags": b"\x80" + subscribe(("a", 0))[1:],
    "SUBSCRIBE without filters": packet(0x82, b"\x00\x01"),
    "SUBSCRIBE with packet id 0": subscribe(("a", 0), packet_id=0),
    "SUBSCRIBE with QoS 3": subscribe(("a", 3)),
    "SUBSCRIBE cut short": packet(0x82, b"\x00\x01\x00\x09a"),
    "UNSUBSCRIBE without filters": packet(0xA2, b"\x00\x01"),
    "PUBLISH with QoS 3": packet(0x36, text("a") + b"\x00\x01x"),
    "PUBLISH with DUP at QoS 0": packet(0x38, text("a") + b"x"),
    "PUBLISH with packet id 0": publish("a", b"x", qos=1, packet_id=0),
    "PUBLISH without packet id": packet(0x32, text("a")),
    "PUBLISH without topic": packet(0x30, b""),
    "PUBLISH with half a topic": packet(0x30, b"\x00\x05ab"),
    "PUBLISH with an empty topic": publish("", b"x"),
    "PUBLISH with a wildcard": publish("a/+", b"x"),
    "PUBLISH with NUL in the topic": publish("a\0b", b"x"),
    "PUBLISH with a topic that is not UTF-8": packet(0x30, text(b"\xff\xfe") + b"x"),
    "PUBREL with wrong flags": packet(0x60, b"\x00\x01"),
    "PUBACK of one byte": packet(0x40, b"\x01"),
    "PINGREQ with a body": packet(0xC0, b"x"),
    "DISCONNECT with flags": b"\xe1\x00",
    "length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "PINGRESP from a client": b"\xd0\x00",
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_violation_closes_the_connection_and_publishes_the_will(name: str) -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("gone")
            client = await broker.client("one", will=Will("gone", name.encode()))
            client.send(VIOLATIONS[name])
            await client.closed()
            assert watcher.seen == [("gone", name.encode())]
            assert broker.exchange.counters.protocol_errors == 1

    play(scenario())


BAD_CONNECTS = {
    "another packet first": publish("a", b"x"),
    "reserved flag": packet(0x10, text("MQTT") + b"\x04\x03\x00\x00" + text("one")),
    "will QoS 3": packet(0x10, text("MQTT") + b"\x04\x1e\x00\x00" + text("one") + text("t") + text("p")),
    "will QoS without will": packet(0x10, text("MQTT") + b"\x04\x0a\x00\x00" + text("one")),
    "password without user": packet(0x10, text("MQTT") + b"\x04\x42\x00\x00" + text("one") + text("p")),
    "cut short": packet(0x10, text("MQTT") + b"\x04\x02\x00"),
    "longer than its fields": packet(0x10, text("MQTT") + b"\x04\x02\x00\x00" + text("one") + b"x"),
    "NUL in the client id": connect("a\0b"),
    "will on a wildcard": connect("one", will=Will("a/#", b"x")),
    "will without a topic": connect("one", will=Will("", b"x")),
    "rubbish": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(80),
}


@pytest.mark.parametrize("name", BAD_CONNECTS)
def test_malformed_connect_closes_the_connection(name: str) -> None:
    async def scenario() -> None:
        async with running() as broker:
            client = await broker.client.socket()
            client.send(BAD_CONNECTS[name])
            await client.closed()
            assert len(broker.exchange.sessions) == 0
            assert broker.exchange.counters.protocol_errors == 1

    play(scenario())


def test_packets_arrive_in_any_pieces() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("big", "small")
            client = await broker.client.socket()
            stream = connect("one") + publish("small", b"1") + publish("big", bytes(70_000)) + publish("small", b"2")
            for start in range(0, 60):
                client.send(stream[start : start + 1])
                await asyncio.sleep(0)
            client.send(stream[60:])
            assert await client.receive() == (0x20, b"\x00\x00")
            await client.ping()
            assert [topic for topic, _ in watcher.seen] == ["small", "big", "small"]

    play(scenario())


def test_order_of_one_publisher_is_kept() -> None:
    async def scenario() -> None:
        async with running() as broker:
            reader, writer = await broker.client("reader"), await broker.client("writer")
            await reader.subscribe(("n", 1))
            for number in range(1, 301):
                writer.send(publish("n", b"%d" % number, qos=1, packet_id=number))
            for number in range(1, 301):
                got = await reader.published()
                assert got.payload == b"%d" % number
                reader.send(packet(0x40, got.packet_id.to_bytes(2, "big")))

    play(scenario())


def test_system_topics_tell_the_counters() -> None:
    async def scenario() -> None:
        async with running() as broker:
            client = await broker.client("one")
            await client.subscribe(("$SYS/broker/clients/connected", 0), ("$SYS/broker/counters/protocol_errors", 0))
            assert await client.published() == Published("$SYS/broker/clients/connected", b"1", retain=True)
            assert await client.published() == Published("$SYS/broker/counters/protocol_errors", b"0", retain=True)
            await client.publish("$SYS/broker/clients/connected", b"9", qos=1, retain=True)
            assert broker.exchange.counters.publishes_refused == 1
            other = await broker.client("two")
            await other.subscribe(("$SYS/broker/clients/connected", 0))
            assert (await other.published()).payload == b"2"

    play(scenario())
