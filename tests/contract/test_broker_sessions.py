"""The broker on the wire: sessions over several connections, take-over, wills, keep-alive, logins."""

import asyncio

import pytest

from bus.access import Identity, Login, Refusal, Role
from bus.limits import Limits
from bus.session import LocalSession
from tests.brokers import play, running, until
from tests.mqtt_wire import Published, Refused, Will, WireClient, connect, packet, publish, subscribe


async def acknowledge(client: WireClient, got: Published) -> None:
    client.send(packet(0x40, got.packet_id.to_bytes(2, "big")))
    await client.ping()


def test_offline_session_gets_what_it_missed_in_order() -> None:
    async def scenario() -> None:
        async with running() as broker:
            first = await broker.client("keeper", clean=False)
            assert not first.present
            await first.subscribe(("a/#", 1), ("b", 2), ("c", 0))
            await first.disconnect()
            writer = await broker.client("writer")
            for number in range(5):
                await writer.publish(f"a/{number}", b"q1", qos=1)
            await writer.publish("b", b"q2", qos=2)
            await writer.publish("a/0", b"not queued", qos=0)
            await writer.publish("c", b"not queued", qos=2)
            second = await broker.client("keeper", clean=False)
            assert second.present
            for number in range(5):
                got = await second.published()
                assert (got.topic, got.qos, got.dup) == (f"a/{number}", 1, False)
            assert (await second.published()).qos == 2
            await second.silent()

    play(scenario())


def test_unacknowledged_messages_are_repeated_with_dup_after_reconnect() -> None:
    async def scenario() -> None:
        async with running() as broker:
            client = await broker.client("keeper", clean=False)
            await client.subscribe(("t", 2))
            local = broker.local().session
            for payload, qos in ((b"1", 1), (b"2", 2), (b"3", 1), (b"4", 2)):
                local.publish("t", payload, qos=qos)
            sent = [await client.published() for _ in range(4)]
            await acknowledge(client, sent[2])
            client.send(packet(0x50, sent[3].packet_id.to_bytes(2, "big")))
            assert (await client.receive())[0] == 0x62
            await client.drop()
            await until(lambda: broker.exchange.sessions.connected == 0)
            again = await broker.client("keeper", clean=False)
            for old in sent[:2]:
                assert await again.published() == Published("t", old.payload, old.qos, False, True, old.packet_id)
            assert await again.receive() == (0x62, sent[3].packet_id.to_bytes(2, "big"))
            await again.silent()

    play(scenario())


def test_session_that_comes_back_to_a_full_line_catches_up_while_others_go_on() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(inflight=3, offline_messages=5)) as broker:
            client = await broker.client("phone", clean=False)
            await client.subscribe(("t", 1))
            local = broker.local().session
            for number in range(3):
                local.publish("t", b"%d" % number, qos=1)
                await client.published()  # and never acknowledged
            await client.drop()
            await until(lambda: broker.exchange.sessions.connected == 0)
            for number in range(3, 10):
                local.publish("t", b"%d" % number, qos=1)
            again = await broker.client("phone", clean=False)
            local.publish("t", b"dropped", qos=1)
            for number in range(8):
                got = await again.published()
                assert got.payload == b"%d" % number
                again.send(packet(0x40, got.packet_id.to_bytes(2, "big")))
            await again.ping()
            local.publish("t", b"caught up", qos=1)
            assert (await again.published()).payload == b"caught up"
            assert broker.exchange.counters.slow_readers_cut == 0

    play(scenario())


def test_nothing_is_repeated_or_dropped_while_the_connection_stands() -> None:
    async def scenario() -> None:
        async with running(limits=Limits(inflight=2)) as broker:
            client = await broker.client("slow")
            await client.subscribe(("t", 1))
            local = broker.local().session
            for number in range(5):
                local.publish("t", b"%d" % number, qos=1)
            sent = [await client.published(), await client.published()]
            await client.silent()
            for number in range(2, 5):
                answered = sent.pop(0)
                client.send(packet(0x40, answered.packet_id.to_bytes(2, "big")))
                sent.append(await client.published())
                assert sent[-1].payload == b"%d" % number
            assert len({got.packet_id for got in sent}) == 2

    play(scenario())


def test_incoming_qos_2_is_not_published_twice_over_a_reconnect() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("t")
            client = await broker.client("keeper", clean=False)
            client.send(publish("t", b"x", qos=2, packet_id=3))
            assert await client.receive() == (0x50, b"\x00\x03")
            await client.drop()
            await until(lambda: broker.exchange.sessions.connected == 0)
            again = await broker.client("keeper", clean=False)
            again.send(publish("t", b"x", qos=2, dup=True, packet_id=3))
            assert await again.receive() == (0x50, b"\x00\x03")
            again.send(packet(0x62, b"\x00\x03"))
            assert await again.receive() == (0x70, b"\x00\x03")
            assert watcher.seen == [("t", b"x")]

    play(scenario())


def test_clean_session_forgets_everything() -> None:
    async def scenario() -> None:
        async with running() as broker:
            for clean in (False, True, False):
                client = await broker.client("one", clean=clean)
                assert not client.present
                await client.subscribe(("t", 1))
                await client.disconnect()
            assert broker.exchange.sessions.offline == 1
            again = await broker.client("one", clean=True)
            assert not again.present
            broker.local().session.publish("t", b"x", qos=1)
            await again.silent()
            assert broker.exchange.subscriptions == 0

    play(scenario())


@pytest.mark.parametrize("clean", [True, False])
def test_take_over_closes_the_old_connection_and_keeps_a_persistent_session(clean: bool) -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("gone")
            old = await broker.client("one", clean=clean, will=Will("gone", b"x"))
            await old.subscribe(("t", 1))
            new = await broker.client("one", clean=clean)
            await old.closed()
            assert new.present is not clean
            broker.local().session.publish("t", b"y", qos=1)
            if clean:
                await new.silent()
            else:
                assert (await new.published()).payload == b"y"
            assert watcher.seen == [("gone", b"x")]
            assert broker.exchange.counters.takeovers == 1

    play(scenario())


def test_will_is_published_unless_the_client_disconnects_properly() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("gone/#")
            polite = await broker.client("polite", will=Will("gone/polite", b"x"))
            await polite.disconnect()
            rude = await broker.client("rude", will=Will("gone/rude", b"y", qos=2, retain=True))
            await rude.drop()
            await until(lambda: bool(watcher.messages))
            assert watcher.seen == [("gone/rude", b"y")]
            entry = broker.exchange.retained("gone/rude")
            assert entry is not None and (entry.payload, entry.qos) == (b"y", 2)

    play(scenario())


def test_silence_beyond_the_keep_alive_ends_the_connection() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("gone")
            silent = await broker.client("silent", keep_alive=1, will=Will("gone", b"x"))
            dripping = await broker.client("dripping", keep_alive=1)
            alive = await broker.client("alive", keep_alive=1)
            unlimited = await broker.client("unlimited", keep_alive=0)
            for _ in range(5):
                await asyncio.sleep(0.45)
                await alive.ping()
                dripping.send(b"\xc0" if _ == 0 else b"")
            await silent.closed()
            await dripping.closed()
            await unlimited.ping()
            assert watcher.seen == [("gone", b"x")]
            assert broker.exchange.counters.keep_alive_timeouts == 2

    play(scenario())


def test_client_id_is_bound_to_its_user() -> None:
    async def scenario() -> None:
        async with running() as broker:
            owner = await broker.client("one", clean=False, user="anna", will=Will("gone", b"anna's"))
            await owner.subscribe(("t", 1))
            for user in ("ben", None):
                with pytest.raises(Refused) as refused:
                    await broker.client("one", clean=True, user=user)
                assert refused.value.code == 2
            await owner.ping()
            await owner.disconnect()
            with pytest.raises(Refused):
                await broker.client("one", clean=False, user="ben")
            assert (await broker.client("one", clean=False, user="anna")).present

    play(scenario())


def test_second_agent_of_a_name_is_refused_until_the_first_has_gone() -> None:
    async def scenario() -> None:
        async with running() as broker:
            first = await broker.client("agent.klippy", user="agent:boot-1")
            with pytest.raises(Refused) as refused:
                await broker.client("agent.klippy", user="agent:boot-2")
            assert refused.value.code == 2
            same_boot = await broker.client("agent.klippy", user="agent:boot-1")
            await first.closed()
            await same_boot.drop()
            await until(lambda: broker.exchange.sessions.connected == 0)
            await broker.client("agent.klippy", user="agent:boot-2")

    play(scenario())


@pytest.mark.parametrize(
    "client_id", ["a/b", "+", "#", "a\x01", "agent.klippy", "agent.", "bridge", "bridge-1", "printbus", "printbus.x"]
)
def test_reserved_and_unsafe_client_ids_are_refused(client_id: str) -> None:
    async def scenario() -> None:
        async with running() as broker:
            for user in (None, "agent", "bridge"):
                with pytest.raises(Refused) as refused:
                    await broker.client(client_id, user=user)
                assert refused.value.code == 2
            assert broker.exchange.counters.client_ids_refused == 3

    play(scenario())


def test_client_id_of_a_local_session_is_refused_to_sockets() -> None:
    async def scenario() -> None:
        async with running() as broker:
            identity = Identity("panel", Role.CLIENT, transport="local")
            local = LocalSession(broker.exchange, identity)
            with pytest.raises(Refused):
                await broker.client("panel")
            local.close()
            await broker.client("panel")

    play(scenario())


def test_listeners_are_told_of_connects_and_disconnects() -> None:
    async def scenario() -> None:
        async with running() as broker:
            told: list[str] = []
            broker.exchange.add_listener(
                on_connect=lambda who: told.append(f"+{who.client_id} {who.user} {who.address} {who.transport}"),
                on_disconnect=lambda who: told.append(f"-{who.client_id}"),
            )
            client = await broker.client("one", user="anna")
            await client.disconnect()
            assert told == ["+one anna 127.0.0.1 mqtt", "-one"]

    play(scenario())


class SlowLogin:
    """Answers after a moment, as one that hashes passwords does."""

    async def authenticate(self, login: Login) -> Identity | Refusal:
        await asyncio.sleep(0.02)
        if login.user == "broken":
            raise RuntimeError("no database")
        if login.password != b"right":
            return Refusal.CREDENTIALS
        return Identity(login.client_id, Role.CLIENT, login.user, login.address, login.transport)


def test_login_may_take_its_time_and_what_is_sent_meanwhile_waits() -> None:
    async def scenario() -> None:
        async with running(authenticator=SlowLogin()) as broker:
            client = await broker.client.socket()
            client.send(connect("one", user="anna", password=b"right") + subscribe(("t", 1)))
            await asyncio.sleep(0.005)
            client.send(publish("t", b"x"))
            assert await client.receive() == (0x20, b"\x00\x00")
            assert await client.receive() == (0x90, b"\x00\x01\x01")
            assert (await client.published()).payload == b"x"
            for user, password, code in (("anna", b"wrong", 4), ("broken", b"right", 3)):
                with pytest.raises(Refused) as refused:
                    await broker.client("two", user=user, password=password)
                assert refused.value.code == code
            gone = await broker.client.socket()
            gone.send(connect("three", user="anna", password=b"right"))
            await gone.drop()
            await asyncio.sleep(0.05)
            assert [session.identity.client_id for session in broker.exchange.sessions.all()] == ["one"]

    play(scenario())
