"""Buttons at pins that the kernel simulates: levels, steadiness, and chips that come and go."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import gpiod
import pytest
from gpiod.line import Direction

from agents.buttons import panel
from agents.buttons.settings import ButtonSettings
from bus.agent import Bus
from tests.agent_bus import RecordingBus
from tests.conftest import Run
from tests.gpio_sim import Chip, chip

STEADY = 0.02  # seconds
TELL = {"on_press": "{% do send_notification() %}", "on_release": "{% do send_notification() %}"}


@pytest.fixture
def pins() -> Iterator[Chip]:
    with chip() as made:
        yield made


class Desk:
    """A button at a pin, on a bus that records."""

    def __init__(self, folder: Path, pin: str, **options: Any) -> None:
        self.bus = RecordingBus(folder)
        self.settings = ButtonSettings.model_validate({"pin": pin, "debounce_period": STEADY, **TELL, **options})

    def state(self) -> dict[str, Any]:
        """The button as its document has it."""
        known = self.bus.retained.get("rig/state/buttons/buttons", {"buttons": {"desk": {}}})
        return dict(known["buttons"]["desk"])

    def told(self) -> list[bool]:
        """Presses and releases that were told."""
        return [params[0]["event"]["pressed"] for _, params in self.bus.notifications()]


@asynccontextmanager
async def desk(folder: Path, pin: str, **options: Any) -> AsyncIterator[Desk]:
    made = Desk(folder, pin, **options)
    bus: Bus = made.bus
    opened = await panel.Panel.open(bus, {"desk": made.settings}, None)
    task = asyncio.create_task(opened.run(), name="panel")
    yield made
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "RETRY", 0.05)


@pytest.mark.parametrize(("mark", "pressed"), [("", True), ("!", False)])
def test_levels_press_and_release(run: Run[None], tmp_path: Path, pins: Chip, mark: str, pressed: bool) -> None:
    async def scenario() -> None:
        pins.drive(0, pressed)
        async with desk(tmp_path, f"{mark}{pins.name}/gpio0") as made:
            await made.bus.until(lambda: made.state().get("pressed"))
            pins.drive(0, not pressed)
            await made.bus.until(lambda: made.told() == [False])
            pins.drive(0, pressed)
            await made.bus.until(lambda: made.told() == [False, True])

    run(scenario())


@pytest.mark.parametrize(("marks", "before"), [("^", False), ("~!", True)])
def test_pins_are_pulled(run: Run[None], tmp_path: Path, pins: Chip, marks: str, before: bool) -> None:
    async def scenario() -> None:
        pins.drive(0, before)
        async with desk(tmp_path, f"{marks}{pins.name}/gpio0") as made:
            await made.bus.until(lambda: made.state().get("pressed"))
            assert made.told() == []

    run(scenario())


def test_what_bounces_is_one_press(run: Run[None], tmp_path: Path, pins: Chip) -> None:
    async def scenario() -> None:
        pins.drive(0, True)
        async with desk(tmp_path, f"{pins.name}/gpio0", debounce_period=0.2) as made:
            await made.bus.until(lambda: made.state().get("pressed"))
            for level in (False, True) * 10:
                pins.drive(0, level)
            pins.drive(0, False)
            await made.bus.until(made.told)
            await asyncio.sleep(0.3)
            assert made.told() == [False]

    run(scenario())


def test_a_chip_that_is_unplugged_comes_back(
    run: Run[None], tmp_path: Path, pins: Chip, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        name = pins.name
        pins.unplug()
        async with desk(tmp_path, f"{name}/gpio0") as made:
            await made.bus.until(lambda: made.state().get("fault"))
            await asyncio.sleep(3 * panel.RETRY)
            pins.plug()
            await made.bus.until(lambda: not made.state()["fault"])
            pins.drive(0, True)
            await made.bus.until(lambda: made.told() == [True])

    run(scenario())
    assert caplog.text.count("WARNING") == 1


def test_a_pin_that_somebody_else_has_is_busy_until_it_is_free(run: Run[None], tmp_path: Path, pins: Chip) -> None:
    async def scenario() -> None:
        taken = gpiod.request_lines(f"/dev/{pins.name}", config={0: gpiod.LineSettings(direction=Direction.INPUT)})
        async with desk(tmp_path, f"{pins.name}/gpio0") as made:
            await made.bus.until(lambda: "busy" in (made.state().get("fault") or ""))
            taken.release()
            await made.bus.until(lambda: not made.state()["fault"])

    run(scenario())


@pytest.mark.parametrize("pin", ["gpiochip99/gpio0", "{chip}/gpio500", "null/gpio1"])
def test_a_pin_that_does_not_exist_is_named(run: Run[None], tmp_path: Path, pins: Chip, pin: str) -> None:
    async def scenario() -> None:
        async with desk(tmp_path, pin.format(chip=pins.name)) as made:
            await made.bus.until(lambda: made.state().get("fault"))
            assert pin.format(chip=pins.name) in made.state()["fault"]

    run(scenario())
