"""The link to Spoolman: what its spools do, over a websocket that is opened again for ever."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from bus.fetch import Unreachable
from bus.websocket_client import listening

log = logging.getLogger(__name__)

RETRY_FIRST = 0.5  # seconds between attempts to connect
RETRY_GROWTH = 2.0
RETRY_MAX = 5.0

Json = dict[str, Any]


class Link:
    """`moved` is told whenever it is there or gone, and `heard` what a spool did: `added`, `updated` or `deleted`."""

    def __init__(
        self, url: str, moved: Callable[[bool], Awaitable[None]], heard: Callable[[str, Json], Awaitable[None]]
    ) -> None:
        self._url = url
        self._moved = moved
        self._heard = heard
        self._reason = ""  # why there was no connection the last time
        self.connected = False

    async def run(self) -> None:
        """Connects until cancelled."""
        pause = RETRY_FIRST
        while True:
            try:
                async with listening(self._url) as messages:
                    pause = RETRY_FIRST
                    await self._follow(messages)
            except Unreachable as error:
                self._explain(str(error))
            await asyncio.sleep(pause)
            pause = min(pause * RETRY_GROWTH, RETRY_MAX)

    async def _follow(self, messages: AsyncIterator[str | bytes]) -> None:
        self.connected, self._reason = True, ""
        log.info("connected to Spoolman")
        try:
            await self._moved(True)
            async for message in messages:
                await self._take(message)
        finally:
            self.connected = False
            await self._moved(False)
        raise Unreachable("it closed the connection")

    async def _take(self, message: str | bytes) -> None:
        try:
            said = orjson.loads(message)
            resource, kind, spool = said["resource"], said["type"], said["payload"]
            known = resource == "spool" and isinstance(spool["id"], int)
        except (ValueError, LookupError, TypeError):
            return log.debug("Spoolman said something that is not understood")
        if known:
            await self._heard(kind, spool)
        return None

    def _explain(self, reason: str) -> None:
        if reason != self._reason:
            log.info("no connection to Spoolman: %s", reason)
        self._reason = reason
