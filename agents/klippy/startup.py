"""What is asked of Klipper before its state can be shown: who it is, its objects, its console, all changes."""

import asyncio
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Any

from schemas.extensions import CONSOLE_LINE, STATUS_UPDATE

from .cache import Status, read_status
from .link import Link
from .state import State

INFO_TIMEOUT = 10.0  # seconds
SUBSCRIBE_TIMEOUT = 20.0  # it is answered on Klipper's next tick, and the answer is large
REQUIRED = ("virtual_sdcard", "display_status", "pause_resume")  # for full function, as server.info reports them
# Before everything is loaded, other objects may fail when they are asked, which would shut Klipper down.
SAFE = ("webhooks", "configfile")
POLL = {State.STARTUP: 0.25, State.ERROR: 2.0}  # seconds between questions, for want of an update


async def identify(link: Link) -> dict[str, Any]:
    """Tells Klipper who we are; answers its `info`. Like the others it raises BusError or TimeoutError."""
    program = {"program": "printbus", "version": version("printbus")}
    info: dict[str, Any] = await _ask(link, "info", {"client_info": program}, first=read_info)
    return info


async def endpoints(link: Link) -> list[str]:
    """The requests that this Klipper knows."""
    return await _names(link, "list_endpoints", "endpoints")


async def objects(link: Link) -> list[str]:
    """The objects that can be subscribed."""
    return await _names(link, "objects/list", "objects")


async def follow_console(link: Link) -> None:
    """From now on Klipper sends each console line."""
    await _ask(link, "gcode/subscribe_output", {"response_template": {"method": CONSOLE_LINE}})


async def subscribe(link: Link, names: Iterable[str], first: Callable[[float, Status], None]) -> None:
    """From now on Klipper sends all changes of these objects; `first` gets the full state before any of them."""
    params = {"objects": dict.fromkeys(names), "response_template": {"method": STATUS_UPDATE}}
    async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
        await link.request("objects/subscribe", params, first=lambda result: first(*read_status(result)))


def read_info(result: Any) -> tuple[State, str]:
    """State and message of an answer to `info`, or of the object `webhooks`; raises ValueError."""
    state = State.of(result.get("state")) if isinstance(result, dict) else None
    if state is None:
        raise ValueError("no state")
    return state, str(result.get("state_message", ""))


async def _ask(
    link: Link, method: str, params: dict[str, Any] | None = None, *, first: Callable[[Any], object] | None = None
) -> Any:
    async with asyncio.timeout(INFO_TIMEOUT):
        return await link.request(method, params, first=first)


async def _names(link: Link, method: str, member: str) -> list[str]:
    names: list[str] = []

    def read(result: Any) -> None:
        found = result.get(member) if isinstance(result, dict) else None
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise ValueError(f"no {member}")
        names.extend(found)

    await _ask(link, method, first=read)
    return names
