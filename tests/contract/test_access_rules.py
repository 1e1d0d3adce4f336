"""Access rules from a file in a running broker: nothing is delivered, replayed or left behind against them."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.access import Identity, Login, Role
from bus.engine import Connection
from bus.exchange import Exchange
from bus.rule_file import RuleSet
from bus.rules import FileRules
from tests import mqtt_wire
from tests.access_cases import CLIENTS, MEMBERS, USERS, entries_about
from tests.access_oracle import Entry, Oracle, Who, fits
from tests.brokers import Local, play, running, until
from tests.mqtt_wire import Published, Will

ROUNDS = settings(max_examples=60, deadline=None)


def rules_of(found: Sequence[Entry]) -> FileRules:
    return FileRules("i", [], RuleSet.model_validate({"roles": MEMBERS, "rules": found}))


class AnyName:
    """Lets everybody in as whom they say they are, whatever the name holds."""

    def authenticate(self, login: Login) -> Identity:
        """An ordinary client."""
        return Identity(login.client_id, Role.CLIENT, login.user, login.address, login.transport)


def payload_of(number: int) -> bytes:
    """A payload that says which member it is from."""
    return b"from %d" % number


def sender_of(payload: bytes) -> int | None:
    """The member a payload is from, None for the bus."""
    return int(payload[5:]) if payload.startswith(b"from ") else None


class Member:
    """A client of an exchange on a wire without a socket; `got` is what was published to it since the last look."""

    def __init__(self, exchange: Exchange, who: Who, *, clean: bool, will: Will | None = None) -> None:
        self.who = who
        self.filters: set[str] = set()
        self._received = bytearray()
        self.wire = Connection(exchange, AnyName(), write=self._received.extend, close=lambda: None, address="")
        self.wire.feed(mqtt_wire.connect(who.client, clean=clean, user=who.user, will=will))

    def subscribe(self, name: str, qos: int) -> None:
        """Subscribe, and note whether it was accepted."""
        self.wire.feed(mqtt_wire.subscribe((name, qos)))
        self.wire.flush()
        answers = [body for first, body in self._packets() if first == 0x90]
        if answers[-1][2] != 0x80:
            self.filters.add(name)

    def got(self) -> list[Published]:
        """Publications since the last look, QoS 0 and 1 only; those of QoS 1 stay unacknowledged."""
        found = [Published.read(first, body) for first, body in self._packets() if first >> 4 == 3]
        self._received.clear()
        return found

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        data, at = bytes(self._received), 0
        while at < len(data):
            first, length, shift = data[at], 0, 0
            at += 1
            while True:
                byte = data[at]
                length |= (byte & 127) << shift
                at, shift = at + 1, shift + 7
                if byte < 128:
                    break
            yield first, data[at : at + length]
            at += length


@dataclass(frozen=True)
class Step:
    """Something one member does, or a change of rules."""

    kind: str
    member: int
    topic: str
    filter: str
    qos: int
    retain: bool
    rules: int


topics = st.sampled_from(
    ["home/a", "home/b", "open/a", "ann/a", "s-c1/a", "i/moonraker/api/request", "i/reply/c1", "i/klipper/status"]
)
filters = st.sampled_from(["#", "#", "home/#", "open/#", "+/a", "ann/#", "i/#", "i/reply/+", "home/a"])
steps = st.builds(
    Step,
    st.sampled_from(["publish", "publish", "trusted", "subscribe", "rules", "die", "leave"]),
    st.integers(0, 3),
    topics,
    filters,
    st.integers(0, 1),
    st.booleans(),
    st.integers(0, 2),
)
some_entries = st.lists(
    entries_about(
        st.sampled_from(["#", "home/#", "open/#", "+/a", "home/a", "{user}/#", "s-{client}/#", "{instance}/#"])
    ),
    min_size=1,
    max_size=3,
)


def perhaps_open(found: list[Entry]) -> st.SearchStrategy[list[Entry]]:
    """The entries alone, or with a last one that allows the rest, as most files have it."""
    return st.sampled_from([found, [*found, {"publish": "#", "receive": "#"}]])


names = st.lists(
    st.builds(Who, st.sampled_from(CLIENTS), st.sampled_from(USERS)),
    min_size=2,
    max_size=4,
    unique_by=lambda who: who.client,
)


class Play:
    """A broker whose every delivery is held against the slow evaluation of the rules in force."""

    def __init__(self, versions: Sequence[Sequence[Entry]], whos: Sequence[Who], will: Step) -> None:
        self.versions = versions
        self.oracle = Oracle("i", versions[0], MEMBERS)
        self.exchange = Exchange(rules_of(versions[0]))
        self.trusted = Local(self.exchange).session
        self.will = will
        self.whos = whos
        self.members = [self._join(number) for number in range(len(whos))]

    def _join(self, number: int) -> Member:
        will = Will(self.will.topic, payload_of(number), self.will.qos, self.will.retain)
        return Member(self.exchange, self.whos[number], clean=bool(number % 2), will=will)

    async def take(self, step: Step) -> None:
        number = step.member % len(self.members)
        member = self.members[number]
        if step.kind == "subscribe":
            member.subscribe(step.filter, step.qos)
        elif step.kind == "rules":
            self.change(step.rules)
        elif step.kind in ("die", "leave"):
            await self.restart(number, clean_end=step.kind == "leave")
        else:
            await self.publish(step, number, trusted=step.kind == "trusted")
        await self.settle()
        self.check()

    async def publish(self, step: Step, number: int, *, trusted: bool) -> None:
        self.check()
        payload = b"bus" if trusted else payload_of(number)
        if trusted:
            self.trusted.publish(step.topic, payload, qos=step.qos, retain=step.retain)
        else:
            packet = mqtt_wire.publish(step.topic, payload, qos=step.qos, retain=step.retain, packet_id=9)
            self.members[number].wire.feed(packet)
        await self.settle()
        allowed = trusted or self.oracle.may_publish(self.whos[number], step.topic)
        for member in self.members:
            wants = any(fits(name, step.topic) for name in member.filters)
            due = allowed and wants and self.oracle.may_receive(member.who, step.topic)
            assert [(each.topic, each.payload) for each in member.got()] == [(step.topic, payload)] * due

    async def restart(self, number: int, *, clean_end: bool) -> None:
        """End a connection with or without its will, and connect again."""
        old = self.members[number]
        if clean_end:
            old.wire.feed(mqtt_wire.packet(0xE0))
        old.wire.lost()
        await self.settle()
        self.check()
        self.members[number] = self._join(number)
        if number % 2 == 0:
            self.members[number].filters = old.filters
        await self.settle()
        for message in self.members[number].got():  # kept for it, when its sender had the right
            assert self.oracle.may_receive(old.who, message.topic), (old.who, message)

    async def settle(self) -> None:
        """Until everything has come; what is retained comes a millisecond's worth at a time."""
        while self.exchange._replays._waiting:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    def change(self, number: int) -> None:
        found = self.versions[number % len(self.versions)]
        self.oracle = Oracle("i", found, MEMBERS)
        self.exchange.set_rules(rules_of(found))

    def check(self) -> None:
        """Whatever came is allowed now: to its receiver, and by its sender."""
        for member in self.members:
            for message in member.got():
                assert self.oracle.may_receive(member.who, message.topic), (member.who, message)
                if (number := sender_of(message.payload)) is not None:
                    sender = self.whos[number]
                    assert self.oracle.may_publish(sender, message.topic), (sender, message)

    def close(self) -> None:
        for member in self.members:
            member.wire.finish()


@ROUNDS
@given(
    st.lists(some_entries.flatmap(perhaps_open), min_size=2, max_size=3),
    names,
    steps,
    st.lists(steps, min_size=10, max_size=30),
)
def test_every_delivery_is_allowed_and_all_that_is_allowed_is_delivered(
    versions: list[list[Entry]], whos: list[Who], will: Step, taken: list[Step]
) -> None:
    async def scenario() -> None:
        match = Play(versions, whos, will)
        for member in match.members:
            member.subscribe("#", will.qos)
        for step in taken:
            await match.take(step)
        match.close()

    play(scenario())


FARM: list[Entry] = [{"publish": "{user}/#", "receive": "{user}/#"}]
TENANTS = [Who("c1", "ann"), Who("c2", "ben"), Who("+", "+"), Who("#", "#"), Who("b-1", "ann/x"), Who("*", "*")]


def _step(kind: str, member: int, topic: str, name: str, qos: int, retain: bool) -> Step:
    return Step(kind, member, topic, name, qos, retain, 0)


farm_steps = st.builds(
    _step,
    st.sampled_from(["publish", "publish", "trusted", "subscribe", "subscribe", "die"]),
    st.integers(0, len(TENANTS) - 1),
    st.lists(st.sampled_from(["ann", "ben", "x", "+x", "moonraker", "$SYS"]), min_size=1, max_size=3)
    .map("/".join)
    .map(lambda topic: topic.replace("+", "")),
    st.sampled_from(["#", "+/#", "ann/#", "ben/#", "+/+", "+/moonraker/#", "ann/x", "ben/x", "$SYS/#", "/#"]),
    st.integers(0, 1),
    st.booleans(),
)


@ROUNDS
@given(farm_steps, st.lists(farm_steps, min_size=5, max_size=30))
def test_printers_on_one_broker_neither_see_nor_touch_each_other(will: Step, taken: list[Step]) -> None:
    class Farm(Play):
        def check(self) -> None:
            for member in self.members:
                for message in member.got():
                    self.is_own(member.who, message.topic)
                    if (number := sender_of(message.payload)) is not None:
                        self.is_own(self.whos[number], message.topic)
            for topic in ("ann/x", "ben/x", "ann", "ben"):
                kept = self.exchange.retained(topic)
                if kept is not None and (number := sender_of(kept.payload)) is not None:
                    self.is_own(self.whos[number], topic)

        def is_own(self, who: Who, topic: str) -> None:
            assert who.user in ("ann", "ben") and topic.split("/")[0] == who.user

    async def scenario() -> None:
        match = Farm([FARM], TENANTS, will)
        for step in taken:
            await match.take(step)
        match.close()

    play(scenario())


HOME: list[Entry] = [{"publish": ["home/#", "open/#"], "receive": ["home/#", "open/#", "{instance}/#"]}]
OPEN: list[Entry] = [{"publish": "open/#", "receive": "open/#"}]


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_sent_but_not_acknowledged_is_not_repeated_after_a_withdrawal(qos: int) -> None:
    async def scenario() -> None:
        async with running(rules=rules_of(HOME)) as broker:
            reader = await broker.client("reader", clean=False)
            await reader.subscribe(("#", qos))
            broker.local().session.publish("home/a", b"secret", qos=qos)
            broker.local().session.publish("open/a", b"news", qos=qos)
            assert [(await reader.published()).payload for _ in range(2)] == [b"secret", b"news"]
            await reader.drop()
            await until(lambda: broker.exchange.sessions.offline == 1)
            broker.exchange.set_rules(rules_of(OPEN))
            again = await broker.client("reader", clean=False)
            if qos == 2:  # the exchange that had begun is ended, without the message
                assert await again.receive() == (0x62, b"\0\1")
                again.send(mqtt_wire.packet(0x70, b"\0\1"))
            message = await again.published()
            assert (message.payload, message.dup, message.packet_id) == (b"news", True, 2)
            await again.silent()

    play(scenario())


@pytest.mark.parametrize("qos", [1, 2])
def test_a_withdrawal_during_an_exchange_leaves_room_for_what_is_allowed(qos: int) -> None:
    async def scenario() -> None:
        async with running(rules=rules_of(HOME)) as broker:
            reader, session = await broker.client("reader"), broker.local().session
            await reader.subscribe(("#", qos))
            for _ in range(broker.exchange.limits.inflight):
                session.publish("home/a", b"old", qos=qos)
            session.publish("home/a", b"waits", qos=qos)
            session.publish("open/a", b"news", qos=qos)
            sent = [await reader.published() for _ in range(broker.exchange.limits.inflight)]
            broker.exchange.set_rules(rules_of(OPEN))
            if qos == 2:
                ids = [message.packet_id.to_bytes(2, "big") for message in sent]
                reader.send(b"".join(mqtt_wire.packet(0x50, raw_id) for raw_id in ids))
                assert [await reader.receive() for _ in ids] == [(0x62, raw_id) for raw_id in ids]
                reader.send(b"".join(mqtt_wire.packet(0x70, raw_id) for raw_id in ids))
            assert (await reader.published()).payload == b"news"
            await reader.silent()

    play(scenario())


def test_a_subscription_that_rules_forbid_stays_silent_and_speaks_again_when_they_allow_it() -> None:
    async def scenario() -> None:
        async with running(rules=rules_of(HOME)) as broker:
            reader, session = await broker.client("reader"), broker.local().session
            await reader.subscribe(("home/#", 0))
            broker.exchange.set_rules(rules_of(OPEN))
            session.publish("home/a", b"1")
            await reader.silent()
            assert await reader.subscribe(("home/#", 0), ("open/#", 0), ("+/a", 0)) == [0x80, 0, 0]
            broker.exchange.set_rules(rules_of(HOME))
            session.publish("home/b", b"2")
            assert (await reader.published()).payload == b"2"

    play(scenario())


def test_a_will_obeys_the_rules_of_the_moment_it_fires() -> None:
    async def scenario() -> None:
        async with running(rules=rules_of(HOME)) as broker:
            watcher = broker.local("home/#", "open/#")
            dying = [await broker.client(name, will=Will(f"{name}/x", b"gone")) for name in ("home", "open")]
            broker.exchange.set_rules(rules_of(OPEN))
            for client in dying:
                await client.drop()
            await until(lambda: broker.exchange.counters.wills == 2)
            await asyncio.sleep(0)
            assert watcher.seen == [("open/x", b"gone")]

    play(scenario())


def test_shared_and_system_topics_need_a_rule_and_open_nothing() -> None:
    async def scenario() -> None:
        system: list[Entry] = [*HOME, {"user": "admin", "receive": "$SYS/#"}]
        async with running(rules=rules_of(system)) as broker:
            reader, admin = await broker.client("reader"), await broker.client("boss", user="admin")
            asked = ("$SYS/#", "$share/g/home/#", "$share/g/#", "$SYS/broker/uptime", "#")
            assert await reader.subscribe(*((name, 0) for name in asked)) == [0x80, 0x80, 0x80, 0x80, 0]
            assert await admin.subscribe(("$SYS/broker/uptime", 0)) == [0]
            assert (await admin.published()).topic == "$SYS/broker/uptime"
            await reader.publish("$SYS/broker/uptime", b"forged", qos=1)
            await admin.silent()
            await reader.silent()

    play(scenario())


def test_withdrawn_retained_messages_are_not_replayed() -> None:
    async def scenario() -> None:
        async with running(rules=rules_of(HOME)) as broker:
            writer = await broker.client("writer")
            for topic in ("home/a", "open/a"):
                await writer.publish(topic, b"kept", qos=1, retain=True)
            reads_all: list[Entry] = [{"receive": ["home/#", "open/#"], "publish": "open/#"}]
            for found, expected in ((HOME, 2), (OPEN, 1), (reads_all, 1)):
                broker.exchange.set_rules(rules_of(found))
                reader = await broker.client("reader")
                await reader.subscribe(("#", 0))
                assert sorted([(await reader.published()).topic for _ in range(expected)])[-1] == "open/a"
                await reader.silent()
                await reader.disconnect()

    play(scenario())
