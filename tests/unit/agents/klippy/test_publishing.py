"""Field topics: at most one value per interval and field, never an old one last, all cleared at the end."""

import asyncio
from pathlib import Path

import orjson
import pytest

from agents.klippy import publishing
from agents.klippy.cache import Cache
from agents.klippy.publishing import MAX_FIELD, FieldTopics, Publisher
from agents.klippy.state import State
from tests.agent_bus import RecordingBus

INTERVAL = 0.05
SPEED = "rig/klipper/state/fan/speed"


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordingBus:
    monkeypatch.setattr(publishing, "FIELD_INTERVAL", INTERVAL)
    return RecordingBus(tmp_path)


def test_values_are_coalesced_and_the_last_one_always_arrives(bus: RecordingBus) -> None:
    async def main() -> float:
        fields, loop = FieldTopics(bus), asyncio.get_running_loop()
        started = loop.time()
        for number in range(200):
            fields.changed(float(number), {"fan": {"speed": number}})
            await asyncio.sleep(0.001)
        await bus.until(lambda: bus.retained[SPEED]["value"] == 199)
        return loop.time() - started

    took = asyncio.run(main())
    values = [message["value"] for message in bus.messages(SPEED)]
    assert values[0] == 0
    assert values == sorted(set(values))
    assert len(values) <= took / INTERVAL + 2
    assert bus.retained[SPEED] == {"eventtime": 199.0, "value": 199}


def test_clearing_removes_every_value_and_stops_the_timer(bus: RecordingBus) -> None:
    async def main() -> None:
        fields = FieldTopics(bus)
        fields.changed(1.0, {"fan": {"speed": 1, "rpm": None}, "temperature_sensor a/b": {"temperature": 2}})
        fields.changed(2.0, {"fan": {"speed": 2}})
        assert set(bus.retained) == {
            SPEED,
            "rig/klipper/state/fan/rpm",
            "rig/klipper/state/temperature_sensor a%2Fb/temperature",
        }
        fields.clear()
        assert bus.retained == {}
        await asyncio.sleep(2 * INTERVAL)
        assert bus.retained == {}
        fields.changed(3.0, {"fan": {"speed": 3}})
        assert bus.retained[SPEED]["value"] == 3

    asyncio.run(main())


def test_huge_values_and_the_configuration_are_not_retained(bus: RecordingBus) -> None:
    async def main() -> None:
        fields = FieldTopics(bus)
        huge = "x" * MAX_FIELD
        fields.changed(
            1.0, {"configfile": {"config": {}, "settings": {}, "warnings": []}, "mesh": {"a": huge, "b": ""}}
        )
        assert set(bus.retained) == {"rig/klipper/state/configfile/warnings", "rig/klipper/state/mesh/b"}
        fields.changed(2.0, {"mesh": {"b": huge}})
        await bus.until(lambda: "rig/klipper/state/mesh/b" not in bus.retained)

    asyncio.run(main())


@pytest.mark.parametrize("retained", [True, False])
@pytest.mark.parametrize("status", [True, False])
def test_the_delta_is_always_published_the_rest_as_configured(bus: RecordingBus, retained: bool, status: bool) -> None:
    async def main() -> None:
        cache = Cache()
        publisher = Publisher(bus, cache, retained_state=retained, status=status)
        cache.merge(4.5, {"fan": {"speed": 1}})
        publisher.changed({"fan": {"speed": 1}}, b'{"fan":{"speed":1}}')
        change = {"eventtime": 4.5, "status": {"fan": {"speed": 1}}}
        assert bus.messages("rig/klipper/delta") == [{"revision": 1} | change]
        assert bus.messages("rig/klipper/status") == [change] * status
        assert (SPEED in bus.retained) is retained
        publisher.gone()
        assert bus.retained == {}

    asyncio.run(main())


def test_topics_of_a_subscription(bus: RecordingBus) -> None:
    wanted: dict[str, list[str] | None] = {"fan": None, "led a/b": ["color", "on"]}
    assert Publisher(bus, Cache(), retained_state=True, status=True).topics(wanted) == [
        "rig/klipper/state/fan/+",
        "rig/klipper/state/led a%2Fb/color",
        "rig/klipper/state/led a%2Fb/on",
    ]
    assert Publisher(bus, Cache(), retained_state=False, status=True).topics(wanted) == ["rig/klipper/status"]
    assert Publisher(bus, Cache(), retained_state=False, status=False).topics(wanted) == []


def test_state_documents(bus: RecordingBus) -> None:
    Publisher(bus, Cache(), retained_state=True, status=True).state(State.READY, "fine", ["pause_resume"])
    assert bus.retained == {
        "rig/moonraker/klippy": {"state": "ready", "message": "fine"},
        "rig/state/klippy/server": {
            "klippy_connected": True,
            "klippy_state": "ready",
            "missing_klippy_requirements": ["pause_resume"],
            "state_message": "fine",
        },
    }
    assert all(retain and orjson.loads(payload) for _, payload, retain in bus.published)
