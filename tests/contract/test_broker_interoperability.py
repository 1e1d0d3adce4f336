"""The cases by which MQTT 3.1.1 clients and servers are commonly tried on each other, one test for each.

They run against a broker that keeps everything in memory and against one with a store.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from bus.access import AccessRules, Identity
from tests.brokers import Running, play, running, until
from tests.mqtt_wire import Published, Refused, Will, WireClient, connect, packet, text

TOPICS = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70


class Rules(AccessRules):
    """Nobody may see `test/nosubscribe`."""

    def may_receive(self, who: Identity, topic: str) -> bool:
        return topic != "test/nosubscribe" and super().may_receive(who, topic)


Start = Callable[[], AbstractAsyncContextManager[Running]]


@pytest.fixture(params=["in memory", "stored"])
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Starts a broker, on the same folder each time."""
    folder = tmp_path if request.param == "stored" else None
    return lambda: running(rules=Rules("i"), folder=folder)


async def delivered(client: WireClient, count: int) -> list[Published]:
    """So many messages, each with its exchange completed, and then silence."""
    found: list[Published] = []
    released = 0
    while len(found) < count or released < sum(each.qos == 2 for each in found):
        first, body = await client.receive()
        if first == PUBREL:
            released += 1
            client.send(packet(PUBCOMP, body))
            continue
        got = Published.read(first, body)
        found.append(got)
        if got.qos:
            client.send(packet(PUBACK if got.qos == 1 else PUBREC, got.packet_id.to_bytes(2, "big")))
    await client.silent()
    return found


async def publish_at_each_qos(client: WireClient, *topics: str, retain: bool = False, empty: bool = False) -> None:
    for qos, topic in enumerate(topics):
        await client.publish(topic, b"" if empty else b"qos %d" % qos, qos=qos, retain=retain, packet_id=qos + 1)


def test_basic(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client, other = await broker.client("myclientid"), await broker.client("other")
            assert await client.subscribe((TOPICS[0], 2)) == [2]
            await publish_at_each_qos(other, *[TOPICS[0]] * 3)
            got = await delivered(client, 3)
            assert sorted((each.payload, each.qos) for each in got) == [(b"qos 0", 0), (b"qos 1", 1), (b"qos 2", 2)]
            await client.disconnect()

    play(scenario())


@pytest.mark.parametrize("second", [connect("myclientid"), connect("another")])
def test_basic_connecting_twice_on_one_connection_ends_it(start: Start, second: bytes) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid")
            client.send(second)
            await client.closed()

    play(scenario())


def test_basic_another_protocol_name_is_not_served(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client.socket()
            client.send(packet(0x10, text("hj") + b"\x04\x02\x00\x00" + text("myclientid")))
            await client.closed()
            assert broker.exchange.counters.connects == 0

    play(scenario())


def test_retained_messages(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            topics = TOPICS[1:4]
            writer = await broker.client("myclientid")
            await publish_at_each_qos(writer, *topics, retain=True)
            reader = await broker.client("reader")
            assert await reader.subscribe(("+/+", 2)) == [2]
            got = await delivered(reader, 3)
            assert all(each.retain for each in got)
            assert sorted((each.topic, each.qos) for each in got) == sorted(
                (topic, qos) for qos, topic in enumerate(topics)
            )
            await reader.disconnect()
            await publish_at_each_qos(writer, *topics, retain=True, empty=True)
            again = await broker.client("reader")
            await again.subscribe(("+/+", 2))
            await again.silent()

    play(scenario())


def test_zero_length_client_id(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            with pytest.raises(Refused) as refused:
                await broker.client("", clean=False)
            assert refused.value.code == 2
            first, second = await broker.client("", clean=True), await broker.client("", clean=True)
            await first.subscribe(("t", 0))
            await second.publish("t", b"x")
            assert (await first.published()).payload == b"x"

    play(scenario())


def test_offline_message_queueing(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid", clean=False)
            await client.subscribe(("+/+", 2))
            await client.disconnect()
            await publish_at_each_qos(await broker.client("other"), *TOPICS[1:4])
            again = await broker.client("myclientid", clean=False)
            assert again.present
            assert [(each.topic, each.qos, each.dup) for each in await delivered(again, 2)] == [
                (TOPICS[2], 1, False),
                (TOPICS[3], 2, False),
            ]

    play(scenario())


def test_offline_message_queueing_is_given_up_with_a_clean_session(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid", clean=False)
            await client.subscribe(("+/+", 2))
            await client.disconnect()
            await publish_at_each_qos(await broker.client("other"), *TOPICS[1:4])
            await (await broker.client("myclientid", clean=True)).disconnect()
            again = await broker.client("myclientid", clean=False)
            assert not again.present
            await again.silent()

    play(scenario())


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_will_message(start: Start, qos: int) -> None:
    async def scenario() -> None:
        async with start() as broker:
            will = Will(TOPICS[2], b"client not disconnected", qos=qos, retain=True)
            client, watcher = await broker.client("myclientid", will=will), await broker.client("watcher")
            await watcher.subscribe((TOPICS[2], 2))
            await client.drop()
            (got,) = await delivered(watcher, 1)
            assert (got.payload, got.qos, got.retain) == (b"client not disconnected", qos, False)
            late = await broker.client("late")
            await late.subscribe((TOPICS[2], 2))
            assert (await delivered(late, 1))[0].retain

    play(scenario())


def test_will_message_is_void_after_a_proper_disconnect(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client, watcher = await broker.client("myclientid", will=Will("gone", b"x")), await broker.client("watcher")
            await watcher.subscribe(("gone", 2))
            await client.disconnect()
            await watcher.silent()

    play(scenario())


def test_overlapping_subscriptions(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid")
            assert await client.subscribe(("TopicA/#", 2), ("TopicA/+", 1)) == [2, 1]
            await (await broker.client("other")).publish(TOPICS[3], b"overlapping topic filters", qos=2)
            assert [each.qos for each in await delivered(client, 1)] == [2]

    play(scenario())


def test_overlapping_subscriptions_with_retained_messages(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            await (await broker.client("other")).publish(TOPICS[3], b"x", qos=2, retain=True)
            client = await broker.client("myclientid")
            await client.subscribe(("TopicA/#", 2), ("TopicA/+", 1))
            # Each subscription of its own has the retained messages sent (section 3.3.1.3).
            assert sorted(each.qos for each in await delivered(client, 2)) == [1, 2]

    play(scenario())


def test_keep_alive(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            watcher = await broker.client("watcher", keep_alive=0)
            await watcher.subscribe(("gone", 2))
            before = asyncio.get_running_loop().time()
            client = await broker.client("myclientid", keep_alive=1, will=Will("gone", b"keep-alive expired"))
            assert (await watcher.published()).payload == b"keep-alive expired"
            assert 1.4 < asyncio.get_running_loop().time() - before < 10
            await client.closed()

    play(scenario())


def test_redelivery_on_reconnect(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid", clean=False)
            await client.subscribe(("+/+", 2))
            other = await broker.client("other")
            await other.publish(TOPICS[1], b"first", qos=1)
            await other.publish(TOPICS[3], b"second", qos=2)
            sent = [await client.published() for _ in range(2)]
            await client.drop()
            await until(lambda: broker.exchange.sessions.offline == 1)
            again = await broker.client("myclientid", clean=False)
            assert again.present
            got = await delivered(again, 2)
            assert [each.payload for each in got] == [b"first", b"second"]
            assert [each.packet_id for each in got] == [each.packet_id for each in sent]
            assert all(each.dup for each in got)

    play(scenario())


def test_redelivery_on_reconnect_repeats_only_what_is_missing(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid", clean=False)
            await client.subscribe(("+/+", 2))
            await (await broker.client("other")).publish(TOPICS[3], b"x", qos=2)
            raw_id = (await client.published()).packet_id.to_bytes(2, "big")
            client.send(packet(PUBREC, raw_id))
            assert await client.receive() == (PUBREL, raw_id)
            await client.drop()
            await until(lambda: broker.exchange.sessions.offline == 1)
            again = await broker.client("myclientid", clean=False)
            assert await again.receive() == (PUBREL, raw_id)
            again.send(packet(PUBCOMP, raw_id))
            await again.silent()

    play(scenario())


def test_subscribe_failure(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid")
            assert await client.subscribe(("test/nosubscribe", 2)) == [0x80]
            assert await client.subscribe(("test/fine", 1), ("test/nosubscribe", 2)) == [1, 0x80]
            await (await broker.client("other")).publish("test/nosubscribe", b"x", qos=2)
            await client.silent()

    play(scenario())


def test_dollar_topics(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid")
            await client.subscribe(("+/+", 2), ("#", 2))
            broker.local().session.publish("$TopicA/B", b"not seen through a wildcard", qos=1)
            await client.publish("$TopicA/B", b"not seen either", qos=1)
            await client.silent()

    play(scenario())


def test_unsubscribe(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client, other = await broker.client("myclientid"), await broker.client("other")
            await client.subscribe(*[(topic, 2) for topic in TOPICS[:3]])
            await client.unsubscribe(TOPICS[0])
            await publish_at_each_qos(other, *TOPICS[:3])
            assert [each.topic for each in await delivered(client, 2)] == [TOPICS[1], TOPICS[2]]

    play(scenario())


def test_unsubscribe_is_answered_though_there_was_no_subscription(start: Start) -> None:
    async def scenario() -> None:
        async with start() as broker:
            client = await broker.client("myclientid", clean=False)
            await client.unsubscribe("never/subscribed")

    play(scenario())
