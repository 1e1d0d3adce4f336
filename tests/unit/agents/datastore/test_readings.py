"""Present values, from changes and full states that cross on their way."""

from agents.datastore.readings import Readings, is_whole

HEATERS = {"available_sensors": ["fan", "bed"], "available_heaters": ["bed", "extruder"], "available_monitors": ["tmc"]}


def test_all_that_klipper_lists_is_a_sensor_with_the_fields_it_reports() -> None:
    readings = Readings()
    readings.merge(
        1,
        {
            "heaters": HEATERS,
            "fan": {"speed": 0.5, "temperature": 30.0, "rpm": None},
            "bed": {"temperature": 20.0, "target": 0.0, "power": 0.0},
            "extruder": {"temperature": 21.0, "target": 0.0, "power": 0.0, "pressure_advance": 0.0},
            "tmc": {"temperature": None},
            "toolhead": {"position": [0, 0, 0, 0]},
        },
    )
    assert readings.fields() == {
        "fan": ["temperature", "speed"],
        "bed": ["temperature", "target", "power"],
        "extruder": ["temperature", "target", "power"],
        "tmc": ["temperature"],
    }
    assert readings.monitors == ["tmc"]
    assert "toolhead" not in readings.values


def test_the_newer_of_two_values_stays_in_whatever_order_they_come() -> None:
    readings = Readings()
    readings.merge(8, {"bed": {"target": 60.0}})
    readings.merge(7, {"bed": {"target": 0.0, "temperature": 20.0}})
    assert readings.values == {"bed": {"target": 60.0, "temperature": 20.0}}
    readings.merge(9, {"bed": {"target": 0.0}})
    assert readings.values["bed"]["target"] == 0.0


def test_lists_of_another_kind_are_no_sensors() -> None:
    readings = Readings()
    readings.merge(1, {"heaters": {"available_sensors": [5, "bed"], "available_heaters": None}})
    assert (readings.sensors, readings.monitors) == (["bed"], [])


def test_a_full_state_is_known_by_its_list_of_sensors() -> None:
    assert is_whole({"heaters": HEATERS})
    assert not is_whole({"heaters": {}}) and not is_whole({"bed": {"temperature": 20.0}})
