"""The broker on the wire: who may publish, subscribe to and receive what, also in wills, replays and after a change."""

import asyncio

import pytest

from bus.access import AccessRules, Identity
from tests.brokers import play, running, until
from tests.mqtt_wire import Will


class ReadOnly(AccessRules):
    """Rules under which ordinary clients may not publish, and see only `open/`."""

    def may_publish(self, who: Identity, topic: str) -> bool:
        return who.transport == "local"

    def may_receive(self, who: Identity, topic: str) -> bool:
        return who.transport == "local" or topic.startswith("open/")


def test_refused_publication_is_acknowledged_but_not_delivered() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("i/#")
            client = await broker.client("one")
            for qos in (0, 1, 2):
                await client.publish("i/moonraker/status", b"forged", qos=qos, retain=True)
            await client.ping()
            assert watcher.seen == []
            assert broker.exchange.retained("i/moonraker/status") is None
            assert broker.exchange.counters.publishes_refused == 3

    play(scenario())


def test_will_needs_the_right_to_publish() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("i/#", "free")
            for name, topic in (("one", "i/agent/klippy/call"), ("two", "i/moonraker/status"), ("three", "free")):
                client = await broker.client(name, will=Will(topic, b"x", retain=True))
                await client.drop()
            await until(lambda: broker.exchange.sessions.connected == 0)
            await asyncio.sleep(0)
            assert watcher.seen == [("free", b"x")]
            assert broker.exchange.retained("i/moonraker/status") is None

    play(scenario())


def test_wildcards_do_not_reach_private_topics() -> None:
    async def scenario() -> None:
        async with running() as broker:
            reader = await broker.client("reader")
            for name in ("#", "i/#", "+/+/#", "i/moonraker/api/+/+", "i/agent/+/call"):
                assert await reader.subscribe((name, 1)) == [1]
            assert await reader.subscribe(("i/agent/klippy/call", 1), ("i/reply/other", 1)) == [0x80, 0x80]
            local = broker.local().session
            for topic in (
                "i/moonraker/api/request/other",
                "i/moonraker/api/response/other",
                "i/rpc/other/printer/info",
                "i/reply/other",
                "i/agent/klippy/call",
                "i/agent/klippy/answer",
                "i/klipper/delta",
                "i/files/upload/other/1/data",
            ):
                local.publish(topic, b"secret", qos=1, retain=True)
            await reader.silent()
            await reader.subscribe(("i/+/#", 1))
            await reader.silent()
            local.publish("i/moonraker/api/response/reader", b"mine")
            assert (await reader.published()).payload == b"mine"

    play(scenario())


def test_client_speaks_only_for_itself() -> None:
    async def scenario() -> None:
        async with running() as broker:
            watcher = broker.local("i/#", "farm/#", "homeassistant/#")
            client = await broker.client("one")
            allowed = [
                "i/moonraker/api/request",
                "i/moonraker/api/request/one",
                "i/rpc/one/printer/info",
                "i/files/upload/one/7/0",
                "farm/moonraker/api/request",
                "homeassistant/light/config",
            ]
            for topic in [
                *allowed,
                "i/moonraker/api/request/two",
                "i/moonraker/api/response",
                "i/rpc/two/printer/info",
                "i/rpc/onetwo/x",
                "i/state/klippy/x",
                "i/agent/klippy",
                "i/log/head",
                "$SYS/broker/uptime",
                "$other",
            ]:
                await client.publish(topic, b"x", qos=1)
            assert [topic for topic, _ in watcher.seen] == allowed

    play(scenario())


def test_agent_gets_its_calls_and_nobody_elses() -> None:
    async def scenario() -> None:
        async with running() as broker:
            agent = await broker.client("agent.klippy", user="agent:b1")
            assert await agent.subscribe(("i/agent/klippy/call", 1), ("i/agent/other/call", 1)) == [1, 0x80]
            local = broker.local("i/#")
            local.session.publish("i/agent/other/call", b"1")
            local.session.publish("i/agent/klippy/call", b"2")
            assert (await agent.published()).payload == b"2"
            await agent.publish("i/agent/klippy/answer", b"3", qos=1)
            await agent.publish("i/agent/other/answer", b"4", qos=1)
            await agent.publish("i/state/klippy/status", b"5", qos=1)
            await agent.publish("i/state/other/status", b"6", qos=1)
            assert [payload for _, payload in local.seen] == [b"1", b"2", b"3", b"5"]

    play(scenario())


def test_changed_rules_hold_at_once_for_open_connections_and_what_is_kept_for_them() -> None:
    async def scenario() -> None:
        async with running() as broker:
            reader, writer = await broker.client("reader"), await broker.client("writer")
            sleeper = await broker.client("sleeper", clean=False)
            await reader.subscribe(("#", 0))
            await sleeper.subscribe(("#", 1))
            await sleeper.disconnect()
            await writer.publish("home/a", b"1", qos=1, retain=True)
            await writer.publish("open/a", b"2", qos=1, retain=True)
            assert [(await reader.published()).payload, (await reader.published()).payload] == [b"1", b"2"]
            broker.exchange.set_rules(ReadOnly("i"))
            await writer.publish("open/b", b"forbidden", qos=1)
            broker.local().session.publish("home/b", b"hidden", qos=1)
            broker.local().session.publish("open/b", b"seen", qos=1)
            assert (await reader.published()).payload == b"seen"
            await reader.subscribe(("+/a", 0))
            await reader.silent()
            again = await broker.client("sleeper", clean=False)
            assert [(await again.published()).payload, (await again.published()).payload] == [b"2", b"seen"]
            await again.silent()

    play(scenario())


def test_retained_message_whose_sender_lost_its_right_is_not_replayed() -> None:
    async def scenario() -> None:
        async with running() as broker:
            writer = await broker.client("writer")
            await writer.publish("open/a", b"old", qos=1, retain=True)
            broker.local().session.publish("open/b", b"trusted", retain=True)
            broker.exchange.set_rules(ReadOnly("i"))
            reader = await broker.client("reader")
            await reader.subscribe(("open/#", 0))
            assert (await reader.published()).payload == b"trusted"
            await reader.silent()

    play(scenario())


@pytest.mark.parametrize("name", ["#", "+", "a/#", "%c/%u"])
def test_user_name_with_wildcards_gains_nothing(name: str) -> None:
    async def scenario() -> None:
        async with running() as broker:
            reader = await broker.client("reader", user=name)
            await reader.subscribe(("i/#", 0))
            broker.local().session.publish("i/reply/other", b"secret")
            await reader.silent()

    play(scenario())
