"""Every method of the table, asked over MQTT by everybody there is, gets the verdict of its permission."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bus.access import AccessRules, Identity, Role
from bus.audit import Audit
from bus.client import RemoteMessage
from bus.downlink import Downlink
from bus.exchange import Exchange
from bus.home import Home
from bus.identity import Kind
from bus.journal import Journal
from bus.log import MemoryLog
from bus.message import Message
from bus.outbox import Passing
from bus.people import KnownPeople
from bus.router import Router
from bus.session import LocalSession
from bus.topics import Topics
from schemas import METHODS, AnyMethod
from schemas.base import is_open
from tests.brokers import until
from tests.conftest import Run
from tests.household import Household

ALL = {"open", "read", "control", "files", "admin", "host"}
MAY = {
    "nobody": {"open"},
    "viewer": {"open", "read"},
    "operator": {"open", "read", "control", "files"},
    "admin": ALL,
    "own": {"open", "control"},
    "viewer key": {"open", "read"},
    "admin key": ALL,
    "trusted": ALL,
    "printer": set[str](),
    "uplink": {"open", "read"},
}
REFUSED = (-32602, 403)  # by who asks; what is wrong with the arguments is 400
NO_METHOD = -32601
TOPICS = Topics("i")


class Asker:
    """A client with a session that has the rights of one on the wire."""

    def __init__(self, exchange: Exchange, identity: Identity) -> None:
        self._session = LocalSession(exchange, identity)
        self._name = identity.client_id
        self.answers: dict[str, int] = {}
        for topic in (TOPICS.private_response(self._name), TOPICS.reply(self._name)):
            with contextlib.suppress(PermissionError):
                self._session.subscribe(topic, self._on_answer)

    def _on_answer(self, message: Message) -> None:
        answer = orjson.loads(message.payload)
        self.answers[answer["id"]] = answer.get("error", {"code": 0})["code"]

    def ask(self, row: AnyMethod) -> None:
        """On both kinds of private topics; who may not publish there gets no answer."""
        name = row.name.partition("{")[0] + "x" if is_open(row.name) else row.name
        request = {"jsonrpc": "2.0", "method": name, "id": f"request {row.name}"}
        topics = {
            TOPICS.private_request(self._name): request,
            TOPICS.rpc(self._name, name.replace(".", "/")): {"id": f"rpc {row.name}"},
        }
        for topic, message in topics.items():
            with contextlib.suppress(PermissionError):
                self._session.publish(topic, orjson.dumps(message))


class FarAway:
    """A client of a joined broker, whose uplink has a role."""

    def __init__(self, downlink: Downlink) -> None:
        self._downlink = downlink
        self.answers: dict[str, int] = {}

    def ask(self, row: AnyMethod) -> None:
        name = row.name.partition("{")[0] + "x" if is_open(row.name) else row.name
        payload = orjson.dumps({"jsonrpc": "2.0", "method": name, "id": f"request {row.name}"})
        topic = TOPICS.private_request("c1")
        self._downlink.received(RemoteMessage(topic, payload, False), topic, self._on_answer, lambda _: False)

    def _on_answer(self, passing: Passing) -> None:
        answer = orjson.loads(passing.payload)
        self.answers[answer["id"]] = answer.get("error", {"code": 0})["code"]


async def household(folder: Path) -> Household:
    home = Household(folder, roles={"own": ["control"]})
    for role in ("viewer", "operator", "admin", "own", "printer"):
        await home.user(role, role)
    for role in ("viewer", "admin"):
        await home.key(role, role)
    return home


def identities(home: Household) -> dict[str, Identity]:
    def client(column: str, kind: Kind, user: str | None) -> Identity:
        name = column.replace(" ", "-")
        return Identity(name, Role.CLIENT, user, "192.0.2.1", "mqtt", confided=True, kind=kind)

    users = {name: client(name, Kind.USER, name) for name in ("viewer", "operator", "admin", "own", "printer")}
    keys = {f"{name} key": client(f"{name} key", Kind.KEY, f"key:{name}") for name in ("viewer", "admin")}
    return users | keys | {"trusted": client("trusted", Kind.TRUSTED, None)}


@contextlib.asynccontextmanager
async def asking(folder: Path) -> AsyncIterator[tuple[Household, Exchange, Router]]:
    home = await household(folder)
    exchange = Exchange(AccessRules("i"))
    exchange.rules.people = KnownPeople(home.directory)
    async with Journal(MemoryLog()) as journal, asyncio.TaskGroup() as tasks:
        bus = LocalSession(exchange, Identity("printbus.router", Role.BUS, transport="local"), urgent=lambda _: True)
        router = Router(bus, TOPICS, METHODS, Audit(journal), rights=home.directory.rights)
        for owner in {row.owner for row in METHODS.values()}:
            router.expect(owner)  # of agents that are not there: what may be asked is answered with 503
        started = asyncio.Event()
        running = tasks.create_task(router.run(started.set), name="router")
        await started.wait()
        yield home, exchange, router
        running.cancel()
    home.directory.close()


def verdict(code: int) -> str:
    return "refused" if code in REFUSED else "no method" if code == NO_METHOD else "allowed"


def expected(column: str, row: AnyMethod) -> str:
    if row.needs.value == "agent":
        return "no method"
    if column == "uplink" and row.flags.secret and row.needs.value in MAY[column]:
        return "refused"  # secrets stay at home
    return "allowed" if row.needs.value in MAY[column] else "refused"


def test_every_method_for_everybody(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with asking(tmp_path) as (home, exchange, router):
            known = identities(home)
            nobody = Identity("nobody", Role.CLIENT, None, "192.0.2.1", "mqtt", confided=True, kind=Kind.NOBODY)
            askers: dict[str, Any] = {name: Asker(exchange, who) for name, who in known.items()}
            askers["nobody"] = Asker(exchange, nobody)
            away = Home(exchange, router, TOPICS, (), "boot", lambda *_: None, home.directory.given)
            askers["uplink"] = FarAway(Downlink("farm", "viewer", away))
            for column, asker in askers.items():
                for row in METHODS.values():
                    asker.ask(row)
                forms = {"uplink": 1, "printer": 0}.get(column, 2)  # a printer has no topic here to ask on
                await answered(asker, forms * len(METHODS))
                for key, code in asker.answers.items():
                    row = METHODS[key.partition(" ")[2]]
                    assert verdict(code) == expected(column, row), (column, key, code)

    run(main())


async def answered(asker: Any, count: int) -> None:
    """Until as many answers have come, and no more."""
    await until(lambda: len(asker.answers) >= count, 20)
    await asyncio.sleep(0.01)
    assert len(asker.answers) == count


@pytest.mark.parametrize("confided", [True, False])
def test_secrets_travel_only_where_nobody_can_listen(run: Run[None], tmp_path: Path, confided: bool) -> None:
    async def main() -> None:
        async with asking(tmp_path) as (_, exchange, _router):
            who = Identity("c1", Role.CLIENT, "admin", "192.0.2.1", "mqtt", confided=confided, kind=Kind.USER)
            asker = Asker(exchange, who)
            secret = [row for row in METHODS.values() if row.flags.secret and row.needs.value != "agent"]
            assert {row.name for row in secret} >= {"access.login", "access.user.password", "access.get_api_key"}
            for row in secret:
                asker.ask(row)
            await answered(asker, 2 * len(secret))
            assert {verdict(code) for code in asker.answers.values()} == {"allowed" if confided else "refused"}

    run(main())


def test_other_rights_count_for_the_next_request(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with asking(tmp_path) as (home, exchange, _):
            asker, row = Asker(exchange, identities(home)["operator"]), METHODS["printer.emergency_stop"]
            for roles, wanted in ((None, "allowed"), (["viewer"], "refused"), (["operator"], "allowed")):
                if roles is not None:
                    home.happened("user.roles.1", username="operator", roles=roles)
                asker.answers.clear()
                asker.ask(row)
                await answered(asker, 2)
                assert {verdict(code) for code in asker.answers.values()} == {wanted}
            home.happened("user.deleted.1", username="operator")
            exchange.judge_anew()
            asker.answers.clear()
            asker.ask(row)
            await answered(asker, 0)

    run(main())
