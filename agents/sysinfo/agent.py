"""The system information agent: finds out once what the host is, again and again how it is connected, and answers."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bus.agent import Agent, Bus, Call, Host, Raw, Settings, implements
from bus.envelope import dumps
from schemas import NoParams, machine
from schemas.machine import NO_SERVICES, Services

from .host import hardware, networks
from .network import Addresses, addresses

NETWORK_SECONDS = 10.0  # between two looks at the networks
DOCUMENT = "system_info"


class SysInfo(Agent):
    """What the host is made of; the answer is made anew only when something of it has changed."""

    name = machine.SYSINFO

    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        host: Host | None = None,
        root: Path = Path("/"),
        find_addresses: Callable[[], Addresses] = addresses,
    ) -> None:
        super().__init__(bus, settings, host)
        self._root = root
        self._find_addresses = find_addresses
        self._parts: dict[str, Any] = {}
        self._services = NO_SERVICES
        self._known = asyncio.Event()
        self._shown = Raw()

    async def run(self) -> None:
        """Follows networks and services until cancelled."""
        self._parts = await asyncio.to_thread(hardware, self._root)
        while True:
            self._parts |= await asyncio.to_thread(self._networks)
            if not self._known.is_set():
                self.bus.subscribe(self.bus.topics.state(machine.SERVICES, "services"), self._on_services)
            self._show()
            await asyncio.sleep(NETWORK_SECONDS)

    def _networks(self) -> dict[str, Any]:
        return networks(self._root, self._find_addresses())

    def _on_services(self, _topic: str, payload: bytes) -> None:
        self._services = Services.model_validate_json(payload) if payload else NO_SERVICES
        self._show()

    def _show(self) -> None:
        """Publishes what is known, and makes it the answer, where it is news."""
        document = dumps({**self._parts, **dict(self._services)})
        shown = Raw(b'{"system_info":' + document + b"}")
        if shown != self._shown:
            self._shown = shown
            self.bus.publish(self.bus.topics.state(self.name, DOCUMENT), document, retain=True)
        self._known.set()

    @implements(machine.SYSTEM_INFO)
    def system_info(self, params: NoParams, call: Call) -> Any:
        """Waits only while nothing is known yet."""
        return self._shown or self._first()

    async def _first(self) -> Raw:
        await self._known.wait()
        return self._shown
