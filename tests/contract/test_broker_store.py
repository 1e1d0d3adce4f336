"""The broker on the wire over restarts: what clients retain, and persistent sessions with all that waits in them."""

import asyncio
from pathlib import Path

import pytest

from bus.access import AccessRules, Identity
from bus.clock import Clock
from bus.limits import Limits
from tests.brokers import Running, play, running, until
from tests.mqtt_wire import Published, Refused, WireClient, packet, publish


class Rules(AccessRules):
    """Topics below `closed/` are nobody's."""

    def may_receive(self, who: Identity, topic: str) -> bool:
        return not topic.startswith("closed/") and super().may_receive(who, topic)


class MovedClock(Clock):
    """The wall clock of another time."""

    def __init__(self, by: float) -> None:
        self._by = by

    def wall(self) -> float:
        return super().wall() + self._by


def changed_at(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def acknowledge(client: WireClient, kind: int, *packets: Published) -> None:
    for got in packets:
        client.send(packet(kind, got.packet_id.to_bytes(2, "big")))


async def keeper(broker: Running, *filters: tuple[str, int], user: str | None = None) -> WireClient:
    """The client `keeper`, which has a persistent session."""
    client = await broker.client("keeper", clean=False, user=user)
    if filters:
        await client.subscribe(*filters)
    return client


def test_retained_messages_of_clients_survive_a_restart_and_those_of_agents_do_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            client = await broker.client("writer")
            for qos in (0, 1, 2):
                await client.publish(f"home/{qos}", b"old", qos=qos, retain=True)
                await client.publish(f"home/{qos}", b"%d" % qos, qos=qos, retain=True)
            for qos in (0, 1):
                await client.publish(f"cleared/{qos}", b"x", qos=1, retain=True)
                await client.publish(f"cleared/{qos}", b"", qos=qos, retain=True)
            await client.publish("both", b"client", qos=1, retain=True)
            local = broker.local().session
            local.publish("both", b"agent", retain=True)
            local.publish("i/state/x", b"agent", retain=True)
            await client.ping()
        async with running(folder=tmp_path) as broker:
            reader = await broker.client("reader")
            await reader.subscribe(("#", 2))
            got = sorted([await reader.published() for _ in range(3)], key=lambda each: each.topic)
            assert [(each.topic, each.payload, each.qos) for each in got] == [
                (f"home/{qos}", b"%d" % qos, qos) for qos in (0, 1, 2)
            ]
            await reader.silent()
            assert broker.exchange.retained_store.counted_bytes > 0

    play(scenario())


def test_session_survives_with_its_subscriptions_and_queue_and_stays_its_users(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            client = await keeper(broker, ("a/+", 1), ("b", 2), ("gone", 1), user="anna")
            await client.unsubscribe("gone")
            await client.disconnect()
            writer = await broker.client("writer")
            for number in range(5):
                await writer.publish(f"a/{number}", b"%d" % number, qos=2, packet_id=number + 1)
            await writer.publish("b", b"5", qos=2)
        async with running(folder=tmp_path) as broker:
            for user in (None, "ben"):
                with pytest.raises(Refused):
                    await broker.client("keeper", clean=False, user=user)
            client = await keeper(broker, user="anna")
            assert client.present
            got = [await client.published() for _ in range(6)]
            assert [each.payload for each in got] == [b"%d" % number for number in range(6)]
            assert [each.qos for each in got] == [1] * 5 + [2]
            broker.local().session.publish("a/new", b"live", qos=1)
            broker.local().session.publish("gone", b"live", qos=1)
            assert (await client.published()).topic == "a/new"
            await client.silent()

    play(scenario())


def test_unacknowledged_messages_are_repeated_under_their_packet_ids_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            client = await keeper(broker, ("t", 2))
            local = broker.local().session
            for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 1), (b"4", 2), (b"5", 2)):
                local.publish("t", payload, qos=qos)
            sent = {got.payload: got for got in [await client.published() for _ in range(5)]}
            acknowledge(client, 0x40, sent[b"3"])
            acknowledge(client, 0x50, sent[b"4"], sent[b"5"])
            assert [(await client.receive())[0] for _ in range(2)] == [0x62, 0x62]
            acknowledge(client, 0x70, sent[b"5"])
            await client.ping()
        async with running(folder=tmp_path) as broker:
            client = await keeper(broker)
            for payload in (b"1", b"2"):
                old = sent[payload]
                assert await client.published() == Published("t", payload, old.qos, False, True, old.packet_id)
            assert await client.receive() == (0x62, sent[b"4"].packet_id.to_bytes(2, "big"))
            await client.silent()
            for payload, kind in ((b"1", 0x40), (b"2", 0x50), (b"4", 0x70)):
                acknowledge(client, kind, sent[payload])
            assert (await client.receive())[0] == 0x62
            acknowledge(client, 0x70, sent[b"2"])
            await client.ping()
        async with running(folder=tmp_path) as broker:
            await (await keeper(broker)).silent()

    play(scenario())


def test_incoming_qos_2_is_not_published_twice_over_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            client = await keeper(broker)
            client.send(publish("t", b"x", qos=2, packet_id=3))
            assert await client.receive() == (0x50, b"\x00\x03")
            await client.publish("t", b"y", qos=2, packet_id=4)
        async with running(folder=tmp_path) as broker:
            watcher = broker.local("t")
            client = await keeper(broker)
            client.send(publish("t", b"x", qos=2, dup=True, packet_id=3))
            assert await client.receive() == (0x50, b"\x00\x03")
            client.send(packet(0x62, b"\x00\x03"))
            assert await client.receive() == (0x70, b"\x00\x03")
            for packet_id in (3, 4):
                await client.publish("t", b"new", qos=2, packet_id=packet_id)
            assert watcher.seen == [("t", b"new")] * 2

    play(scenario())


def test_session_that_was_given_up_does_not_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            await (await keeper(broker, ("t", 1))).disconnect()
            broker.local().session.publish("t", b"x", qos=1)
            await (await broker.client("keeper", clean=True)).disconnect()
        async with running(folder=tmp_path) as broker:
            assert broker.exchange.subscriptions == broker.exchange.sessions.offline == 0
            assert not (await keeper(broker)).present

    play(scenario())


@pytest.mark.parametrize(("later", "present"), [(3000.0, True), (4000.0, False), (-1e9, True)])
def test_time_without_the_broker_counts_towards_the_expiry(tmp_path: Path, later: float, present: bool) -> None:
    limits = Limits(offline_seconds=3600)

    async def scenario() -> None:
        async with running(folder=tmp_path, limits=limits) as broker:
            await (await keeper(broker, ("t", 1))).disconnect()
        async with running(folder=tmp_path, limits=limits, clock=MovedClock(later)) as broker:
            if present:
                await asyncio.sleep(0.6)
            else:
                await until(lambda: broker.exchange.counters.sessions_expired == 1)
            assert (await keeper(broker)).present is present
            assert broker.exchange.counters.sessions_expired == (not present)

    play(scenario())


def test_session_left_under_a_clock_that_was_not_set_does_not_expire_when_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path, clock=MovedClock(-1.7e9)) as broker:
            await (await keeper(broker, ("t", 1))).disconnect()
        async with running(folder=tmp_path) as broker:
            await asyncio.sleep(0.6)
            assert (await keeper(broker)).present

    play(scenario())


def test_smaller_limits_hold_for_what_was_stored(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            await (await keeper(broker, ("t", 1))).disconnect()
            writer = await broker.client("writer")
            for number in range(5):
                await writer.publish("t", b"%d" % number, qos=1)
                await writer.publish(f"r/{number}", bytes(300), qos=1, retain=True)
        for _ in range(2):
            async with running(folder=tmp_path, limits=Limits(offline_messages=3, retained_bytes=1100)) as broker:
                assert len(broker.exchange.retained_store) == 2
        async with running(folder=tmp_path) as broker:
            assert len(broker.exchange.retained_store) == 2
            client = await keeper(broker)
            assert [(await client.published()).payload for _ in range(3)] == [b"0", b"1", b"2"]
            await client.silent()

    play(scenario())


def test_what_may_no_longer_be_received_is_not_sent_after_a_restart_under_other_rules(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path, limits=Limits(inflight=4)) as broker:
            client = await keeper(broker, ("#", 2))
            for number in range(6):
                for topic in ("closed/a", "open/a"):
                    broker.local().session.publish(topic, b"%d" % number, qos=1 + number % 2)
            assert [(await client.published()).topic for _ in range(4)] == ["closed/a", "open/a"] * 2
        async with running(folder=tmp_path, rules=Rules("i")) as broker:
            client = await keeper(broker)
            got = list[bytes]()
            while len(got) < 6:
                first, body = await client.receive()
                if first >> 4 == 3:
                    again = Published.read(first, body)
                    assert again.topic == "open/a"
                    got.append(again.payload)
            assert sorted(got) == [b"%d" % number for number in range(6)]

    play(scenario())


def test_acknowledgement_waits_for_the_disk_and_later_ones_do_not_overtake_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            counters = broker.exchange.counters
            client = await broker.client("writer")
            client.send(publish("a", b"x", qos=1, retain=True, packet_id=1) + publish("b", b"x", qos=1, packet_id=2))
            client.send(publish("c", b"x", qos=2, packet_id=3) + packet(0xC0))
            assert await client.receive() == (0xD0, b"")
            assert counters.store_commits == 0
            answers = [await client.receive() for _ in range(3)]
            assert answers == [(0x40, b"\x00\x01"), (0x40, b"\x00\x02"), (0x50, b"\x00\x03")]
            assert counters.store_commits == 1

    play(scenario())


def test_clean_sessions_and_qos_0_do_not_touch_the_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            reader, writer = await broker.client("reader"), await broker.client("writer")
            await reader.subscribe(("t", 1))
            files = changed_at(tmp_path)
            for number in range(200):
                await writer.publish("t", b"x", qos=number % 3, retain=number % 3 == 0)
                acknowledge(reader, 0x40, got := await reader.published())
                assert got.payload == b"x"
            assert broker.exchange.counters.store_commits == 0
            assert files == changed_at(tmp_path)

    play(scenario())


def test_message_that_is_acknowledged_soon_is_not_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            reader, writer = await keeper(broker, ("t", 1)), await broker.client("writer")
            before = broker.exchange.counters.store_commits
            for _ in range(20):
                writer.send(publish("t", b"x", qos=1))
                acknowledge(reader, 0x40, await reader.published())
                assert await writer.receive() == (0x40, b"\x00\x01")
            assert broker.exchange.counters.store_commits <= before + 1  # a slow machine may need one

    play(scenario())


def test_commits_are_few_under_load_and_none_when_idle(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            writers = [await broker.client(f"writer-{number}") for number in range(4)]
            start = asyncio.get_running_loop().time()
            count = 0
            while (elapsed := asyncio.get_running_loop().time() - start) < 1.5 or count < 2000:
                for packet_id in range(1, 51):
                    for writer in writers:
                        writer.send(publish(f"r/{packet_id}", b"%d" % count, qos=1, retain=True, packet_id=packet_id))
                for _ in range(50):
                    for writer in writers:
                        assert (await writer.receive())[0] == 0x40
                count += 200
            counters = broker.exchange.counters
            assert counters.store_commits <= 22 + 5 * elapsed
            assert count > 20 * counters.store_commits
            before = counters.store_commits
            await asyncio.sleep(0.3)
            assert counters.store_commits == before

    play(scenario())


def test_retained_qos_0_is_flushed_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.commits.LAZY_SECONDS", 0.3)

    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            writer, loop = await broker.client("writer"), asyncio.get_running_loop()
            start = loop.time()
            for number in range(10):
                await writer.publish("t", b"%d" % number, retain=True)
                await asyncio.sleep(0.01)
            assert broker.exchange.counters.store_commits <= (loop.time() - start) / 0.3
            await until(lambda: broker.exchange.counters.store_commits > 0)

    play(scenario())
