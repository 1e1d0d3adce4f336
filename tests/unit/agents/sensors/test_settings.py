"""The section `sensors`: all options of the reference in both forms, and how mistakes in it are named."""

from typing import Any

import pytest

from agents.sensors.settings import SensorSettings, SensorsSettings
from bus.config import ConfigError, checked

REQUIRED = {"state_topic": "home/meter", "state_response_template": '{set_result("power", payload|float)}'}
FIELD: dict[str, Any] = {
    "parameter": "energy",
    "desc": "Energy of the print",
    "strategy": "delta",
    "units": "kWh",
    "init_tracker": True,
    "exclude_paused": False,
    "report_total": True,
    "report_maximum": True,
    "precision": 6,
}


def read(**options: Any) -> SensorSettings:
    return checked(SensorsSettings, {"meter": options}, "printer.yaml", prefix="sensors").sensors["meter"]


def as_lines(values: dict[str, Any]) -> str:
    return "".join(
        f"\n  {key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()
    )


@pytest.mark.parametrize("lines", [False, True])
def test_every_option_of_the_reference_is_known(lines: bool) -> None:
    parameter: dict[str, Any] = {"units": "kWh", "label": "Energy"}
    found = read(
        type="mqtt",
        name="Power meter",
        qos=1,
        parameter_energy=as_lines(parameter) if lines else parameter,
        history_field_consumption=as_lines(FIELD) if lines else FIELD,
        **REQUIRED,
    )
    assert (found.name, found.qos) == ("Power meter", 1)
    assert found.parameter_info() == [{"name": "energy", "units": "kWh", "label": "Energy"}]
    (kept,) = [field.shown(name, "meter") for name, field in found.history_fields().items()]
    expected = {key: value for key, value in FIELD.items() if key != "desc"}
    identity = {"field": "consumption", "provider": "sensor meter", "description": "Energy of the print"}
    assert kept.model_dump() == expected | identity
    assert found.model_dump(mode="json")["history_field_consumption"] == FIELD


def test_what_is_not_said_has_a_default() -> None:
    found = read(**REQUIRED, history_field_last={"parameter": "power"})
    assert (found.type, found.name, found.qos) == ("mqtt", None, None)
    assert found.history_fields()["last"].strategy == "basic"
    assert checked(SensorsSettings, {}, "printer.yaml").sensors == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "'sensors.meter.state_topic': is required"),
        ({"state_topic": "a"}, "'sensors.meter.state_response_template': is required"),
        ({**REQUIRED, "state_topic": "home/#"}, "'sensors.meter.state_topic': expected one topic, without wildcards"),
        ({**REQUIRED, "state_response_template": "{% if %}"}, "not a template: line 1"),
        ({**REQUIRED, "type": "modbus"}, "'sensors.meter.type': input should be 'mqtt'"),
        ({**REQUIRED, "qos": 3}, "'sensors.meter.qos': input should be less than or equal to 2"),
        ({**REQUIRED, "stat_topic": "a"}, "unknown key 'sensors.meter.stat_topic', did you mean 'state_topic'?"),
        ({**REQUIRED, "paramter_power": {}}, "'sensors.meter.paramter_power', did you mean 'parameter_NAME'?"),
        ({**REQUIRED, "parameter_": {}}, "unknown key 'sensors.meter.parameter_'"),
        ({**REQUIRED, "parameter_power": "W"}, "'sensors.meter.parameter_power': expected a mapping, or lines of"),
        ({**REQUIRED, "parameter_power": {"units": [1]}}, "'sensors.meter.parameter_power.units': "),
        ({**REQUIRED, "history_field_x": {}}, "'sensors.meter.history_field_x.parameter': is required"),
        (
            {**REQUIRED, "history_field_x": {**FIELD, "stratgy": "delta"}},
            "unknown key 'sensors.meter.history_field_x.stratgy', did you mean 'strategy'?",
        ),
        ({**REQUIRED, "history_field_x": {**FIELD, "strategy": "sum"}}, "history_field_x.strategy': input should be"),
        ({**REQUIRED, "history_field_x": {**FIELD, "precision": -1}}, "history_field_x.precision': "),
        ({**REQUIRED, "history_field_x": {**FIELD, "strategy": "collect"}}, "collect gives cannot be added up"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(**options)
    assert said in str(raised.value)
