"""Moonraker's `[mqtt]` options, in the forms in which they stand in files."""

from typing import Any

import pytest

from bus.config import ConfigError, PrinterConfig, checked
from bus.mqtt_settings import MqttSettings


def read(**options: Any) -> MqttSettings:
    return checked(PrinterConfig, {"mqtt": options}, "printer.yaml").mqtt


@pytest.mark.parametrize(
    ("given", "objects"),
    [
        (None, None),
        ({}, {}),
        ({"toolhead": None, "extruder": ["temperature"]}, {"toolhead": None, "extruder": ("temperature",)}),
        ({"extruder": "temperature, target"}, {"extruder": ("temperature", "target")}),
        (["webhooks", "gcode_macro M = a, b"], {"webhooks": None, "gcode_macro M": ("a", "b")}),
        ("\nwebhooks\n  toolhead=position,print_time\n", {"webhooks": None, "toolhead": ("position", "print_time")}),
    ],
)
def test_status_objects_are_a_mapping_a_list_or_moonrakers_lines(given: Any, objects: Any) -> None:
    assert read(status_objects=given).status_objects == objects


@pytest.mark.parametrize("seconds", [None, 0, 0.5, 60])
def test_an_interval_is_off_or_longer_than_klippers(seconds: float | None) -> None:
    assert read(status_interval=seconds).status_interval == seconds


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"status_interval": 0.25}, "0.25"),
        ({"status_interval": -1}, "status_interval"),
        ({"status_objects": 5}, "status_objects"),
        ({"status_objects": {"fan": 5}}, "status_objects.fan"),
        ({"status_objects": [5]}, "status_objects"),
        ({"default_qos": 3}, "default_qos"),
        ({"api_qos": "x"}, "api_qos"),
        ({"enable_api": True}, "enable_moonraker_api"),
    ],
)
def test_a_mistake_is_named(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        read(**options)


def test_answers_have_the_default_quality_of_service_unless_they_have_their_own() -> None:
    assert (read().answer_qos, read(default_qos=1).answer_qos, read(default_qos=1, api_qos=0).answer_qos) == (0, 1, 0)
