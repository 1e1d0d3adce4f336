"""All buttons of a host: each at its pin or topic, and one document that says how they are."""

import asyncio
from collections.abc import Mapping
from typing import Self

from bus.agent import Bus, Host
from bus.envelope import dumps
from bus.templates import Templates
from schemas import buttons

from .button import Button, Unusable
from .settings import ButtonSettings
from .topic import follow_topic

RETRY = 5.0  # seconds until a pin that cannot be used is tried again
DOCUMENT = "buttons"  # the state document
NO_LIBRARY = "pins need the package gpiod: install printbus with its extra 'gpio'"


class Panel:
    """Buttons by name; where it runs beside the broker, server.info shows what is wrong with them."""

    def __init__(
        self, bus: Bus, settings: Mapping[str, ButtonSettings], templates: Templates, host: Host | None
    ) -> None:
        self._bus = bus
        self._host = host
        self._buttons = [Button(name, each, bus, templates, self._changed) for name, each in settings.items()]
        self._faults: dict[str, str | None] = {}

    @classmethod
    async def open(cls, bus: Bus, settings: Mapping[str, ButtonSettings], host: Host | None) -> Self:
        """A panel whose templates know the secrets of the data folder."""
        return cls(bus, settings, await Templates.open(bus, host), host)

    async def run(self) -> None:
        """Keeps all buttons until cancelled."""
        self._changed()
        async with asyncio.TaskGroup() as tasks:
            for button in self._buttons:
                tasks.create_task(button.run(), name=f"button {button.name}: templates")
                tasks.create_task(_keep(button), name=f"button {button.name}")

    def _changed(self) -> None:
        known = {
            button.name: buttons.Button(type=button.settings.type, pressed=button.pressed, fault=button.fault)
            for button in self._buttons
        }
        document = dumps(buttons.Buttons(buttons=known))
        self._bus.publish(self._bus.topics.state(buttons.OWNER, DOCUMENT), document, retain=True)
        for name, button in known.items():
            if self._host is not None and self._faults.get(name, "") != button.fault:
                self._host.warn(f"button {name}", button.fault and f"Button {name}: {button.fault}")
            self._faults[name] = button.fault


async def _keep(button: Button) -> None:
    """What cannot be used may come back: a chip on USB, a pin that another program has."""
    while True:
        try:
            await _follow(button)
        except Unusable as error:
            button.fail(str(error))
        await asyncio.sleep(RETRY)


async def _follow(button: Button) -> None:
    if button.settings.type == "mqtt":
        return await follow_topic(button)
    try:
        from .gpio import follow_pin
    except ImportError:
        raise Unusable(NO_LIBRARY) from None
    return await follow_pin(button)
