"""The connection to D-Bus against buses that misbehave."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.machine import dbus
from agents.machine.dbus import SystemBus
from agents.machine.provider import Unreachable
from agents.machine.systemd import unit_path
from tests.conftest import Run

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def bus(folder: Path, serve: Serve) -> AsyncIterator[str]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer)
        writer.close()

    server = await asyncio.start_unix_server(once, folder / "bus")
    async with server:
        yield f"unix:path={folder}/bus"


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"REJECTED EXTERNAL\r\n")
    await reader.read()


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"OK 0123456789abcdef0123456789abcdef\r\n")
    await reader.readline()
    writer.write(b"what is this?" * 20)
    await reader.read()


async def greet_and_go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"OK 0123456789abcdef0123456789abcdef\r\n")
    await reader.readline()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.parametrize("serve", [hang_up, refuse, babble, greet_and_go, say_nothing])
def test_a_bus_that_is_none_is_unreachable_and_leaves_nothing_open(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    monkeypatch.setattr(dbus, "CONNECT_SECONDS", 0.3)

    async def body() -> None:
        async with bus(tmp_path, serve) as address:
            before = descriptors()
            for _ in range(3):
                with pytest.raises(Unreachable):
                    async with asyncio.timeout(20), SystemBus(lambda _: None, lambda: None, address):
                        pass
            async with asyncio.timeout(20):
                while descriptors() > before:  # noqa: ASYNC110 - the other end closes its own a moment later
                    await asyncio.sleep(0.01)

    run(body())


@pytest.mark.parametrize("address", ["unix:path=/nowhere/at/all", "nonsense", "carrier-pigeon:loft=1", ""])
def test_an_address_without_a_bus_is_unreachable(run: Run[None], address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address or "unix:path=/nowhere")

    async def body() -> None:
        with pytest.raises(Unreachable):
            async with SystemBus(lambda _: None, lambda: None, address or None):
                pass

    run(body())


@pytest.mark.parametrize(
    ("unit", "path"),
    [
        ("klipper.service", "klipper_2eservice"),
        ("klipper-mcu.service", "klipper_2dmcu_2eservice"),
        ("klipper_mcu.service", "klipper_5fmcu_2eservice"),
        ("7up@1.service", "_37up_401_2eservice"),
    ],
)
def test_paths_of_units_are_escaped_as_systemd_escapes_them(unit: str, path: str) -> None:
    assert unit_path(unit) == f"/org/freedesktop/systemd1/unit/{path}"
