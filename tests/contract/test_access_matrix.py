"""Every row of the method table for everybody who may ask, on each transport: the verdict is the table's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from bus.access import Identity, Login, Refusal
from bus.identity import EVERYTHING, ROLES
from bus.logins import Logins
from bus.people import KnownPeople
from bus.session import LocalSession
from schemas import METHODS, Permission
from schemas.base import AnyMethod, is_open, stem
from tests.access_rig import STRANGER, AccessRig, access_rig, bearer
from tests.conftest import Run
from tests.unit.bridge.ws_client import WsClient, websocket

LET, UNKNOWN, KEPT_OUT, NOT_THERE = "let", "unknown", "kept out", "not there"
DOOR, TOPIC = "refused at the door", "not on this topic"
MAY: Mapping[str, frozenset[Permission] | None] = {
    "nobody": None,
    "trusted": EVERYTHING,
    "viewer": ROLES["viewer"],
    "operator": ROLES["operator"],
    "admin": EVERYTHING,
    "API key": frozenset({Permission.CONTROL}),
    "another instance's printer": frozenset(),
}


class Asker(NamedTuple):
    """Somebody, and how they show it in a header."""

    name: str
    headers: dict[str, str]


Verdict = Callable[[AnyMethod], Awaitable[str]]


def expected(row: AnyMethod, name: str) -> str:
    """What the table says."""
    may = MAY[name]
    if row.needs is Permission.AGENT:
        return NOT_THERE
    if row.needs is Permission.OPEN or (may is not None and row.needs in may):
        return LET
    return UNKNOWN if may is None else KEPT_OUT


async def askers(rig: AccessRig) -> list[Asker]:
    """All that there are; users are made before nobody is trusted any more."""
    tokens = {name: await rig.create(name, name) for name in ("viewer", "operator", "admin", "printer")}
    key = await rig.create_key("panel", "presser")
    return [
        Asker("nobody", STRANGER),
        Asker("trusted", {}),
        *(Asker(name, {**STRANGER, **bearer(tokens[name])}) for name in ("viewer", "operator", "admin")),
        Asker("API key", {**STRANGER, "X-Api-Key": key}),
        Asker("another instance's printer", {**STRANGER, **bearer(tokens["printer"])}),
    ]


@asynccontextmanager
async def over_http(rig: AccessRig, asker: Asker) -> AsyncIterator[Verdict]:
    async def verdict(row: AnyMethod) -> str:
        verb, path = row.http[0].split(" ")
        path = stem(path) + "some" if is_open(path) else path
        answer = await rig.http.request(verb, path, headers=asker.headers)
        return {401: UNKNOWN, 403: KEPT_OUT, 404: NOT_THERE}.get(answer.status_code, LET)

    yield verdict


@asynccontextmanager
async def over_websocket(rig: AccessRig, asker: Asker) -> AsyncIterator[Verdict]:
    async with websocket(rig.port, "/websocket", **asker.headers) as client:
        assert client.status == 101

        async def verdict(row: AnyMethod) -> str:
            return said(await answer(client, stem(row.name) + "some" if is_open(row.name) else row.name))

        yield verdict


async def answer(client: WsClient, method: str) -> dict[str, object]:
    """The answer to a request without params; notifications are passed over."""
    found: dict[str, object] = await client.call(method)
    while "id" not in found:
        found = await client.receive()
    return found


def said(found: Mapping[str, object]) -> str:
    """The verdict of a JSON-RPC answer."""
    error = found.get("error")
    if not isinstance(error, dict):
        return LET
    if error["code"] == -32602 and error["message"] == "Unauthorized":
        return UNKNOWN
    return {403: KEPT_OUT, -32601: NOT_THERE}.get(error["code"], LET)


@asynccontextmanager
async def over_mqtt(rig: AccessRig, asker: Asker) -> AsyncIterator[Verdict]:
    """As a client whose CONNECT is judged as on the wire, with the rules about topics in force."""
    rig.exchange.rules.people = KnownPeople(rig.directory)
    shown = asker.headers.get("X-Api-Key") or asker.headers.get("Authorization", "").removeprefix("Bearer ")
    address = "192.0.2.1" if asker.name == "nobody" else "127.0.0.1"
    name = asker.name.replace(" ", "-")
    login = Login(name, None, shown.encode() or None, address, "mqtt")
    who = Logins(rig.directory, "no agent's", lambda *_: None).authenticate(login)
    if isinstance(who, Refusal):
        yield _refused
        return
    assert isinstance(who, Identity)
    session, answers = LocalSession(rig.exchange, who), asyncio.Queue[bytes]()
    if asker.name != "another instance's printer":
        session.subscribe(rig.topics.private_response(name), lambda message: answers.put_nowait(message.payload))

    async def verdict(row: AnyMethod) -> str:
        request = {"jsonrpc": "2.0", "method": stem(row.name) + "some" if is_open(row.name) else row.name, "id": 1}
        try:
            session.publish(rig.topics.private_request(name), orjson.dumps(request))
        except PermissionError:
            return TOPIC
        return said(orjson.loads(await asyncio.wait_for(answers.get(), 10)))

    yield verdict
    session.close()


async def _refused(_row: AnyMethod) -> str:
    return DOOR


def expected_over_mqtt(row: AnyMethod, name: str) -> str:
    """Nobody is not even connected, and the request topics of this instance are not for another's printer."""
    return {"nobody": DOOR, "another instance's printer": TOPIC}.get(name) or expected(row, name)


TRANSPORTS = {"HTTP": over_http, "websocket": over_websocket, "MQTT": over_mqtt}


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
def test_who_may_call_what(run: Run[None], tmp_path: Path, transport: str) -> None:
    async def main() -> None:
        async with access_rig(tmp_path, roles={"presser": ["control"]}) as rig, AsyncExitStack() as opened:
            everybody = await askers(rig)
            rig.replace_agents()
            for asker in everybody:
                verdict = await opened.enter_async_context(TRANSPORTS[transport](rig, asker))
                for row in METHODS.values():
                    if transport == "HTTP" and (not row.http or row.flags.connection):
                        continue
                    table = expected_over_mqtt if transport == "MQTT" else expected
                    assert await verdict(row) == table(row, asker.name), (asker.name, row.name, row.needs)
                await asyncio.sleep(0)

    run(main())
