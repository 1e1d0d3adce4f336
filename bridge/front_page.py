"""The page at /: for somebody who opens the server's address in a browser, what it is and whether it lets them in."""

import asyncio
from pathlib import Path
from string import Template
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bus.errors import BusError, Forbidden, Unauthenticated
from schemas import server

from .auth import Gate, watched
from .callers import Callers
from .commands import Commands
from .pages import HEADERS
from .settings import BridgeSettings

PAGE = Path(__file__).with_name("templates") / "front.html"
LET_IN = "Your address has access."
KEPT_OUT = "Your address has no access. Whoever runs this server lists it under 'trusted_clients'."


class FrontPage:
    """Asks the server how it is, with the rights of whoever looks."""

    def __init__(self, settings: BridgeSettings, gate: Gate, callers: Callers, commands: Commands) -> None:
        self._settings = settings
        self._gate = gate
        self._callers = callers
        self._commands = commands

    async def show(self, request: Request) -> Response:
        """The page; callers without access see that and no more."""
        try:
            facts, warnings = await self._seen_from_inside(request)
        except (Unauthenticated, Forbidden) as refused:
            facts, warnings = {"Access": KEPT_OUT if isinstance(refused, Unauthenticated) else refused.message}, []
        except BusError as error:
            facts, warnings = {"Access": LET_IN, "Server": error.message}, []
        template = Template(await asyncio.to_thread(PAGE.read_text))
        body = template.substitute(
            base=self._settings.prefix,
            facts="".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in facts.items()),
            warnings="".join(f"<li>{_safe(text)}</li>" for text in warnings) or "<li>None to be shown.</li>",
        )
        return Response(body, headers={**HEADERS, "cache-control": "no-store"}, media_type="text/html; charset=UTF-8")

    async def _seen_from_inside(self, request: Request) -> tuple[dict[str, str], list[str]]:
        """Facts and warnings for a caller with access; raises BusError."""
        client = request.client
        seen, query = watched(request.scope["headers"]), request.scope["query_string"]
        self._gate.pages.check_host(seen)
        caller = await self._callers.of(client.host if client else "", seen, query)
        if not caller.known:
            raise Unauthenticated("Unauthorized")
        body = await self._commands.run(server.INFO.name, b'{"raw":true}', caller.actor)
        info: dict[str, Any] = orjson.loads(body)
        domains = ", ".join(self._settings.cors_domains)
        facts = {
            "Access": f"Your address {caller.address} has access.",
            "Klipper": info["klippy_state"],
            "Web pages from elsewhere": f"allowed from {domains}"
            if domains
            else "not allowed ('cors_domains' is empty)",
            "API": f"Moonraker's, {info['api_version_string']}",
            "Components": ", ".join(info["components"]),
            "Failed components": ", ".join(info["failed_components"]) or "none",
        }
        return facts, info["warnings"]


def _safe(text: str) -> str:
    import html  # its table of entities takes half a megabyte, and few open this page

    return html.escape(text)
