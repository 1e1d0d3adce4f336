"""The broker on the wire: every limit of `Limits`, what happens at it, and the counter that shows it."""

import asyncio
import contextlib
import gc
import weakref
from time import thread_time

import pytest

from bus.access import AccessRules, Identity, Login, Refusal, Role, TrustedNetworks
from bus.engine import Connection
from bus.exchange import Exchange
from bus.limits import Limits
from tests.brokers import Running, play, running, until
from tests.mqtt_wire import Will, connect, packet, publish, subscribe


def test_connections_and_connections_per_address() -> None:
    async def scenario(limits: Limits, counter: str) -> None:
        async with running(limits=limits) as broker:
            first, _ = await broker.client("one"), await broker.client("two")
            third = await broker.client.socket()
            await third.closed()
            assert getattr(broker.exchange.counters, counter) == 1
            await first.disconnect()
            await broker.client("three")

    play(scenario(Limits(connections=2), "connections_over_limit"))
    play(scenario(Limits(connections_per_address=2), "connections_over_address_limit"))


def test_sockets_that_say_nothing_do_not_keep_out_those_that_log_in() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(silent_per_address=3)) as broker:
            silent = [await broker.client.socket() for _ in range(5)]
            logged_in = [await broker.client(f"c{number}") for number in range(5)]
            for each in silent[:3]:
                await each.closed()
            assert broker.exchange.counters.silent_cut == 3
            for each in (*logged_in, await silent[3].login("last but one"), await silent[4].login("last")):
                await each.ping()

    play(scenario())


def test_first_packet_must_be_complete_in_time() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(first_packet_seconds=0.3)) as broker:
            silent, slow = await broker.client.socket(), await broker.client.socket()
            for byte in connect("one")[:12]:
                with contextlib.suppress(RuntimeError):  # uvloop's, once it has been closed
                    slow.send(bytes((byte,)))
                await asyncio.sleep(0.05)
            await silent.closed()
            await slow.closed()
            assert broker.exchange.counters.first_packet_timeouts == 2

    play(scenario())


@pytest.mark.parametrize("before_login", [True, False])
def test_packet_that_claims_to_be_too_large_closes_at_once(before_login: bool) -> None:
    async def scenario() -> None:
        async with running() as broker:
            client = await broker.client.socket()
            if not before_login:
                await client.login("one")
            client.send(b"\x10" if before_login else b"\x30")
            client.send(b"\xff\xff\xff\x7f")
            await client.closed()
            assert broker.exchange.counters.packets_too_large == 1

    play(scenario())


def test_largest_packet_passes_and_one_byte_more_does_not() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("t")
            client = await broker.client("one")
            room = broker.exchange.limits.packet_bytes - 3
            client.send(publish("t", bytes(room)))
            await client.ping()
            assert len(watcher.messages[0].payload) == room
            client.send(publish("t", bytes(room + 1)))
            await client.closed()

    play(scenario())


def test_local_sessions_may_send_more_than_a_socket_client() -> None:
    async def scenario() -> None:
        async with running() as broker:
            client = await broker.client("one")
            await client.subscribe(("t", 0))
            broker.local().session.publish("t", bytes(3_000_000))
            assert len((await client.published()).payload) == 3_000_000

    play(scenario())


def test_slow_reader_is_cut_and_others_are_not_delayed() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(queued_bytes=1_000_000)) as broker:
            stalled, reader = await broker.client("stalled", will=Will("gone", b"x")), await broker.client("reader")
            watcher = broker.local("gone")
            await stalled.subscribe(("t", 0))
            await reader.subscribe(("t", 0))
            stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
            local, slowest = broker.local().session, 0.0
            for _ in range(3000):
                start = asyncio.get_running_loop().time()
                local.publish("t", bytes(10_000))
                await reader.published()
                slowest = max(slowest, asyncio.get_running_loop().time() - start)
                if broker.exchange.counters.slow_readers_cut:
                    break
            assert broker.exchange.counters.slow_readers_cut == 1
            assert slowest < 2.0  # on a busy machine; it would wait for ever
            await asyncio.sleep(0)
            assert watcher.seen == [("gone", b"x")]

    play(scenario())


def test_reader_that_never_acknowledges_is_cut_with_its_queue_full() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(inflight=10, offline_messages=20)) as broker:
            client = await broker.client("one")
            await client.subscribe(("t", 1))
            local = broker.local().session
            for _ in range(31):
                local.publish("t", b"x", qos=1)
            await client.closed()
            assert broker.exchange.counters.slow_readers_cut == 1
            assert broker.exchange.counters.inflight_waits == 21

    play(scenario())


async def missed(broker: Running, size: int, count: int) -> list[bytes]:
    """What an offline session still gets of `count` messages."""
    sleeper = await broker.client("sleeper", clean=False)
    await sleeper.subscribe(("t", 1))
    await sleeper.disconnect()
    local = broker.local().session
    for number in range(count):
        local.publish("t", b"%0*d" % (size, number), qos=1)
    again = await broker.client("sleeper", clean=False)
    expected = count - broker.exchange.counters.queue_dropped
    got = [(await again.published()).payload for _ in range(expected)]
    await again.silent()
    return got


@pytest.mark.parametrize("limits", [Limits(offline_messages=3), Limits(offline_bytes=335)])
def test_offline_queue_keeps_the_oldest_and_counts_the_rest(limits: Limits) -> None:
    async def scenario() -> None:
        async with running(limits=limits) as broker:
            assert await missed(broker, 10, 5) == [b"%010d" % number for number in range(3)]
            assert broker.exchange.counters.queue_dropped == 2

    play(scenario())


def test_offline_sessions_are_bounded_in_number_and_time() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(offline_sessions=2, offline_seconds=0.2)) as broker:
            for name in ("one", "two", "three"):
                await (await broker.client(name, clean=False)).disconnect()
            assert broker.exchange.sessions.offline == 2
            assert broker.exchange.counters.sessions_refused == 1
            await until(lambda: broker.exchange.sessions.offline == 0)
            assert broker.exchange.counters.sessions_expired == 2

    play(scenario())


def test_retained_bytes_per_client_and_in_total() -> None:
    async def scenario(limits: Limits) -> None:
        async with running(limits=limits) as broker:
            one, two = await broker.client("one"), await broker.client("two")
            for name in ("a", "b", "c", "d"):
                await one.publish(name, bytes(300), qos=1, retain=True)
            assert len(broker.exchange.retained_store) == 2
            await one.publish("a", bytes(290), qos=1, retain=True)
            await two.publish("b", b"", qos=1, retain=True)
            await one.publish("c", bytes(300), qos=1, retain=True)
            assert broker.exchange.retained("c") is not None
            broker.local().session.publish("big", bytes(10_000), retain=True)
            assert broker.exchange.retained("big") is not None
            assert broker.exchange.counters.retained_refused == 2

    play(scenario(Limits(retained_bytes=1100)))
    play(scenario(Limits(retained_bytes_total=1100)))


def test_topics_that_are_too_long_or_too_deep_are_dropped_and_counted() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("#")
            client = await broker.client("one")
            await client.publish("/".join("x" * 33), b"x", qos=1)
            await client.publish("ä" * 600, b"x", qos=1)
            assert watcher.seen == []
            assert broker.exchange.counters.topics_refused == 2

    play(scenario())


def test_filters_per_client() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(filters=2)) as broker:
            client = await broker.client("one")
            assert await client.subscribe(("a", 0), ("b", 0), ("c", 0), ("a", 1)) == [0, 0, 0x80, 1]
            await client.unsubscribe("b")
            assert await client.subscribe(("c", 0)) == [0]
            assert broker.exchange.counters.filters_refused == 1

    play(scenario())


class Never:
    """An authenticator that does not come back."""

    async def authenticate(self, login: Login) -> Refusal:
        await asyncio.Event().wait()
        return Refusal.UNAVAILABLE


def test_nothing_more_is_taken_before_a_login_is_answered() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"), Limits(first_packet_bytes=1000))
        closed, paused = asyncio.Event(), list[bool]()
        connection = Connection(
            exchange, Never(), write=lambda _: None, close=closed.set, address="127.0.0.1", pause=paused.append
        )
        connection.feed(connect("one"))
        assert paused == [True]
        connection.feed(bytes(900))
        assert not closed.is_set()
        connection.feed(bytes(900))
        assert closed.is_set() and exchange.counters.packets_too_large == 1

    play(scenario())


def test_login_that_is_never_answered_ends_with_the_time_for_the_first_packet() -> None:
    async def scenario() -> None:
        async with running(authenticator=Never(), limits=Limits(first_packet_seconds=0.3)) as broker:
            client = await broker.client.socket()
            client.send(connect("one") + publish("t", bytes(70_000)))
            await client.closed()
            assert broker.exchange.counters.first_packet_timeouts == 1

    play(scenario())


class Late:
    """An authenticator that answers when it is told to."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Identity | Refusal] = asyncio.get_running_loop().create_future()

    def authenticate(self, login: Login) -> "asyncio.Future[Identity | Refusal]":
        return self.answer


def test_the_time_that_a_login_took_is_no_silence_of_the_client() -> None:
    async def scenario() -> None:
        exchange, closed, late = Exchange(AccessRules("i")), asyncio.Event(), Late()
        connection = Connection(exchange, late, write=lambda _: None, close=closed.set, address="127.0.0.1")
        connection.feed(connect("one", keep_alive=1))
        connection._seen -= 4
        late.answer.set_result(Identity("one", Role.CLIENT, transport="mqtt"))
        await until(lambda: exchange.sessions.connected == 1)
        connection.check(exchange.loop.time())
        assert not closed.is_set()

    play(scenario())


def test_long_client_id_is_refused() -> None:
    async def scenario() -> None:
        async with running() as broker:
            client = await broker.client.socket()
            client.send(connect("x" * 257))
            assert await client.receive() == (0x20, b"\x00\x02")
            giant = await broker.client.socket()
            giant.send(connect("x" * 65_535, user="y" * 65_535))
            await giant.closed()
            assert broker.exchange.counters.client_ids_refused == 1

    play(scenario())


def test_flood_of_rubbish_connections_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with running() as broker:
            honest = await broker.client("honest")
            for number in range(300):
                client = await broker.client.socket()
                client.send(bytes((number * 7 + index * 31) % 256 for index in range(64)))
                await client.drop()
                if number % 50 == 0:
                    await honest.ping()
            await honest.ping()
            await until(lambda: len(broker.exchange.sessions.links) == 1)
            assert len(broker.exchange.sessions) == 1

    play(scenario())


def test_what_was_sent_before_the_end_of_a_connection_is_taken() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("t", "gone")
            for ending in (packet(0xE0), b""):
                client = await broker.client("one", will=Will("gone", b"w"))
                client.send(publish("t", b"x") * 15_000 + ending)
                await client.drop()
                await until(lambda: broker.exchange.sessions.connected == 0)
            await until(lambda: len(watcher.messages) == 30_001)
            assert broker.exchange.counters.wills == 1

    play(scenario())


def test_tiny_packets_of_one_client_do_not_keep_the_loop_busy() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        paused, answered = list[bool](), list[int]()
        connection = Connection(
            exchange,
            TrustedNetworks(),
            write=lambda data: answered.append(len(data)),
            close=lambda: None,
            address="127.0.0.1",
            pause=paused.append,
        )
        start = thread_time()
        connection.feed(connect("one") + packet(0xC0) * 100_000)
        assert thread_time() - start < 0.05  # of the processor, which others use as well
        assert paused == [True]
        await until(lambda: sum(answered) == 4 + 2 * 100_000)
        assert paused[-1] is False and exchange.counters.packets_received == 100_001

    play(scenario())


def test_pings_are_answered_between_packets_of_a_flood() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("flood")
            flooder, other = await broker.client("flooder"), await broker.client("other")
            flooder.send(publish("flood", b"x") * 20_000)
            answered = 0
            while len(watcher.messages) < 20_000:
                other.send(packet(0xC0))
                await other.receive()
                answered += 1
            assert answered > 5

    play(scenario())


async def sleep_with(broker: Running, name: str) -> None:
    """Leave a persistent session behind."""
    client = await broker.client(name, clean=False)
    await client.subscribe(("t", 1))
    await client.disconnect()


def test_queues_of_all_sessions_together_are_bounded_and_a_shared_message_counts_once() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(offline_bytes_total=5000)) as broker:
            for name in ("one", "two", "three"):
                await sleep_with(broker, name)
            counters, local = broker.exchange.counters, broker.local().session
            for _ in range(2):
                local.publish("t", bytes(2000), qos=1)
            assert counters.queue_dropped == 0
            local.publish("t", bytes(2000), qos=1)
            assert counters.queue_dropped == 3
            for name in ("one", "two"):
                again = await broker.client(name, clean=False)
                assert [len((await again.published()).payload) for _ in range(2)] == [2000, 2000]
                await again.silent()
            local.publish("t", bytes(2000), qos=1)
            assert counters.queue_dropped == 4
            await broker.client("three", clean=True)
            await sleep_with(broker, "four")
            for _ in range(2):
                local.publish("t", bytes(2000), qos=1)
            assert counters.queue_dropped == 4

    play(scenario())


def test_wire_that_cannot_be_written_to_is_cut_alone() -> None:
    async def scenario() -> None:
        async with running() as broker:

            def fail(_data: bytes) -> None:
                raise RuntimeError("no such wire")

            closed = asyncio.Event()
            broken = Connection(broker.exchange, TrustedNetworks(), write=fail, close=closed.set, address="127.0.0.1")
            client = await broker.client("one")
            broken.feed(connect("broken"))
            client.send(packet(0xC0))
            assert await client.receive() == (0xD0, b"")
            await asyncio.wait_for(closed.wait(), 20)
            assert broker.exchange.sessions.connected == 1

    play(scenario())


def test_replay_of_a_large_store_holds_up_nobody_and_sends_nothing_stale() -> None:
    async def scenario() -> None:
        async with running() as broker:
            local, topics = broker.local().session, [f"r/{number}" for number in range(3000)]
            for topic in topics:
                local.publish(topic, b"old", retain=True)
            reader, other = await broker.client("reader"), await broker.client("other")
            reader.send(subscribe(("#", 0), ("+/#", 0), ("r/+", 0), ("r/+", 0)))
            await until(lambda: broker.exchange.subscriptions == 3)
            await other.ping()
            for topic in topics[-10:]:
                local.publish(topic, b"new", retain=True)
            assert await reader.receive() == (0x90, b"\x00\x01\x00\x00\x00\x00")
            last, count = dict[str, bytes](), 0
            with contextlib.suppress(TimeoutError):
                while True:
                    got = await reader.published(0.3)
                    last[got.topic] = got.payload
                    count += 1
            assert sorted(last) == sorted(topics)
            assert sorted(topic for topic, payload in last.items() if payload == b"new") == sorted(topics[-10:])
            assert 2 * len(topics) < count <= 3 * len(topics) + 10

    play(scenario())


def test_too_many_filters_in_one_packet_close_the_connection() -> None:
    async def scenario() -> None:
        async with running() as broker:
            for request in (subscribe(*[("#", 0)] * 2001), packet(0xA2, b"\x00\x01" + b"\x00\x01#" * 2001)):
                client = await broker.client("one")
                client.send(request)
                await client.closed()
            assert broker.exchange.counters.protocol_errors == 2

    play(scenario())


def test_connection_that_has_ended_is_freed_at_once() -> None:
    async def scenario() -> None:
        async with running() as broker:
            for ending in (packet(0xE0), packet(0x00), b""):
                client = await broker.client("one", will=Will("gone", b"x"))
                await client.subscribe(("t", 1))
                (link,) = broker.exchange.sessions.links
                gone = weakref.ref(link)
                del link
                gc.disable()
                try:
                    client.send(ending)
                    await client.drop()
                    await until(lambda: broker.exchange.sessions.connected == 0)
                    await until(lambda gone=gone: gone() is None)  # type: ignore[misc]
                finally:
                    gc.enable()

    play(scenario())
