"""The data store agent on a bus: what it takes in, when, and what it writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.datastore import DataStore, agent
from agents.datastore.agent import DataStoreSettings
from bus.clock import Clock
from bus.errors import Unavailable
from bus.mandate import Mandate
from schemas import AnyMethod, datastore, printer
from tests.agent_bus import RecordingBus, running, start_call

HEATERS = {"available_sensors": ["bed"], "available_heaters": ["bed"], "available_monitors": ["tmc"]}
STATUS = {
    "heaters": HEATERS,
    "bed": {"temperature": 20.0, "target": 0.0, "power": 0.0},
    "tmc": {"temperature": None},
}
CONNECTED, GONE = {"klippy_connected": True}, {"klippy_connected": False}


class Bus(RecordingBus):
    """`answers` are what calls of other agents give."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self.answers: list[Any] = []
        self.calls: list[Any] = []

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """The next scripted answer."""
        self.calls.append((method, params))
        self._changed.set()
        if not self.answers:
            raise Unavailable("Klipper's objects are not known yet")
        return self.answers.pop(0)

    def delta(self, revision: int, status: Any) -> None:
        """Klipper's state changes."""
        self.say(self.topics.klipper_delta, {"revision": revision, "eventtime": 1.0, "status": status})


class Hands(Clock):
    """A clock that stands still until it is set."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def wall(self) -> float:
        """As set."""
        return self.now


class Scene:
    """An agent and its bus."""

    def __init__(self, store: DataStore, bus: Bus, clock: Hands) -> None:
        self.store, self.bus, self.clock = store, bus, clock

    async def ask(self, row: AnyMethod, **params: Any) -> Any:
        """The answer to a call."""
        return await asyncio.wait_for(start_call(self.store, row, params), 20)

    async def temperatures(self, **params: Any) -> Any:
        """The newest four values of each ring."""
        found = await self.ask(datastore.TEMPERATURES, **params)
        return {name: {field: values[-4:] for field, values in fields.items()} for name, fields in found.items()}

    def seconds(self, count: int) -> None:
        """Time passes."""
        for _ in range(count):
            self.clock.now += 1
            self.store._second()

    @property
    def file(self) -> Path:
        """Where the stores are kept."""
        return self.bus.data / "printbus" / "datastore"


@asynccontextmanager
async def scene(folder: Path, now: float = 1000.0, **options: Any) -> AsyncIterator[Scene]:
    """A running agent, whose seconds pass when a test says so."""
    (folder / "printbus").mkdir(exist_ok=True)
    bus, clock = Bus(folder), Hands(now)
    store = DataStore(bus, DataStoreSettings(**{"temperature_store_size": 200, **options}), clock=clock)
    async with running(store):
        await asyncio.wait_for(store._restored.wait(), 20)
        await asyncio.sleep(0)
        yield Scene(store, bus, clock)


@pytest.fixture(autouse=True)
def seconds_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples are taken by the tests."""

    async def never(self: DataStore) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(DataStore, "_sample", never)


def play(folder: Path, body: Callable[[Scene], Coroutine[Any, Any, None]], now: float = 1000.0, **options: Any) -> None:
    async def main() -> None:
        async with scene(folder, now, **options) as here:
            await body(here)

    asyncio.run(main())


def test_samples_of_all_sensors_from_the_first_full_state_on(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        assert await here.temperatures() == {}
        here.bus.delta(1, STATUS)
        here.seconds(1)
        here.bus.delta(2, {"bed": {"temperature": 21.0, "target": 60.0}})
        here.seconds(1)
        bed = {"temperatures": [0.0, 0.0, 20.0, 21.0], "targets": [0.0, 0.0, 0.0, 60.0], "powers": [0.0] * 4}
        assert await here.temperatures() == {"bed": bed}
        monitor = {"temperatures": [0.0, 0.0, None, None]}
        assert await here.temperatures(include_monitors=True) == {"bed": bed, "tmc": monitor}

    play(tmp_path, body)


def test_changes_alone_do_not_make_a_sensor(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.bus.delta(5, {"bed": {"temperature": 20.0}})
        here.seconds(1)
        assert await here.temperatures() == {}

    play(tmp_path, body)


def test_a_klipper_that_was_there_before_is_asked(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.bus.answers = [
            {"revision": 7, "status": {"heaters": HEATERS}},
            {"revision": 7, "status": {name: STATUS[name] for name in ("bed", "tmc")}},
        ]
        here.bus.delta(8, {"bed": {"target": 60.0}})
        here.bus.say(here.bus.topics.state("klippy", "server"), CONNECTED)
        await here.bus.until(lambda: not here.bus.answers)
        here.seconds(1)
        assert (await here.temperatures())["bed"]["targets"][-1] == 60.0
        name = printer.OBJECTS_SUBSCRIBE.name
        assert here.bus.calls == [
            (name, {"objects": {"heaters": None}}),
            (name, {"objects": {"bed": None, "tmc": None}}),
        ]

    play(tmp_path, body)


def test_a_klipper_that_is_not_loaded_takes_nothing_away(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.bus.delta(1, STATUS)
        here.seconds(1)
        here.bus.say(here.bus.topics.state("klippy", "server"), GONE)
        here.bus.answers = [{"revision": 2, "status": {"heaters": {}}}, {"revision": 2, "status": {}}]
        here.bus.say(here.bus.topics.state("klippy", "server"), CONNECTED)
        await here.bus.until(lambda: len(here.bus.calls) == 2)
        here.bus.say(here.bus.topics.state("klippy", "server"), CONNECTED)
        await here.bus.until(lambda: len(here.bus.calls) == 3)  # it is refused, as it is while Klipper starts
        assert (await here.temperatures())["bed"]["temperatures"][-1] == 20.0

    play(tmp_path, body)


@pytest.mark.parametrize("how", ["state", "agent", "cleared"])
def test_without_klipper_the_last_values_stay_for_a_while(tmp_path: Path, how: str) -> None:
    async def body(here: Scene) -> None:
        topics = here.bus.topics
        here.bus.delta(1, STATUS)
        here.seconds(1)
        if how == "agent":
            here.bus.say(topics.agent("klippy"), {"alive": False})
        else:
            here.bus.say(topics.state("klippy", "server"), GONE if how == "state" else None)
        here.seconds(agent.HOLD)
        assert (await here.temperatures())["bed"]["temperatures"] == [20.0] * 4
        here.seconds(2)
        assert (await here.temperatures())["bed"]["temperatures"] == [20.0, 20.0, 0.0, 0.0]
        here.bus.delta(1, STATUS | {"bed": {"temperature": 30.0, "target": 0.0, "power": 0.0}})
        here.seconds(1)
        assert (await here.temperatures())["bed"]["temperatures"] == [20.0, 0.0, 0.0, 30.0]

    play(tmp_path, body)


def test_an_answer_is_made_once_a_second(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.bus.delta(1, STATUS)
        here.seconds(1)
        await here.temperatures()
        first = here.store._shown[False]
        await here.temperatures()
        assert here.store._shown[False] is first
        here.seconds(1)
        assert here.store._shown == {}

    play(tmp_path, body)


def test_the_console_has_commands_and_responses(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.bus.say(here.bus.topics.klipper_gcode, {"script": "G1 X9999"})
        here.clock.now += 0.25
        here.bus.say(here.bus.topics.notify("notify_gcode_response"), {"params": ["!! Must home axis first"]})
        expected = [
            {"message": "G1 X9999", "time": 1000.0, "type": "command"},
            {"message": "!! Must home axis first", "time": 1000.25, "type": "response"},
        ]
        assert await here.ask(datastore.CONSOLE) == {"gcode_store": expected}
        assert await here.ask(datastore.CONSOLE, count=1) == {"gcode_store": expected[-1:]}
        assert await here.ask(datastore.CONSOLE, count=0) == {"gcode_store": []}

    play(tmp_path, body)


def test_a_clean_stop_writes_and_the_next_start_reads(tmp_path: Path) -> None:
    async def first(here: Scene) -> None:
        here.bus.delta(1, STATUS)
        here.seconds(3)
        here.bus.say(here.bus.topics.notify("notify_gcode_response"), {"params": ["hello"]})

    async def second(here: Scene) -> None:
        assert (await here.temperatures(include_monitors=True)) == {
            "bed": {"temperatures": [20.0] * 4, "targets": [0.0] * 4, "powers": [0.0] * 4},
            "tmc": {"temperatures": [None] * 4},
        }
        assert [*await here.temperatures()] == ["bed"]
        (line,) = (await here.ask(datastore.CONSOLE))["gcode_store"]
        assert line["message"] == "hello"

    play(tmp_path, first)
    play(tmp_path, second, now=1003.0 + agent.HOLD)


@pytest.mark.parametrize(("away", "newest"), [(2, [20.0, 20.0]), (500, [0.0, 0.0]), (-50, [10.0, 20.0])])
def test_the_time_of_an_absence_is_not_left_out(tmp_path: Path, away: int, newest: list[float]) -> None:
    async def first(here: Scene) -> None:
        here.bus.delta(1, STATUS | {"bed": {"temperature": 10.0, "target": 0.0, "power": 0.0}})
        here.seconds(1)
        here.bus.delta(2, {"bed": {"temperature": 20.0}})
        here.seconds(1)

    async def second(here: Scene) -> None:
        values = (await here.ask(datastore.TEMPERATURES))["bed"]["temperatures"]
        assert values[-2:] == newest
        assert values.count(10.0) == (away < 200)

    play(tmp_path, first)
    play(tmp_path, second, now=1002.0 + away)


def test_nothing_is_written_where_nothing_is_new(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.seconds(5)
        await here.store._save()
        assert not here.file.exists()
        here.bus.delta(1, STATUS)
        here.seconds(1)
        await here.store._save()
        written = here.file.stat()
        here.bus.say(here.bus.topics.state("klippy", "server"), GONE)
        here.seconds(5)
        await here.store._save()
        assert here.file.stat() == written

    play(tmp_path, body)


@pytest.mark.parametrize("content", [b"", b"rubbish", bytes(100)])
def test_a_damaged_file_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "printbus").mkdir()
    (tmp_path / "printbus" / "datastore").write_bytes(content)

    async def body(here: Scene) -> None:
        assert await here.temperatures() == {}
        here.bus.delta(1, STATUS)
        here.seconds(1)
        await here.store._save()
        assert here.file.stat().st_size > len(content)

    play(tmp_path, body)


def test_a_disk_that_is_full_is_no_obstacle_and_is_tried_again(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.bus.delta(1, STATUS)
        here.seconds(1)
        obstacle = here.file.with_suffix(".new")
        obstacle.mkdir()  # root writes where it may not, but not into a folder
        await here.store._save()
        assert not here.file.exists()
        obstacle.rmdir()
        await here.store._save()
        assert here.file.exists()

    play(tmp_path, body)
