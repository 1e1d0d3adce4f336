"""kill -9 of the broker at any moment under load: all it acknowledged to other clients is there afterwards."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.mqtt_wire import WireClient, packet, publish
from tests.program import Addresses, Program, addresses

CAMPAIGN = bool(os.environ.get("PRINTBUS_CAMPAIGN"))
KILLS = 200 if CAMPAIGN else 8
LONGEST_SECONDS = 0.5
TOPICS = 40
WINDOW = 30


class Truth:
    """What was acknowledged: the last number retained on each topic, and the numbers queued for the sleeper."""

    def __init__(self) -> None:
        self.sent: dict[int, int] = {}
        self.retained: dict[int, int] = {}
        self.queued: set[int] = set()
        self.numbers = count(1)


@contextlib.contextmanager
def broker(data: Path) -> Iterator[tuple[Program, Addresses]]:
    program = Program("broker", "--data", str(data), "--instance", "test", "--mqtt", "127.0.0.1:0")
    try:
        yield program, addresses(program.ready_line())
        program.process.send_signal(signal.SIGKILL)
        assert program.stop() == -signal.SIGKILL
    finally:
        program.stop()


async def login(where: Addresses, name: str, *, clean: bool) -> WireClient:
    client = await WireClient.open((where.mqtt_host, where.mqtt_port))
    return await client.login(name, clean=clean, user="anna")


async def load(client: WireClient, truth: Truth) -> None:
    """Publish to retained topics and to the sleeper, with some unacknowledged at any time, until the broker is gone."""
    waiting: dict[int, int] = {}
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            while len(waiting) < WINDOW:
                number = next(truth.numbers)
                waiting[1 + number % 60_000] = number
                topic = f"retained/{number % TOPICS}" if number % 2 else "queued"
                truth.sent[number % TOPICS] = number
                payload = b"%d" % number
                client.send(publish(topic, payload, qos=1, retain=bool(number % 2), packet_id=1 + number % 60_000))
            first, body = await client.receive()
            assert first == 0x40
            number = waiting.pop(int.from_bytes(body, "big"))
            if number % 2:
                truth.retained[number % TOPICS] = number
            else:
                truth.queued.add(number)


async def received(client: WireClient, *, acknowledge: bool) -> list[tuple[str, int]]:
    """Everything that comes at once."""
    found = list[tuple[str, int]]()
    with contextlib.suppress(TimeoutError):
        while True:
            got = await client.published(0.3)
            found.append((got.topic, int(got.payload)))
            if acknowledge:
                client.send(packet(0x40, got.packet_id.to_bytes(2, "big")))
    return found


async def check(where: Addresses, truth: Truth) -> None:
    reader = await login(where, "reader", clean=True)
    await reader.subscribe(("retained/#", 0))
    found = {int(topic.rpartition("/")[2]): number for topic, number in await received(reader, acknowledge=False)}
    for topic, number in truth.retained.items():
        assert number <= found[topic] <= truth.sent[topic]
    await reader.drop()
    sleeper = await login(where, "sleeper", clean=False)
    assert sleeper.present
    numbers = [number for _, number in await received(sleeper, acknowledge=True)]
    assert truth.queued <= set(numbers)
    assert list(dict.fromkeys(numbers)) == sorted(set(numbers))
    await sleeper.ping()
    await sleeper.disconnect()
    truth.queued.clear()


async def prepare(where: Addresses) -> None:
    sleeper = await login(where, "sleeper", clean=False)
    assert await sleeper.subscribe(("queued", 1)) == [1]
    await sleeper.drop()


async def loaded(where: Addresses, truth: Truth, program: Program, seconds: float) -> None:
    """Load the broker, and kill it meanwhile."""
    client = await login(where, "writer", clean=True)
    asyncio.get_running_loop().call_later(seconds, program.process.kill)
    await load(client, truth)
    await client.drop()


@pytest.mark.timeout(1800 if CAMPAIGN else 90)
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path) -> None:
    source, truth, acknowledged = random.Random(), Truth(), 0  # noqa: S311
    with broker(tmp_path) as (_, where):
        asyncio.run(prepare(where))
    for _ in range(KILLS):
        with broker(tmp_path) as (program, where):
            asyncio.run(check(where, truth))
            asyncio.run(loaded(where, truth, program, source.uniform(0, LONGEST_SECONDS)))
        acknowledged += len(truth.queued)
    with broker(tmp_path) as (_, where):
        asyncio.run(check(where, truth))
    assert acknowledged > KILLS
