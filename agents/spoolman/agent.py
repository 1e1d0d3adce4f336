"""The spoolman agent: answers for the spool in use and for Spoolman's own interface."""

import asyncio
from typing import TYPE_CHECKING

from pydantic import ValidationError

from bus.agent import Agent, Bus, Call, Host, Raw, implements
from bus.errors import InvalidParams, Unavailable
from bus.macros import Arguments, Macros
from schemas import NoParams, spoolman

from .chronicle import Ledger
from .settings import SpoolmanSettings

if TYPE_CHECKING:
    from .tracker import Tracker

MACRO = "spoolman_set_active_spool"


class Spoolman(Agent):
    """Spools of a Spoolman server."""

    name = spoolman.OWNER
    components = ("spoolman",)
    optional = True
    settings_model = SpoolmanSettings
    folds = (Ledger,)
    settings: SpoolmanSettings

    def __init__(self, bus: Bus, settings: SpoolmanSettings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        self._tracker: Tracker | None = None
        self._restored = asyncio.Event()

    async def run(self) -> None:
        """Counts and reports until cancelled."""
        from .tracker import Tracker  # with clients for HTTP and websockets, which only those pay for who have Spoolman

        self._tracker = await Tracker.restored(self.bus, self.settings, self.host, self.notify)
        self._restored.set()
        async with Macros(self.bus, self.name) as macros:
            macros.offer(MACRO, self._select_by_macro)
            await self._tracker.run()

    async def _known(self) -> "Tracker":
        await self._restored.wait()
        if self._tracker is None:
            raise Unavailable("The spoolman agent has not started")
        return self._tracker

    @implements(spoolman.STATUS)
    async def status(self, params: NoParams, call: Call) -> spoolman.Status:
        """From memory."""
        return (await self._known()).status()

    @implements(spoolman.GET_SPOOL)
    async def get_spool(self, params: NoParams, call: Call) -> spoolman.Active:
        """From memory."""
        return spoolman.Active(spool_id=(await self._known()).status().spool_id)

    @implements(spoolman.POST_SPOOL)
    async def post_spool(self, params: spoolman.SelectParams, call: Call) -> spoolman.Active:
        """Raises NotFound where Spoolman is there and has no such spool."""
        await (await self._known()).select(params.spool_id, call.actor)
        return spoolman.Active(spool_id=params.spool_id)

    @implements(spoolman.PROXY)
    async def proxy(self, params: spoolman.ProxyParams, call: Call) -> Raw:
        """Waits some seconds at most; raises InvalidParams, Unavailable and Spoolman's own errors."""
        return await (await self._known()).proxied(params)

    async def _select_by_macro(self, arguments: Arguments) -> None:
        try:
            params = spoolman.SelectParams.model_validate(arguments)
        except ValidationError as error:
            raise InvalidParams(f"spool_id: {error.errors()[0]['msg']}") from None
        await (await self._known()).select(params.spool_id)
