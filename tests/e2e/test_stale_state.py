"""State topics tell the present: nothing old stays on them when Klipper, its agent or either's process is killed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_print import get, until
from tests.e2e.test_processes import Parts
from tests.mqtt_wire import Published, WireClient
from tests.program import Addresses, running

STATE, SERVER, AGENT = "test/moonraker/klippy", "test/state/klippy/server", "test/agent/klippy"
FIELDS = "test/klipper/state/"
SECONDS = 15.0  # for anything that has to happen
QUIET = 0.3  # seconds without a message after which everything retained has come

Retained = dict[str, Any]


class Watcher:
    """An MQTT client that notes what the topics of the printer say, and all that was ever said on `STATE`."""

    def __init__(self, where: Addresses) -> None:
        self._address = (where.mqtt_host, where.mqtt_port)
        self._loop = asyncio.new_event_loop()
        self._wire = self._loop.run_until_complete(self._subscribed("watcher"))
        self.known: Retained = {}
        self.states: list[bytes] = []

    async def _subscribed(self, name: str) -> WireClient:
        wire = await WireClient.open(self._address)
        await wire.login(name)
        await wire.subscribe((STATE, 0), (SERVER, 0), (AGENT, 0), (f"{FIELDS}#", 0))
        return wire

    def until(self, met: Callable[[Retained], object]) -> None:
        """Follows the topics until they say so."""

        async def follow() -> None:
            async with asyncio.timeout(SECONDS):
                while not met(self.known):
                    message = await self._wire.published(SECONDS)
                    self.states += [message.payload] * (message.topic == STATE)
                    _take(self.known, message)

        self._loop.run_until_complete(follow())

    def found_by_others(self, *expected: str) -> Retained:
        """What somebody who comes now finds; these topics are awaited, and others for a moment."""

        async def look() -> Retained:
            wire, found = await self._subscribed("late"), Retained()
            try:
                while True:
                    _take(found, await wire.published(QUIET if found.keys() >= set(expected) else SECONDS))
            except TimeoutError:
                await wire.disconnect()
            return found

        return self._loop.run_until_complete(look())

    def close(self) -> None:
        """Leaves."""
        self._loop.run_until_complete(self._wire.disconnect())
        self._loop.close()


def _take(known: Retained, message: Published) -> None:
    if message.payload:
        known[message.topic] = json.loads(message.payload)
    else:
        known.pop(message.topic, None)


@contextmanager
def watcher(where: Addresses) -> Iterator[Watcher]:
    made = Watcher(where)
    try:
        made.until(is_shown)
        yield made
    finally:
        made.close()


def is_shown(known: Retained) -> bool:
    """The printer is ready, and its fields are there."""
    return known.get(STATE, {}).get("state") == "ready" and f"{FIELDS}extruder/temperature" in known


def is_gone(known: Retained) -> bool:
    """Nothing is said of the printer but that it is out of reach."""
    fields = [topic for topic in known if topic.startswith(FIELDS)]
    return known.get(STATE, {}).get("state") == "disconnected" and not fields


@contextmanager
def klipper(folder: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts Klipper, as the virtual printer in a process of its own, on a socket that survives it."""
    with ExitStack() as started:

        def start() -> "subprocess.Popen[bytes]":
            where = ["--socket", str(folder / "klippy.sock"), "--gcodes", str(folder), "--speed", "40"]
            process = subprocess.Popen([sys.executable, "-m", "agents.klippy.virtual", *where])
            started.callback(process.wait)
            started.callback(process.kill)
            return process

        yield start


def test_nothing_stays_of_a_klipper_that_is_killed(tmp_path: Path) -> None:
    with (
        klipper(tmp_path) as start,
        running(tmp_path / "data", "--klippy", str(tmp_path / "klippy.sock")) as (_, where),
    ):
        for _ in range(2):
            process = start()
            with watcher(where) as seen:
                process.kill()
                seen.until(is_gone)
                assert seen.known[SERVER]["klippy_state"] == "disconnected"
                late = seen.found_by_others(STATE, SERVER, AGENT)
                assert is_gone(late) and late[SERVER] == seen.known[SERVER] and late[AGENT]["alive"]


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with ExitStack() as stack:
        yield Parts(tmp_path, stack)


def test_nothing_stays_of_an_agent_that_is_killed(parts: Parts) -> None:
    """Not even for a moment is its availability empty: home automation could not read that."""
    where = parts.bridge()
    for _ in range(2):
        agent = parts.agent()
        with watcher(where) as seen:
            until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
            agent.process.kill()
            seen.until(lambda known: is_gone(known) and not known[AGENT]["alive"] and SERVER not in known)
            late = seen.found_by_others(STATE, AGENT)
            assert set(late) == {STATE, AGENT}
            assert late[STATE] == {"state": "disconnected", "message": "The klippy agent is not running"}
            assert b"" not in seen.states
        assert get(where, "/server/info")["klippy_state"] == "disconnected"


def test_a_broker_that_is_killed_comes_back_without_old_state(parts: Parts) -> None:
    where = parts.bridge()
    parts.agent()
    with watcher(where):
        parts.broker.process.kill()
        parts.broker.process.wait()
    for program in parts.programs[1:]:
        program.process.kill()
    again = parts.start("broker", "--mqtt", f"{where.mqtt_host}:{where.mqtt_port}")
    again.ready_line()
    late = Watcher(where)
    assert late.found_by_others() == {}
    late.close()
