"""Tunnels at the agent: frames both ways, what either side says, and everything that ends them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.klippy import Klippy, tunnels
from agents.klippy.agent import KlippySettings
from bus.agent import Connection as Caller
from bus.errors import InvalidParams, Unavailable
from schemas import klippy
from tests.agent_bus import ALICE, RecordingBus, running, start_call
from tests.klipper_wire import Connection, KlipperWire, Message

DESK = "desk"
READY = ("notify_klippy_ready", None)


class Scene:
    """A running agent beside a scripted Klipper, and a client that has a tunnel."""

    def __init__(self, agent: Klippy, bus: RecordingBus, wire: KlipperWire) -> None:
        self.agent, self.bus, self.wire = agent, bus, wire

    async def open(self, client: str | None = DESK) -> Any:
        """The answer to a client that asks for a tunnel."""
        connection = None if client is None else Caller(1, client, ALICE)
        known = len(self.wire.connections)
        answer = await asyncio.wait_for(start_call(self.agent, klippy.TUNNEL_OPEN, connection=connection), 20)
        for _ in range(5000):  # Klipper accepts it a moment later
            if len(self.wire.connections) > known:
                return answer
            await asyncio.sleep(0.001)
        raise TimeoutError("Klipper has not seen a connection")

    def send(self, payload: Any, client: str = DESK) -> None:
        """A message for Klipper."""
        topics = self.bus.topics
        self.bus.say(topics.tunnel_send(client), payload, to=topics.tunnel_send("#"))

    def control(self, payload: Any, client: str = DESK) -> None:
        """Something about the tunnel."""
        topics = self.bus.topics
        self.bus.say(topics.tunnel_control(client), payload, to=topics.tunnel_control("#"))

    async def received(self, count: int, client: str = DESK) -> list[bytes]:
        """What Klipper has said so far, once it is so much."""
        topic = self.bus.topics.tunnel_receive(client)
        await self.bus.until(lambda: len(self.payloads(topic)) >= count)
        return self.payloads(topic)

    def payloads(self, topic: str) -> list[bytes]:
        """What was published on a topic."""
        return [payload for name, payload, _ in self.bus.published if name == topic]

    def states(self, client: str = DESK) -> list[Message]:
        """What the agent has said about a tunnel."""
        return self.bus.messages(self.bus.topics.tunnel_state(client))

    async def ended(self, client: str = DESK) -> str:
        """Why it has ended, once it has."""
        await self.bus.until(lambda: any(not state["open"] for state in self.states(client)))
        (reason,) = [state["reason"] for state in self.states(client) if not state["open"]]
        return str(reason)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    bus, wire = RecordingBus(folder), KlipperWire(folder / "klippy.sock")
    agent = Klippy(bus, KlippySettings(socket=wire.path))
    async with wire, running(agent):
        await bus.until(lambda: READY in bus.notifications())
        yield Scene(agent, bus, wire)


def play(folder: Path, body: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with scene(folder) as here:
            await body(here)

    asyncio.run(main())


def test_a_tunnel_is_a_connection_of_the_clients_own(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        topics = await here.open()
        assert topics == {part: f"rig/klippy/tunnel/{part}/{DESK}" for part in klippy.Tunnel.model_fields}
        raw = b'{ "id":7,"method":"info" ,"params":{}}'
        here.send(raw)
        (answer,) = await here.received(1)
        assert orjson.loads(answer) == {"id": 7, "result": here.wire.info}
        own, tunnel = here.wire.connections
        tunnel.send({"params": {"data": [1]}, "key": "theirs"})
        own.send({"method": "process_gcode_response", "params": {"response": "ours"}})
        assert (await here.received(2))[1] == b'{"params":{"data":[1]},"key":"theirs"}'
        await here.bus.until(lambda: ("notify_gcode_response", ["ours"]) in here.bus.notifications())
        assert len(await here.received(2)) == 2

    play(tmp_path, body)


def test_two_clients_do_not_hear_each_other(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.open("desk")
        await here.open("bridge/17")
        here.send({"id": 1, "method": "info", "params": {}}, "desk")
        here.send({"id": 2, "method": "info", "params": {}}, "bridge/17")
        for client, number in (("desk", 1), ("bridge/17", 2)):
            assert [orjson.loads(each)["id"] for each in await here.received(1, client)] == [number]

    play(tmp_path, body)


def test_a_client_that_closes_or_opens_anew_ends_what_it_had(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.open()
        await here.open()
        assert await here.ended() == "The client has opened another one"
        here.send({"id": 1, "method": "info", "params": {}})
        await here.received(1)
        here.bus.published.clear()
        here.control({"open": False})
        assert await here.ended() == "The client has closed it"
        here.send({"id": 1, "method": "info", "params": {}})
        here.control({"open": False})
        assert len(here.states()) == 1

    play(tmp_path, body)


def test_klipper_that_goes_ends_all_and_lets_nobody_in(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.open()
        await here.wire.stop()
        assert await here.ended() == "Klipper has gone"
        with pytest.raises(Unavailable, match="not connected"):
            await here.open()

    play(tmp_path, body)


def test_an_agent_that_stops_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with scene(tmp_path) as here:
            await here.open()
        assert await here.ended() == "The klippy agent has stopped"

    asyncio.run(main())


def test_a_client_without_a_private_topic_has_none(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        with pytest.raises(InvalidParams, match="private"):
            await here.open(None)

    play(tmp_path, body)


def test_there_is_a_bound_to_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "MAX_TUNNELS", 2)

    async def body(here: Scene) -> None:
        await here.open("a")
        await here.open("b")
        with pytest.raises(Unavailable, match="2 tunnels"):
            await here.open("c")
        await here.open("b")
        here.control({"open": False}, "a")
        await here.open("c")

    play(tmp_path, body)


def test_a_client_of_which_nothing_is_heard_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "LEASE", 1.0)

    async def body(here: Scene) -> None:
        await here.open("quiet")
        await here.open("alive")
        signs: Any = cycle(({}, None, {"paused": False}))
        while not here.states("quiet"):  # the other one's lease is renewed so often that a busy machine may pause
            here.control(next(signs), "alive")
            await asyncio.sleep(0.02)
        assert await here.ended("quiet") == "Nothing was heard of the client for 1 s"
        assert here.states("alive") == []

    play(tmp_path, body)


@pytest.mark.parametrize("said", [b"nonsense", 5, {"open": "maybe"}, {"paused": False, "other": 1}])
def test_a_control_message_that_is_none_ends_it(tmp_path: Path, said: Any) -> None:
    async def body(here: Scene) -> None:
        await here.open()
        here.control(said)
        assert "not a control message" in await here.ended()

    play(tmp_path, body)


def test_klipper_waits_for_a_client_that_has_paused(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.open()
        tunnel: Connection = here.wire.connections[1]
        here.control({"paused": True})
        for number in range(200):
            tunnel.send({"number": number, "data": "x" * 10_000})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await tunnel.drained()
        held = len(here.payloads(here.bus.topics.tunnel_receive(DESK)))
        assert held < 50
        here.control({"paused": False})
        numbers = [orjson.loads(each)["number"] for each in await here.received(200)]
        assert numbers == list(range(200))

    play(tmp_path, body)


def test_a_klipper_that_does_not_read_is_told_of_and_then_ends_it(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.open()
        here.wire.reading.clear()
        message = b'{"id":1,"method":"info","params":{"x":"%b"}}' % (b"x" * 900_000)
        here.send(message)
        here.send(message)
        await here.bus.until(lambda: here.states() == [{"open": True, "paused": True}])
        for _ in range(4):
            here.send(message)
        assert await here.ended() == "Klipper does not take that much"
        here.wire.reading.set()

    play(tmp_path, body)


def test_a_slow_klipper_that_catches_up_is_told_of(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.open()
        here.wire.reading.clear()
        for _ in range(2):
            here.send(b'{"id":1,"method":"info","params":{"x":"%b"}}' % (b"x" * 900_000))
        await here.bus.until(lambda: {"open": True, "paused": True} in here.states())
        here.wire.reading.set()
        await here.received(2)
        assert here.states()[-1] == {"open": True, "paused": False}

    play(tmp_path, body)


@pytest.mark.parametrize("size", [tunnels.MAX_MESSAGE + 1, 3 * tunnels.MAX_MESSAGE])
def test_messages_have_a_bound_in_both_directions(tmp_path: Path, size: int) -> None:
    async def body(here: Scene) -> None:
        await here.open("up")
        here.send(b" " * size, "up")
        assert await here.ended("up") == "Klipper does not take that much"
        await here.open("down")
        here.wire.connections[-1].write(b" " * size)
        assert "more than 1000000 bytes" in await here.ended("down")

    play(tmp_path, body)
