"""A full and a failing disk under the broker's store: nothing is acknowledged that is not stored, and nobody is cut."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import Running, play, running, until
from tests.mqtt_wire import WireClient, publish

from .test_log_full_disk import KINDS, Disk, break_files

PAYLOAD = bytes(50_000)
MOST = 200


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    with KINDS[request.param](tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.commits.RETRY_SECONDS", 0.1)
    monkeypatch.setattr("bus.commits.COMMITS_PER_SECOND", 500.0)


async def fill(broker: Running, client: WireClient) -> int:
    """Retain messages until one cannot be stored; how many were acknowledged."""
    for number in range(1, MOST):
        client.send(publish(f"t/{number}", PAYLOAD, qos=1, retain=True, packet_id=number))
        if not await is_acknowledged(broker, client, number):
            return number - 1
    raise AssertionError("the disk was never full")


async def is_acknowledged(broker: Running, client: WireClient, number: int) -> bool:
    answer = asyncio.create_task(client.receive(), name="answer")
    await until(lambda: answer.done() or broker.exchange.counters.store_failures > 0)
    if answer.done():
        assert await answer == (0x40, number.to_bytes(2, "big"))
        return True
    answer.cancel()
    return False


async def has_retained(broker: Running, count: int) -> None:
    """So many messages are there, and no more."""
    reader = await broker.client("reader")
    await reader.subscribe(("t/#", 0))
    for _ in range(count):
        assert (await reader.published()).payload == PAYLOAD
    await reader.silent()


def test_nothing_is_acknowledged_on_a_full_disk_until_there_is_space(disk: Disk) -> None:
    async def scenario() -> None:
        async with running(folder=disk.place) as broker:
            writer, other = await broker.client("writer"), await broker.client("other")
            count = await fill(broker, writer)
            assert count > 5
            await until(lambda: broker.exchange.counters.store_failures > 1)
            await writer.ping()
            await other.publish("x", b"not retained", qos=2)
            writer.send(publish("y", b"behind it", qos=1, packet_id=1000))
            await writer.silent()
            disk.free()
            assert await writer.receive() == (0x40, (count + 1).to_bytes(2, "big"))
            assert await writer.receive() == (0x40, b"\x03\xe8")
            await writer.publish("t/more", PAYLOAD, qos=1, retain=True)
        async with running(folder=disk.place) as broker:
            await has_retained(broker, count + 2)

    play(scenario())


def test_broker_stops_on_a_full_disk_and_starts_with_what_was_acknowledged(disk: Disk) -> None:
    async def scenario() -> None:
        async with running(folder=disk.place) as broker:
            count = await fill(broker, await broker.client("writer"))
        async with running(folder=disk.place) as broker:
            await has_retained(broker, count)
            assert broker.exchange.counters.store_failures == 0

    play(scenario())


def test_after_a_failed_fsync_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(folder=tmp_path) as broker:
            writer = await broker.client("writer")
            await writer.publish("t/1", b"x", qos=1, retain=True)
            break_files(tmp_path, "/dev/null")
            writer.send(publish("t/2", b"x", qos=1, retain=True, packet_id=2))
            await until(lambda: broker.exchange.counters.store_failures == 1)
            await asyncio.sleep(0.3)
            await writer.silent()
            other = await broker.client("other")
            await other.publish("x", b"not retained", qos=1)
        async with running(folder=tmp_path) as broker:
            assert len(broker.exchange.retained_store) == 1

    play(scenario())
