"""Clients that stall, flood, lie and dawdle: others are answered in time, and memory and files come back."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_print import until
from tests.mqtt_wire import WireClient, connect, packet, publish
from tests.program import Addresses, Program, addresses

SECONDS = 1.5
P99_SECONDS = 0.5  # a busy machine delays everybody; benchmarks/flood.py measures
CONNECTS_PER_SECOND = 1000
AT_ONCE = 50  # connects
GROWTH = 16 << 20  # bytes that may stay
PAUSE = 0.004  # between a bystander's round trips
ENOUGH = 200  # of them
PATIENCE = 60.0  # seconds
LIMITS = "limits: {first_packet_seconds: 2, queued_bytes: 1048576}\n"
Hostility = Callable[[Addresses], Coroutine[Any, Any, None]]
OPENED: list[WireClient] = []  # whoever opens sockets leaves them to their fate


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Addresses]]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "broker.yaml").write_text(LIMITS)
    options = "--data", str(folder / "data"), "--broker", str(folder / "broker.yaml"), "--instance", "test"
    process = Program("broker", *options, "--mqtt", "127.0.0.1:0")
    try:
        where = addresses(process.ready_line())
        asyncio.run(one_cut(where))  # which is the first line in the log file: a thread opens it, and it stays open
        until(lambda: any(name.endswith("moonraker.log") for name in open_files(process)))
        yield process, where
    finally:
        process.stop()


def resident(process: Program) -> int:
    return int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]) * 4096


def open_files(process: Program) -> Counter[str]:
    """How many of each kind, or file."""
    found = Counter[str]()
    for each in Path(f"/proc/{process.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found[str(each.readlink()).partition(":")[0]] += 1
    return found


async def socket_to(where: Addresses) -> WireClient:
    client = await WireClient.open((where.mqtt_host, where.mqtt_port))
    OPENED.append(client)
    return client


async def one_cut(where: Addresses) -> None:
    client = await socket_to(where)
    client.send(packet(0xC0))
    await client.closed()
    await client.drop()


async def round_trips(where: Addresses, taken: list[float]) -> None:
    """Notes how long each round trip of a bystander took, until it is cancelled."""
    client = await (await socket_to(where)).login("bystander")
    await client.subscribe(("bystander", 0))
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            start = time.perf_counter()
            client.send(publish("bystander", b"x"))
            await client.published()
            taken.append(time.perf_counter() - start)
            await asyncio.sleep(PAUSE)
    await client.disconnect()


async def stalled_reader(where: Addresses) -> None:
    """One that subscribes and does not read, while 10 kB messages are published for it."""
    stalled, writer = await (await socket_to(where)).login("stalled"), await (await socket_to(where)).login("writer")
    await stalled.subscribe(("load", 0))
    stalled.writer.transport.pause_reading()  # type: ignore[attr-defined]
    while True:
        writer.send(publish("load", bytes(10_000)) * 10)
        await writer.ping()
        await asyncio.sleep(0.005)


async def connects(where: Addresses) -> None:
    """A thousand a second, each with a login; where that is too much for the machine, as many as it can."""
    count, began = 0, time.perf_counter()
    while True:
        due = int((time.perf_counter() - began) * CONNECTS_PER_SECOND)
        count = max(count, due - AT_ONCE)  # what was missed is not made up for, which would leave no time to others
        while count < due:
            client = await socket_to(where)
            client.send(connect("one of many") + packet(0xE0))
            client.writer.close()
            count += 1
        await asyncio.sleep(0.001)


async def random_bytes(where: Addresses) -> None:
    source = random.Random(3)  # noqa: S311
    while True:
        client = await socket_to(where)
        client.send(source.randbytes(source.choice([2, 20, 2000, 100_000])))
        client.writer.close()
        await asyncio.sleep(0.002)


async def claimed_size(where: Addresses) -> None:
    """Packets that claim 256 MB, before and after a login."""
    while True:
        for before in (b"", connect("liar")):
            client = await socket_to(where)
            client.send(before + b"\x30\xff\xff\xff\x7f" + bytes(10_000))
            await client.closed()
            client.writer.close()


async def one_byte_a_second(where: Addresses) -> None:
    """Two hundred that take their time over CONNECT, until the broker loses patience."""
    clients = [await socket_to(where) for _ in range(200)]
    for byte in connect("slow as that"):
        for client in clients:
            with contextlib.suppress(ConnectionError):
                client.send(bytes((byte,)))
        await asyncio.sleep(1)


async def besieged(where: Addresses, hostility: Hostility) -> list[float]:
    taken: list[float] = []
    bystander = asyncio.create_task(round_trips(where, taken), name="bystander")
    enemy = asyncio.create_task(hostility(where), name="enemy")
    await asyncio.sleep(SECONDS)
    async with asyncio.timeout(PATIENCE):
        while len(taken) < ENOUGH and not bystander.done():  # noqa: ASYNC110 - the rest of the machine may be slow
            await asyncio.sleep(PAUSE)
    assert not enemy.done()
    enemy.cancel()
    await asyncio.gather(enemy, return_exceptions=True)
    bystander.cancel()
    await bystander
    while OPENED:
        OPENED.pop().writer.transport.abort()
    await asyncio.sleep(0)  # for the sockets to be closed
    return taken


@pytest.mark.parametrize(
    "hostility",
    [stalled_reader, connects, random_bytes, claimed_size, one_byte_a_second],
    ids=lambda each: each.__name__,
)
def test_others_are_answered_in_time_and_nothing_stays(
    program: tuple[Program, Addresses], hostility: Hostility
) -> None:
    process, where = program
    memory, files = resident(process), open_files(process)
    taken = sorted(asyncio.run(besieged(where, hostility)))
    assert taken[int(len(taken) * 0.99)] < P99_SECONDS
    end = time.monotonic() + PATIENCE
    while (open_files(process) - files or resident(process) > memory + GROWTH) and time.monotonic() < end:
        time.sleep(0.05)
    assert not open_files(process) - files
    assert resident(process) <= memory + GROWTH
