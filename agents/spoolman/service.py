"""Spoolman's HTTP interface: any request, and the few that are ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

import orjson

from bus.envelope import dumps
from bus.fetch import Ask, Unreachable, body, fetch

API = "/api"
SPOOLS = "/v1/spool"
TIMEOUT = 10.0  # seconds; Spoolman often runs on a slow machine
MAX_ANSWER = 8 << 20  # bytes; thousands of spools
MAX_COMPLAINT = 500  # characters
NOT_FOUND = 404
UNSPOKEN = ("connection", "set-cookie", "transfer-encoding")  # headers of the connection, and between us and Spoolman


class Refused(Exception):
    """Spoolman has answered with an error, and done nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status: its body as JSON, which is a text where it was none, and members of an object."""

    status: int
    headers: Mapping[str, str]
    json: bytes
    members: Mapping[str, Any]

    @property
    def failed(self) -> bool:
        """Whether it is an error, or leads elsewhere."""
        return self.status >= 300

    def complaint(self) -> str:
        """Why it is an error, in Spoolman's words where it has any."""
        said = self.members.get("message") or self.members.get("detail")
        if isinstance(said, list):  # what is wrong with a request, one by one
            said = "; ".join(str(each.get("msg", each)) if isinstance(each, dict) else str(each) for each in said)
        return f"Spoolman: {said}"[:MAX_COMPLAINT] if said else f"Spoolman answered with status {self.status}"


class Service:
    """The server at a base address; proxies are not asked, as it is near, and no redirection is followed."""

    def __init__(self, server: str) -> None:
        self._base = server + API
        self.events = "ws" + self._base.removeprefix("http") + SPOOLS  # http becomes ws and https wss

    async def ask(self, verb: str, path: str, content: Any = None) -> Reply:
        """Sends JSON to a path below the API, with its query; raises Unreachable."""
        payload = None if content is None else dumps(content)
        return await fetch(self._base + path, _reply, TIMEOUT, proxies=False, ask=Ask(verb, payload, plain=True))

    async def used_length(self, spool_id: int) -> float | None:
        """Millimetres that were drawn from a spool; None where there is no such spool. Raises Refused, Unreachable."""
        return _used(await self.ask("GET", f"{SPOOLS}/{spool_id}"))

    async def use(self, spool_id: int, length: float) -> float | None:
        """Draws millimetres from a spool, as `used_length`; the outcome is open where it raises Unreachable."""
        return _used(await self.ask("PUT", f"{SPOOLS}/{spool_id}/use", {"use_length": length}))


def _reply(response: HTTPResponse) -> Reply:
    """In the thread that has asked: answers may be large."""
    headers = {name.lower(): value for name, value in response.headers.items() if name.lower() not in UNSPOKEN}
    content = body(response, MAX_ANSWER) or b"null"
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value, content = None, orjson.dumps(content.decode(errors="replace"))
    return Reply(response.status, headers, content, value if isinstance(value, dict) else {})


def _used(reply: Reply) -> float | None:
    """A 404 without a word of Spoolman's is not about the spool: something else answers there."""
    if reply.status == NOT_FOUND and "message" in reply.members:
        return None
    if 400 <= reply.status < 500 and reply.status != NOT_FOUND:
        raise Refused(reply.complaint())
    if reply.failed:
        raise Unreachable(reply.complaint())
    used = reply.members.get("used_length")
    if not isinstance(used, int | float):
        raise Unreachable("what answers there is not Spoolman")
    return float(used)
