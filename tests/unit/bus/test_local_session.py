"""Local sessions: handlers, the bounded inbox, fairness, the urgent lane."""

import asyncio
import logging
from time import perf_counter

import pytest

from bus.access import AccessRules, Identity, Role
from bus.exchange import Exchange
from bus.message import Message
from bus.session import LocalSession
from tests.brokers import Local, play, until

BUS = Identity("printbus.test", Role.BUS, transport="local")


def client(name: str) -> Identity:
    return Identity(name, Role.CLIENT, transport="local")


async def settle() -> None:
    """Let the inboxes run empty, if they do so at once."""
    for _ in range(3):
        await asyncio.sleep(0)


def test_each_handler_is_called_once_per_message() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        local = Local(exchange, "a/#", "a/+", "a/b")
        other: list[Message] = []
        local.session.subscribe("a/b", other.append)
        local.session.publish("a/b", b"x", qos=1)
        assert local.messages == []
        await settle()
        assert local.seen == [("a/b", b"x")]
        assert len(other) == 1 and other[0].qos == 1 and other[0].sender == local.session.identity
        local.session.unsubscribe("a/#")
        local.session.unsubscribe("a/b")
        local.session.publish("a/b", b"y")
        await settle()
        assert len(local.messages) == 2 and len(other) == 1

    play(scenario())


def test_retained_messages_come_through_the_inbox() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        writer = Local(exchange)
        writer.session.publish("i/state/x", b"1", retain=True)
        reader = Local(exchange, "i/state/#")
        assert reader.messages == []
        await settle()
        assert reader.seen == [("i/state/x", b"1")] and reader.messages[0].retain
        writer.session.publish("i/state/x", b"2", retain=True)
        await settle()
        assert not reader.messages[1].retain
        entry = exchange.retained("i/state/x")
        assert entry is not None and entry.payload == b"2"

    play(scenario())


def test_rules_hold_for_local_sessions() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        session = LocalSession(exchange, client("panel"))
        got: list[Message] = []
        with pytest.raises(PermissionError):
            session.publish("i/state/x", b"forged")
        with pytest.raises(PermissionError):
            session.subscribe("i/reply/other", got.append)
        for name in ("a/#/b", ""):
            with pytest.raises(ValueError, match=r"filter|#"):
                session.subscribe(name, got.append)
        for topic in ("", "a/+", "a\0", "x" * 70_000):
            with pytest.raises(ValueError, match="topic"):
                session.publish(topic, b"x")
        session.subscribe("i/#", got.append)
        for topic in ("i/reply/other", "i/reply/panel", "i/klipper/delta"):
            exchange.publish(BUS, topic, b"x")
        await settle()
        assert [message.topic for message in got] == ["i/reply/panel"]
        session.unsubscribe("never")

    play(scenario())


def test_full_inbox_hands_messages_to_overflow_and_leaves_room_for_others() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        seen, refused = list[Message](), list[Message]()
        session = LocalSession(exchange, BUS, inbox=80, overflow=refused.append)
        session.subscribe("t", seen.append)
        for _ in range(100):
            exchange.publish(client("flooder"), "t", b"x")
        for _ in range(15):
            exchange.publish(client("other"), "t", b"y")
        assert session.waiting == 80
        assert [message.sender.client_id for message in refused] == ["flooder"] * 30 + ["other"] * 5
        assert exchange.counters.inbox_dropped == 35
        await settle()
        assert (len(seen), session.waiting) == (80, 0)

    play(scenario())


def test_senders_take_turns_and_each_keeps_its_order() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        local = Local(exchange, "t")
        one, two = client("one"), client("two")
        for number in range(3):
            exchange.publish(one, "t", b"1%d" % number)
        for number in range(3):
            exchange.publish(two, "t", b"2%d" % number)
        await settle()
        assert [payload for _, payload in local.seen] == [b"10", b"20", b"11", b"21", b"12", b"22"]

    play(scenario())


def test_urgent_messages_are_handled_within_the_delivery() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        seen: list[bytes] = []
        session = LocalSession(exchange, BUS, inbox=1, urgent=lambda message: message.topic == "stop")
        session.subscribe("#", lambda message: seen.append(message.payload))
        exchange.publish(BUS, "t", b"slow")
        exchange.publish(BUS, "t", b"too much")
        exchange.publish(BUS, "stop", b"now")
        assert seen == [b"now"]
        await settle()
        assert seen == [b"now", b"slow"]

    play(scenario())


def test_long_drains_give_way_to_the_loop() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))

        def busy(_message: Message) -> None:
            end = perf_counter() + 0.0005
            while perf_counter() < end:
                pass

        session = LocalSession(exchange, BUS)
        session.subscribe("t", busy)
        for _ in range(100):
            exchange.publish(BUS, "t", b"x")
        turns = 0
        while session.waiting:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 15

    play(scenario())


def test_failing_handler_is_logged_and_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        local = Local(exchange)

        def fail(_message: Message) -> None:
            raise RuntimeError("broken")

        local.session.subscribe("t", fail)
        local.session.subscribe("t", local.messages.append)
        local.session.publish("t", b"1")
        local.session.publish("t", b"2")
        await settle()
        assert [payload for _, payload in local.seen] == [b"1", b"2"]
        assert exchange.counters.handler_errors == 2

    with caplog.at_level(logging.ERROR):
        play(scenario())
    assert "broken" in caplog.text


def test_closed_session_gets_and_keeps_nothing() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        local = Local(exchange, "a", "b/#")
        local.session.publish("a", b"1")
        local.session.close()
        local.session.close()
        exchange.publish(BUS, "a", b"2")
        await settle()
        assert local.seen == []
        assert (exchange.subscriptions, local.session.waiting) == (0, 0)

    play(scenario())


def test_handler_may_publish_subscribe_and_close() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        local = Local(exchange, "answer")

        def answer(message: Message) -> None:
            local.session.publish("answer", message.payload)
            local.session.unsubscribe("ask")

        local.session.subscribe("ask", answer)
        local.session.publish("ask", b"1")
        local.session.publish("ask", b"2")
        await settle()
        local.session.publish("ask", b"3")
        await settle()
        assert [payload for _, payload in local.seen] == [b"1", b"2"]
        local.session.subscribe("end", lambda _: local.session.close())
        local.session.publish("end", b"")
        local.session.publish("answer", b"late")
        await settle()
        assert len(local.seen) == 2

    play(scenario())


def test_same_route_serves_many_topics_without_growing_for_ever() -> None:
    async def scenario() -> None:
        exchange = Exchange(AccessRules("i"))
        local = Local(exchange, "t/#")
        for number in range(9000):
            exchange.publish(BUS, f"t/{number}", b"x")
        assert len(exchange._routes) <= 8192
        exchange.publish(BUS, "t/1", b"last")
        await until(lambda: not local.session.waiting)
        assert len(local.messages) == 9001

    play(scenario())
