"""The broker.yaml that comes with the program says what the defaults are."""

import re
from dataclasses import fields
from pathlib import Path

from bus.config import read_yaml
from bus.counters import Counters
from bus.limits import Limits
from bus.listeners import BrokerSettings

FILE = Path(__file__).parents[3] / "broker.yaml"


def test_the_file_is_the_defaults_all_of_them() -> None:
    values = read_yaml(FILE)
    assert BrokerSettings.model_validate(values) == BrokerSettings()
    assert set(values["limits"]) == set(Limits.model_fields)


def test_the_file_names_the_counters_of_every_limit() -> None:
    known = {field.name for field in fields(Counters)}
    told = {
        name: counters.split(", ") for name, counters in re.findall(r"^  (\w+): .*\[(.+)\]$", FILE.read_text(), re.M)
    }
    assert set(told) == set(Limits.model_fields)
    assert all(counter in known for counters in told.values() for counter in counters)
