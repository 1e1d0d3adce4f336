"""The model of heat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.klippy.virtual.command import CommandError
from agents.klippy.virtual.thermal import AMBIENT, Heat, Heater


def hotend() -> Heater:
    return Heater((0.0, 300.0), rate=8.0, loss=0.012)


def test_full_power_until_near_the_target_then_holds_it() -> None:
    heater = hotend()
    heater.set_target(200.0)
    heater.advance(10.0)
    assert heater.power == 1.0 and AMBIENT + 50 < heater.temperature < 120 and heater.heating
    heater.advance(60.0)
    assert heater.temperature == pytest.approx(200.0, abs=0.1)
    assert 0.1 < heater.power < 0.5 and not heater.heating


def test_cools_towards_ambient_and_never_below() -> None:
    heater = hotend()
    heater.temperature = 200.0
    heater.advance(60.0)
    assert 100 < heater.temperature < 130 and heater.power == 0.0
    heater.advance(100_000.0)
    assert heater.temperature == pytest.approx(AMBIENT)


def test_a_lower_target_means_no_power_until_it_is_reached() -> None:
    heater = hotend()
    heater.temperature = 220.0
    heater.set_target(100.0)
    heater.advance(5.0)
    assert heater.power == 0.0 and not heater.heating
    heater.advance(200.0)
    assert heater.temperature == pytest.approx(100.0, abs=0.2)


@given(st.floats(0.0, 300.0), st.lists(st.floats(0.0, 900.0), max_size=30))
def test_no_sequence_of_steps_overshoots(target: float, gaps: list[float]) -> None:
    heater = hotend()
    heater.set_target(target)
    moment = 0.0
    for gap in gaps:
        moment += gap
        heater.advance(moment)
        assert AMBIENT - 0.01 <= heater.temperature <= max(target, AMBIENT) + 0.01


@pytest.mark.parametrize("degrees", [-1.0, 300.5])
def test_refuses_targets_out_of_range(degrees: float) -> None:
    with pytest.raises(CommandError, match=r"^Requested temperature \(.*\) out of range \(0.0:300.0\)$"):
        hotend().set_target(degrees)


def test_the_chamber_follows_the_bed() -> None:
    heat = Heat()
    before = heat.read("temperature_sensor chamber")
    heat.heaters["heater_bed"].set_target(100.0)
    heat.advance(300.0)
    assert heat.read("temperature_sensor chamber") > before + 10
    status = heat.sensor_status("temperature_sensor chamber")
    assert status["temperature"] == status["measured_max_temp"]


def test_unknown_sensors_are_an_error() -> None:
    with pytest.raises(KeyError):
        Heat().read("nosuch")
