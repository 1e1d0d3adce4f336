"""The broker.yaml that comes with the program says what the defaults are."""

from pathlib import Path

from bus.config import read_yaml
from bus.limits import Limits
from bus.listeners import BrokerSettings

FILE = Path(__file__).parents[3] / "broker.yaml"


def test_the_file_is_the_defaults_all_of_them() -> None:
    values = read_yaml(FILE)
    assert BrokerSettings.model_validate(values) == BrokerSettings()
    assert set(values["limits"]) == set(Limits.model_fields)
