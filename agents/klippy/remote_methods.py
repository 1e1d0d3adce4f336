"""Remote methods at Klipper: registers what agents offer, and passes the calls of gcode macros on to them."""

import asyncio
import logging
from collections.abc import Container
from typing import Any

from bus.agent import Bus
from bus.envelope import dumps
from bus.errors import BusError
from bus.macros import Offers, complain

from .link import Link
from .startup import INFO_TIMEOUT

log = logging.getLogger(__name__)


class RemoteMethods:
    """Each name is registered once a connection; Klipper cannot take one back. `reserved` ones are not for macros."""

    def __init__(self, bus: Bus, reserved: Container[str]) -> None:
        self._bus = bus
        self._reserved = reserved
        self._offers = Offers(bus, self._register)
        self._link: Link | None = None
        self._registered: set[str] = set()

    def start(self) -> None:
        """Follows what agents offer."""
        self._offers.start()

    async def register(self, link: Link) -> None:
        """Tells Klipper all names, and from now on each new one; raises TimeoutError."""
        self._link, self._registered = link, set()
        answers = [answer for name in self._offers.names() if (answer := self._register(name)) is not None]
        if answers:
            async with asyncio.timeout(INFO_TIMEOUT):
                await asyncio.wait(answers)

    def called(self, name: str, arguments: dict[str, Any]) -> bool:
        """Passes a macro's call on; False for a name that was never registered."""
        if name not in self._registered:
            return False
        owner = self._offers.owner(name)
        if owner is None:
            complain(self._bus, name, "nobody offers it any more")
        else:
            call = dumps({"method": name, "params": arguments})
            self._bus.publish(self._bus.topics.agent_macro(owner), call)
        return True

    def _register(self, name: str) -> "asyncio.Future[Any] | None":
        link = self._link
        if link is None or link.closed or name in self._registered:
            return None
        if name in self._reserved:
            log.warning("the remote method %s is not registered: Klipper's own messages have that name", name)
            return None
        self._registered.add(name)
        params = {"remote_method": name, "response_template": {"method": name}}
        try:
            answer = link.request("register_remote_method", params)
        except BusError as error:
            log.warning("the remote method %s is not registered: %s", name, error)
            return None
        answer.add_done_callback(lambda ended: _look_at(name, ended))
        return answer


def _look_at(name: str, answer: "asyncio.Future[Any]") -> None:
    error = None if answer.cancelled() else answer.exception()
    if error is not None:
        log.warning("the remote method %s is not registered: %s", name, error)
