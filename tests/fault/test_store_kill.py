"""kill -9 of the broker at any moment under load: all it acknowledged is there afterwards, and once if it is QoS 2."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.mqtt_wire import PATIENCE, Published, WireClient, packet, publish
from tests.program import Addresses, Program, addresses

CAMPAIGN = bool(os.environ.get("PRINTBUS_CAMPAIGN"))
KILLS = 200 if CAMPAIGN else 4
LONGEST_SECONDS = 0.5
SILENCE = 0.3
TOPICS = 40
WINDOW = 30
PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70


def qos_of(number: int) -> int:
    return 1 + (number >> 1 & 1)


def is_retained(number: int) -> bool:
    return bool(number & 1)


def publication(number: int, *, dup: bool) -> bytes:
    """The packet of a number: odd ones are retained, the others queued for the sleeper; two by two of QoS 1 and 2."""
    topic = f"retained/{number % TOPICS}" if is_retained(number) else "queued"
    packet_id = 1 + number % 60_000
    payload = b"%d" % number
    return publish(topic, payload, qos=qos_of(number), retain=is_retained(number), dup=dup, packet_id=packet_id)


class Writer:
    """A persistent client that publishes numbers, and goes on after a kill with what the kill has interrupted."""

    def __init__(self) -> None:
        self.last = 0
        self.sent: dict[int, int] = {}
        self.retained: dict[int, int] = {}
        """By topic: the number last published, and the number last acknowledged."""
        self.queued: set[int] = set()
        """Acknowledged numbers that are for the sleeper."""
        self._waiting: dict[int, int] = {}
        self._unreleased: list[int] = []

    async def run(self, client: WireClient, *, until: int | None = None) -> None:
        """Publish until the broker is gone, or only complete everything up to a number."""
        for number in self._waiting.values():
            client.send(publication(number, dup=True))
        for packet_id in self._unreleased:
            client.send(packet(PUBREL, packet_id.to_bytes(2, "big")))
        while until is None or self.last < until or self._waiting or self._unreleased:
            while len(self._waiting) + len(self._unreleased) < WINDOW and (until is None or self.last < until):
                self._publish(client)
            self._take(client, *await client.receive())

    def _publish(self, client: WireClient) -> None:
        number = self.last = self.last + 1
        self._waiting[1 + number % 60_000] = number
        if is_retained(number):
            self.sent[number % TOPICS] = number
        client.send(publication(number, dup=False))

    def _take(self, client: WireClient, first: int, body: bytes) -> None:
        packet_id = int.from_bytes(body, "big")
        if first == PUBCOMP:
            self._unreleased.remove(packet_id)
            return
        number = self._waiting.pop(packet_id)
        assert first == (PUBACK, PUBREC)[qos_of(number) - 1]
        if first == PUBREC:
            self._unreleased.append(packet_id)
            client.send(packet(PUBREL, body))
        if is_retained(number):
            self.retained[number % TOPICS] = number
        else:
            self.queued.add(number)


class Sleeper:
    """A persistent client that is mostly away; it acknowledges what it gets, and knows which QoS 2 packets are open."""

    def __init__(self) -> None:
        self.got: dict[int, list[int]] = {1: [], 2: []}
        """Numbers by QoS, as they came."""
        self._open: set[int] = set()

    async def run(self, client: WireClient, expected: set[int] | None = None) -> None:
        """Take what comes until what is expected has and nothing else does for some time, or the broker is gone."""
        missing = None if expected is None else expected.difference(self.got[1], self.got[2])
        with contextlib.suppress(TimeoutError):
            while True:
                number = self._take(client, *await client.receive(SILENCE if missing == set() else PATIENCE))
                if missing:
                    missing.discard(number)

    def _take(self, client: WireClient, first: int, body: bytes) -> int:
        """The number that came, 0 where none did."""
        if first == PUBREL:
            self._open.discard(int.from_bytes(body, "big"))
            client.send(packet(PUBCOMP, body))
            return 0
        got = Published.read(first, body)
        if got.qos == 1 or got.packet_id not in self._open:
            self.got[got.qos].append(int(got.payload))
        if got.qos == 2:
            self._open.add(got.packet_id)
        client.send(packet((PUBACK, PUBREC)[got.qos - 1], got.packet_id.to_bytes(2, "big")))
        return int(got.payload)


@contextlib.contextmanager
def broker(data: Path) -> Iterator[tuple[Program, Addresses]]:
    program = Program("broker", "--data", str(data), "--instance", "test", "--mqtt", "127.0.0.1:0")
    try:
        yield program, addresses(program.ready_line())
        program.process.send_signal(signal.SIGKILL)
        assert program.stop() == -signal.SIGKILL
    finally:
        program.stop()


@contextlib.asynccontextmanager
async def client_of(where: Addresses, name: str, *, clean: bool = False) -> AsyncIterator[WireClient]:
    client = await WireClient.open((where.mqtt_host, where.mqtt_port))
    try:
        yield await client.login(name, clean=clean, user="anna")
    finally:
        await client.drop()


async def prepare(where: Addresses) -> None:
    async with client_of(where, "sleeper") as sleeper, client_of(where, "writer") as writer:
        assert await sleeper.subscribe(("queued", 2)) == [2]
        await writer.ping()


async def check_retained(where: Addresses, writer: Writer) -> None:
    found: dict[int, int] = {}
    async with client_of(where, "reader", clean=True) as reader:
        await reader.subscribe(("retained/#", 0))
        with contextlib.suppress(TimeoutError):
            while True:
                missing = writer.retained.keys() - found.keys()
                got = await reader.published(PATIENCE if missing else SILENCE)
                found[int(got.topic.rpartition("/")[2])] = int(got.payload)
    for topic, number in writer.retained.items():
        assert number <= found[topic] <= writer.sent[topic]


async def check_queued(where: Addresses, writer: Writer, sleeper: Sleeper) -> None:
    async with client_of(where, "sleeper") as client:
        assert client.present
        await sleeper.run(client, writer.queued)
    once, exactly = sleeper.got[1], sleeper.got[2]
    assert writer.queued <= {*once, *exactly}
    assert list(dict.fromkeys(once)) == sorted(set(once))
    assert exactly == sorted(set(exactly))


async def loaded(
    where: Addresses, writer: Writer, sleeper: Sleeper, program: Program, *, seconds: float, awake: bool
) -> None:
    """Load the broker, and kill it meanwhile; the sleeper may be there."""
    async with client_of(where, "writer") as client, contextlib.AsyncExitStack() as stack:
        assert client.present
        asyncio.get_running_loop().call_later(seconds, program.process.kill)
        work = [writer.run(client)]
        if awake:
            work.append(sleeper.run(await stack.enter_async_context(client_of(where, "sleeper"))))
        for end in await asyncio.gather(*work, return_exceptions=True):
            assert isinstance(end, EOFError | ConnectionError), end


async def complete(where: Addresses, writer: Writer) -> None:
    async with client_of(where, "writer") as client:
        await writer.run(client, until=writer.last)


@pytest.mark.timeout(1800 if CAMPAIGN else 300)
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    source, writer, sleeper = random.Random(), Writer(), Sleeper()  # noqa: S311
    with broker(tmp_path) as (_, where):
        asyncio.run(prepare(where))
    for kill in range(KILLS):
        with broker(tmp_path) as (program, where):
            asyncio.run(check_retained(where, writer))
            asyncio.run(check_queued(where, writer, sleeper))
            seconds = source.uniform(0, LONGEST_SECONDS)
            asyncio.run(loaded(where, writer, sleeper, program, seconds=seconds, awake=kill % 2 == 1))
    with broker(tmp_path) as (_, where):
        asyncio.run(check_retained(where, writer))
        asyncio.run(complete(where, writer))
        asyncio.run(check_queued(where, writer, sleeper))
    queued = [number for number in range(1, writer.last + 1) if not is_retained(number)]
    assert sleeper.got[2] == [number for number in queued if qos_of(number) == 2]
    assert set(sleeper.got[1]) == {number for number in queued if qos_of(number) == 1}
    assert len(writer.queued) > KILLS
