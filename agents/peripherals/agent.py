"""The peripherals agent: lists what is plugged in, keeps the lists on topics, and records what comes and goes."""

import asyncio
import logging
from collections import defaultdict
from pathlib import Path

from bus.agent import Agent, Bus, Call, Host, Raw, Settings, implements
from bus.envelope import dumps
from bus.errors import BusError, Internal
from bus.log import NewEvent
from schemas import NoParams, peripherals

from .canbus import Open, open_bus, unassigned
from .hotplug import heard
from .lists import KINDS, SERIAL, USB, VIDEO, Kind, Lists, differences

log = logging.getLogger(__name__)

STREAM = "devices"
SETTLING = 0.5  # seconds: one device makes many changes
CAN_SECONDS = 2.0  # that nodes may take to answer


class Peripherals(Agent):
    """Looks when udev tells of a change, and when somebody asks."""

    name = peripherals.OWNER

    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        host: Host | None = None,
        root: Path = Path("/"),
        open_can: Open = open_bus,
    ) -> None:
        super().__init__(bus, settings, host)
        self._root = root
        self._open_can = open_can
        self._lists: dict[str, Lists] = {}
        self._looking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._due: set[str] = set()  # kinds of which something has changed
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Keeps the lists until cancelled."""
        async with heard(self._on_change):
            for kind in KINDS.values():
                await self._look(kind)
            while True:
                await self._changed.wait()
                await asyncio.sleep(SETTLING)
                self._changed.clear()
                while self._due:
                    await self._look(KINDS[self._due.pop()])

    def _on_change(self, subsystem: str) -> None:
        self._due.add(subsystem)
        self._changed.set()

    async def _look(self, kind: Kind) -> Lists:
        """The list as it is now; what is new of it is recorded, then published."""
        async with self._looking[kind.name]:
            before, now = self._lists.get(kind.name), await asyncio.to_thread(kind.look, self._root)
            self._lists[kind.name] = now
            if before != now:
                await self._record([NewEvent(*told) for told in differences(kind, before or now, now)])
                self.bus.publish(self.bus.topics.state(self.name, kind.name), dumps(now), retain=True)
            return now

    async def _record(self, events: list[NewEvent]) -> None:
        if not events:
            return
        try:
            await self.bus.append(STREAM, events)
        except BusError as error:
            log.warning("what was plugged in or out could not be recorded: %s", error)

    @implements(peripherals.USB)
    async def usb(self, params: NoParams, call: Call) -> Raw:
        """As it is now."""
        return Raw(dumps(await self._look(USB)))

    @implements(peripherals.SERIAL)
    async def serial(self, params: NoParams, call: Call) -> Raw:
        """As it is now."""
        return Raw(dumps(await self._look(SERIAL)))

    @implements(peripherals.VIDEO)
    async def video(self, params: NoParams, call: Call) -> Raw:
        """As it is now; asks the cameras."""
        return Raw(dumps(await self._look(VIDEO)))

    @implements(peripherals.CANBUS)
    async def canbus(self, params: peripherals.CanParams, call: Call) -> peripherals.CanNodes:
        """Takes as long as nodes may take."""
        try:
            nodes = await unassigned(params.interface, self._open_can, CAN_SECONDS)
        except OSError as error:
            raise Internal(f"CAN interface '{params.interface}' cannot be used: {error.strerror or error}") from None
        return peripherals.CanNodes.model_validate({"can_uuids": nodes})
