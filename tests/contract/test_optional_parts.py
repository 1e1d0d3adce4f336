"""Sections of optional parts: every option of the reference loads, a misspelt one is named, and examples are right."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bus.config import ConfigError, checked
from bus.supervisor import agent_class

ROOT = Path(__file__).parents[2]
TEMPLATE = '{% do call_method("server.info") %}'

Json = dict[str, Any]

# All options that the reference has, by our section.
OPTIONS: dict[str, Json] = {
    "sensors": {
        "type": "mqtt",
        "name": "Power meter",
        "state_topic": "home/meter",
        "state_response_template": '{set_result("power", payload|float)}',
        "qos": 1,
        "parameter_power": {"units": "W"},
        "history_field_power": {
            "parameter": "power",
            "desc": "Power",
            "strategy": "average",
            "units": "W",
            "init_tracker": False,
            "exclude_paused": True,
            "report_total": False,
            "report_maximum": True,
            "precision": 2,
        },
    },
    "notifiers": {
        "url": "json://{secrets.house.name}/hook",
        "events": "*",
        "body": "{event_args[1].filename}",
        "body_format": "text",
        "title": "{event_name}",
        "attach": "http://127.0.0.1/webcam/?action=snapshot",
    },
    "buttons": {
        "type": "gpio",
        "pin": "^!gpiochip0/gpio26",
        "debounce_period": 0.05,
        "minimum_event_time": 0.1,
        "on_press": TEMPLATE,
        "on_release": TEMPLATE,
    },
    "webcams": {
        "stream_url": "/webcam/?action=stream",
        "snapshot_url": "/webcam/?action=snapshot",
        "location": "printer",
        "icon": "mdiWebcam",
        "enabled": True,
        "service": "mjpegstreamer",
        "target_fps": 15,
        "target_fps_idle": 5,
        "flip_horizontal": False,
        "flip_vertical": False,
        "rotation": 90,
        "aspect_ratio": "4:3",
    },
    "announcements": {"subscriptions": ["mainsail"], "enable_moonlight": False, "dev_mode": False},
}
ALL = [(section, option) for section in OPTIONS for option in OPTIONS[section]]
NAMED = OPTIONS.keys() - {"announcements"}
PAGES = ("sensors.md", "notifiers.md", "templates.md")
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def load(section: str, options: Json) -> Json:
    """What a section with these options amounts to; raises ConfigError."""
    content = {"one": options} if section in NAMED else options
    found = checked(agent_class(section).settings_model, content, "printer.yaml", prefix=section).model_dump(
        mode="json"
    )
    return dict(found["one"] if section in NAMED else found)


@pytest.mark.parametrize("section", OPTIONS)
def test_every_option_of_the_reference_is_loaded(section: str) -> None:
    options = OPTIONS[section]
    found = load(section, options)
    found |= {option: value[0] for option, value in found.items() if option == "events"}
    assert {option: found[option] for option in options} == options


@pytest.mark.parametrize(
    ("section", "option"), [(section, option) for section in OPTIONS for option in OPTIONS[section]]
)
def test_a_misspelt_option_is_named_with_the_one_that_was_meant(section: str, option: str) -> None:
    options = {name: value for name, value in OPTIONS[section].items() if name != option}
    wrong = option[:2] + option[3:]
    with pytest.raises(ConfigError) as raised:
        load(section, options | {wrong: OPTIONS[section][option]})
    meant = re.sub("^(parameter_|history_field_).*", r"\1NAME", option)
    where = f"{section}.one.{wrong}" if section in NAMED else f"{section}.{wrong}"
    assert f"unknown key '{where}', did you mean '{meant}'?" in str(raised.value)


@pytest.mark.parametrize("page", PAGES)
def test_examples_in_the_documents_are_right(page: str) -> None:
    blocks = [yaml.safe_load(text) for text in BLOCK.findall((ROOT / "docs" / page).read_text())]
    assert blocks
    for section, content in (each for block in blocks for each in block.items()):
        checked(agent_class(section).settings_model, content, page, prefix=section)
