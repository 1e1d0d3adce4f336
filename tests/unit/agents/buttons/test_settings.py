"""The section `buttons`: what a button may be, and how mistakes in it are named."""

from typing import Any

import pytest

from agents.buttons.settings import ButtonsSettings, Pin
from bus.config import ConfigError, checked
from schemas import Permission

PRESS = {"on_press": "{% do send_notification() %}"}
TOPIC = {"type": "mqtt", "state_topic": "home/desk", **PRESS}


def read(**options: Any) -> Any:
    return checked(ButtonsSettings, {"door": options}, "printer.yaml", prefix="buttons").buttons["door"]


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        ("gpio26", Pin("gpiochip0", 26, False, "")),
        ("gpiochip4/gpio5", Pin("gpiochip4", 5, False, "")),
        ("!gpio26", Pin("gpiochip0", 26, True, "")),
        ("^!gpiochip0/gpio26", Pin("gpiochip0", 26, True, "up")),
        ("! ~ gpio7", Pin("gpiochip0", 7, True, "down")),
    ],
)
def test_pins_are_written_as_in_the_reference(text: str, pin: Pin) -> None:
    button = read(pin=text, **PRESS)
    assert button.pin == pin
    assert read(pin=button.model_dump(mode="json")["pin"], **PRESS).pin == pin


def test_what_is_not_said_is_as_in_the_reference() -> None:
    button = read(pin="gpio1", **PRESS)
    assert (button.type, button.debounce_period, button.minimum_event_time) == ("gpio", 0.05, 0)
    assert button.permissions == set(Permission) - {Permission.AGENT}


def test_several_buttons_and_none_at_all() -> None:
    both = checked(ButtonsSettings, {"a": {"pin": "gpio1", **PRESS}, "b": TOPIC}, "printer.yaml")
    assert [*both.buttons] == ["a", "b"]
    assert checked(ButtonsSettings, {}, "printer.yaml").buttons == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({**PRESS}, "'buttons.door': a button of type gpio needs 'pin'"),
        ({"pin": "gpio1"}, "'buttons.door': needs on_press or on_release"),
        ({"pin": "26", **PRESS}, "'buttons.door.pin': expected CHIP/gpioNUMBER"),
        ({"pin": "^~gpio1", **PRESS}, "'buttons.door.pin': expected"),
        ({"pin": "!!gpio1", **PRESS}, "'buttons.door.pin': expected"),
        ({"pin": "../gpio1", **PRESS}, "'buttons.door.pin': expected"),
        ({"pin": 26, **PRESS}, "'buttons.door.pin': expected"),
        ({"pin": "gpio1", "debounce_period": 0.001, **PRESS}, "'buttons.door.debounce_period': "),
        ({"pin": "gpio1", "minimum_event_time": -1, **PRESS}, "'buttons.door.minimum_event_time': "),
        ({"pin": "gpio1", "state_topic": "a", **PRESS}, "'state_topic' is for buttons of type mqtt"),
        ({"pin": "gpio1", "on_pres": "x"}, "unknown key 'buttons.door.on_pres', did you mean 'on_press'?"),
        ({"pin": "gpio1", "on_press": "\n{% if %}"}, "'buttons.door.on_press': not a template: line 2: Expected an"),
        ({"pin": "gpio1", "permissions": ["agent"], **PRESS}, "'buttons.door.permissions': the permission 'agent'"),
        ({"pin": "gpio1", "permissions": ["everything"], **PRESS}, "'buttons.door.permissions.0': "),
        ({"type": "mqtt", **PRESS}, "a button of type mqtt needs 'state_topic'"),
        ({**TOPIC, "pin": "gpio1"}, "'pin' is for buttons of type gpio"),
        ({**TOPIC, "state_topic": "home/+"}, "'buttons.door.state_topic': expected one topic, without wildcards"),
        ({**TOPIC, "state_topic": ""}, "'buttons.door.state_topic': "),
        ({**TOPIC, "released_payload": "pressed"}, "pressed_payload and released_payload are the same"),
        ({**TOPIC, "released_payload": None, "on_release": "x"}, "on_release needs a released_payload"),
        ({"type": "infrared", **PRESS}, "'buttons.door.type': "),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(**options)
    assert said in str(raised.value)
