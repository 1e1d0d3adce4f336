"""Field topics: at most one value per interval and field, never an old one last, all cleared at the end."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents.klippy.cache import Cache, Status
from agents.klippy.publishing import MAX_FIELD, FieldTopics, Publisher
from agents.klippy.state import State
from bus.mqtt_settings import MqttSettings
from tests.agent_bus import RecordingBus

INTERVAL = 0.05
SPEED = "rig/klipper/state/fan/speed"
STATUS, DELTA = "rig/klipper/status", "rig/klipper/delta"


@pytest.fixture
def bus(tmp_path: Path) -> RecordingBus:
    return RecordingBus(tmp_path)


def test_values_are_coalesced_and_the_last_one_always_arrives(bus: RecordingBus) -> None:
    async def main() -> float:
        fields, loop = FieldTopics(bus, INTERVAL), asyncio.get_running_loop()
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
        fields = FieldTopics(bus, INTERVAL)
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
        fields = FieldTopics(bus, INTERVAL)
        huge = "x" * MAX_FIELD
        fields.changed(
            1.0, {"configfile": {"config": {}, "settings": {}, "warnings": []}, "mesh": {"a": huge, "b": ""}}
        )
        assert set(bus.retained) == {"rig/klipper/state/configfile/warnings", "rig/klipper/state/mesh/b"}
        fields.changed(2.0, {"mesh": {"b": huge}})
        await bus.until(lambda: "rig/klipper/state/mesh/b" not in bus.retained)

    asyncio.run(main())


def publisher(folder: Path, **options: Any) -> tuple[Publisher, RecordingBus, Cache]:
    """A publisher with these options, its bus and its cache."""
    bus, cache = RecordingBus(folder, MqttSettings.model_validate(options)), Cache()
    return Publisher(bus, cache), bus, cache


def change(made: Publisher, cache: Cache, eventtime: float, status: Status) -> None:
    """Klipper tells a change."""
    cache.merge(eventtime, status)
    made.changed(status, orjson.dumps(status))


@pytest.mark.parametrize(
    ("split", "status", "retained"), [(None, True, True), (True, False, True), (False, True, False)]
)
def test_the_delta_is_always_published_the_rest_as_configured(
    tmp_path: Path, split: bool | None, status: bool, retained: bool
) -> None:
    async def main() -> None:
        made, bus, cache = publisher(tmp_path, publish_split_status=split)
        change(made, cache, 4.5, {"fan": {"speed": 1}})
        told = {"eventtime": 4.5, "status": {"fan": {"speed": 1}}}
        assert bus.messages(DELTA) == [{"revision": 1} | told]
        assert bus.messages(STATUS) == [told] * status
        assert (SPEED in bus.retained) is retained
        made.gone()
        assert bus.retained == {}

    asyncio.run(main())


def test_only_the_configured_objects_and_fields_are_published(tmp_path: Path) -> None:
    async def main() -> None:
        made, bus, cache = publisher(tmp_path, status_objects=["fan", "extruder=temperature,nosuch", "absent"])
        change(
            made, cache, 1.0, {"fan": {"speed": 1}, "extruder": {"temperature": 20, "target": 0}, "toolhead": {"a": 1}}
        )
        change(made, cache, 2.0, {"toolhead": {"a": 2}, "extruder": {"target": 5}})
        shown = {"fan": {"speed": 1}, "extruder": {"temperature": 20}}
        assert bus.messages(STATUS) == [{"eventtime": 1.0, "status": shown}]
        assert set(bus.retained) == {SPEED, "rig/klipper/state/extruder/temperature"}
        assert [each["revision"] for each in bus.messages(DELTA)] == [1, 2]

    asyncio.run(main())


def test_changes_within_an_interval_are_merged(tmp_path: Path) -> None:
    async def main() -> None:
        made, bus, cache = publisher(tmp_path, status_interval=0.3)
        change(made, cache, 1.0, {"fan": {"speed": 1, "rpm": None}})
        for number in range(2, 6):
            change(made, cache, float(number), {"fan": {"speed": number}})
        change(made, cache, 6.0, {"toolhead": {"a": 1}})
        assert len(bus.messages(STATUS)) == 1
        await bus.until(lambda: len(bus.messages(STATUS)) == 2 and bus.retained[SPEED]["value"] == 5)
        assert bus.messages(STATUS)[1] == {"eventtime": 6.0, "status": {"fan": {"speed": 5}, "toolhead": {"a": 1}}}
        assert [each["value"] for each in bus.messages(SPEED)] == [1, 5]
        assert len(bus.messages(DELTA)) == 6

    asyncio.run(main())


def test_what_waits_for_the_interval_is_forgotten_when_klipper_goes(tmp_path: Path) -> None:
    async def main() -> None:
        made, bus, cache = publisher(tmp_path, status_interval=0.26)
        change(made, cache, 1.0, {"fan": {"speed": 1}})
        change(made, cache, 2.0, {"fan": {"speed": 2}})
        made.gone()
        change(made, cache, 1.0, {"fan": {"speed": 0}})
        await asyncio.sleep(0.35)
        assert [each["status"]["fan"]["speed"] for each in bus.messages(STATUS)] == [1, 0]

    asyncio.run(main())


def test_without_an_interval_each_value_of_a_field_is_published(tmp_path: Path) -> None:
    async def main() -> None:
        made, bus, cache = publisher(tmp_path, status_interval=0, publish_split_status=True)
        for number in range(5):
            change(made, cache, float(number), {"fan": {"speed": number}})
        await bus.until(lambda: bus.retained[SPEED]["value"] == 4)
        assert [each["value"] for each in bus.messages(SPEED)] == [0, 1, 2, 3, 4]
        assert bus.messages(STATUS) == []

    asyncio.run(main())


FAN = "rig/klipper/state/fan/+"
LED = ["rig/klipper/state/led a%2Fb/color", "rig/klipper/state/led a%2Fb/on"]


@pytest.mark.parametrize(
    ("options", "topics"),
    [
        ({}, [FAN, *LED]),
        ({"publish_split_status": True}, [FAN, *LED]),
        ({"publish_split_status": False}, [STATUS]),
        ({"status_objects": {"fan": ["speed", "rpm"], "led a/b": None}}, [SPEED, "rig/klipper/state/fan/rpm", *LED]),
        ({"status_objects": {"led a/b": "on"}}, LED[1:]),
        ({"status_objects": ["toolhead"], "publish_split_status": False}, []),
    ],
)
def test_topics_of_a_subscription(tmp_path: Path, options: dict[str, Any], topics: list[str]) -> None:
    wanted: dict[str, list[str] | None] = {"fan": None, "led a/b": ["color", "on"]}
    assert publisher(tmp_path, **options)[0].topics(wanted) == topics


def test_state_documents(tmp_path: Path) -> None:
    made, bus, _ = publisher(tmp_path)
    made.state(State.READY, "fine", ["pause_resume"])
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
