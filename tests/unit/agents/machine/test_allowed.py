"""Which services may be managed."""

from pathlib import Path

import pytest

from agents.machine.allowed import DEFAULTS, Allowed


def test_the_list_is_written_with_its_defaults_and_then_belongs_to_its_owner(tmp_path: Path) -> None:
    assert Allowed.load(tmp_path).listed == set(DEFAULTS)
    path = tmp_path / "moonraker.asvc"
    path.write_text("  lamp\n\nKlipperScreen")
    assert Allowed.load(tmp_path).listed == {"lamp", "KlipperScreen"}
    path.write_text("")
    assert Allowed.load(tmp_path).listed == frozenset()


@pytest.mark.parametrize(
    "name",
    ["klipper", "moonraker", "klipper-1", "klipper_2", "klipper3", "klipper-voron", "moonraker@left", "printbus"],
)
def test_instances_need_no_place_on_the_list(name: str) -> None:
    assert Allowed(frozenset()).permits(name)


@pytest.mark.parametrize(
    "name",
    [
        "klipper_mcu",
        "moonraker-telegram-bot",
        "KlipperScreen",
        "Klipper",
        "ssh",
        "klippers",
        "klipper/x",
        "",
        "a klipper",
    ],
)
def test_other_programs_need_one(name: str) -> None:
    assert not Allowed(frozenset()).permits(name)
    assert Allowed(frozenset({name})).permits(name)
