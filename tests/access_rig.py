"""Logins in one process: the real broker, router, directory, agents and bridge, over a log in memory."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from agents.access import Access
from agents.core import Core
from bridge import Bridge, BridgeSettings
from bus.access import AccessRules, Identity, Role
from bus.accounts import Accounts
from bus.agent import Call, Done, Settings
from bus.audit import Audit
from bus.authorization import Authorization
from bus.client import RemoteMessage
from bus.clock import SYSTEM, Clock
from bus.directory import Directory
from bus.downlink import Downlink
from bus.exchange import Exchange
from bus.fold import Folds, Snapshots
from bus.home import Home
from bus.host import BrokerHost, LogPublisher
from bus.journal import Journal
from bus.log import MemoryLog
from bus.mqtt_settings import MqttSettings
from bus.outbox import Passing
from bus.ports import Port
from bus.program import Program
from bus.router import Router
from bus.session import LocalSession
from bus.standin import StandIn
from bus.supervisor import Supervisor
from bus.topics import Topics
from bus.vault import Vault
from schemas import METHODS
from tests.unit.bridge.wire import http_client

REACHED = "reached"
STRANGER = {"X-Forwarded-For": "192.0.2.1"}
"""What makes a request one of nobody: it speaks for somebody, and nobody knows who that is."""


class Reached:
    """In the place of an agent: answers that a call has come so far, except for rows that are really answered."""

    def __init__(self, port: Port | None = None, but: Collection[str] = ()) -> None:
        self._port = port
        self._but = but

    def call(self, call: Call, done: Done) -> None:
        """Answers at once."""
        if self._port is not None and call.method.name in self._but:
            self._port.call(call, done)
        else:
            done(orjson.dumps(REACHED))


@dataclass
class AccessRig:
    """What `access_rig` yields."""

    http: httpx.AsyncClient
    port: int
    router: Router
    directory: Directory
    journal: Journal
    exchange: Exchange
    topics: Topics

    async def ask(self, verb: str, path: str, headers: dict[str, str] | None = None, **body: Any) -> httpx.Response:
        """A request over HTTP."""
        return await self.http.request(verb, path, headers=headers, json=body or None)

    async def create(self, name: str, *roles: str) -> str:
        """A new user with its name as password; its access token."""
        answer = await self.ask("POST", "/access/user", username=name, password=name, roles=list(roles) or ["admin"])
        return str(answer.json()["result"]["token"])

    async def login(self, name: str) -> dict[str, str]:
        """Its tokens."""
        answer = await self.ask("POST", "/access/login", username=name, password=name)
        found: dict[str, str] = answer.json()["result"]
        return found

    async def create_key(self, name: str, *roles: str) -> str:
        """A new API key."""
        return str((await self.ask("POST", "/access/keys", name=name, roles=list(roles))).json()["result"]["key"])

    async def events(self, stream: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Type, data and actor of what was noted."""
        found = await self.journal.read(stream=stream, limit=5000)
        return [(event.type, dict(event.data), dict(event.actor or {})) for event in found]

    def replace_agents(self) -> None:
        """From now on agents only say that they were reached."""
        answered = ("access.verify", "server.connection.identify")
        for owner in {row.owner for row in METHODS.values()}:
            self.router.ports[owner] = Reached(self.router.ports.get(owner), answered)


class FarAway:
    """A client of a joined broker whose uplink has a role, or none."""

    def __init__(self, rig: AccessRig, role: str | None) -> None:
        home = Home(rig.exchange, rig.router, rig.topics, (), "boot", lambda *_: None, rig.directory.given)
        self._downlink = Downlink("farm", role, home)
        self._topic = rig.topics.private_request("desk")

    async def ask(self, method: str, **params: Any) -> Any:
        """The result, or the code of the error."""
        answered: asyncio.Future[Passing] = asyncio.get_running_loop().create_future()
        payload = orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
        self._downlink.received(
            RemoteMessage(self._topic, payload, False), self._topic, answered.set_result, lambda _: False
        )
        answer = orjson.loads((await asyncio.wait_for(answered, 10)).payload)
        return answer["result"] if "result" in answer else answer["error"]["code"]


def bearer(token: str) -> dict[str, str]:
    """The header for an access token."""
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def access_rig(
    folder: Path, *, clock: Clock = SYSTEM, bridge: dict[str, Any] | None = None, **authorization: Any
) -> AsyncIterator[AccessRig]:
    """Everything, on a free port."""
    settings, topics, log = Authorization.model_validate(authorization), Topics("test"), MemoryLog()
    exchange = Exchange(AccessRules("test"))
    vault = Vault(folder)
    vault.load()
    directory = Directory(settings, "test", Accounts(), vault, clock)
    async with Journal(log) as journal, asyncio.TaskGroup() as tasks:
        journal.on_commit(directory.take)
        router = _router(exchange, topics, journal, directory)
        folds = Folds(log, Snapshots(folder, log.epoch), [Accounts])
        folds.restore(journal.head)
        bus = LocalSession(exchange, Identity("printbus", Role.BUS, transport="local"))
        LogPublisher(bus, topics, journal, folds, {Accounts.name: "access"}).start()
        host = BrokerHost(router, StandIn(exchange, topics, ()), journal, folds, {}, {}, Program(), directory)
        supervisor = Supervisor(exchange, topics, folder, journal, router, host, MqttSettings())
        running = [tasks.create_task(router.run(lambda: None), name="router")]
        for kind in (Access, Core):
            running.append(tasks.create_task(supervisor.keep(kind, Settings()), name=kind.name))
        await asyncio.sleep(0.01)
        made = _bridge(exchange, topics, BridgeSettings.model_validate({"port": 0, **(bridge or {})}), settings)
        await made.start()
        try:
            async with http_client(made.url) as http:
                yield AccessRig(http, made.ports["http"], router, directory, journal, exchange, topics)
        finally:
            await made.stop()
            directory.close()
            for task in running:
                task.cancel()


def _router(exchange: Exchange, topics: Topics, journal: Journal, directory: Directory) -> Router:
    session = LocalSession(
        exchange,
        Identity("printbus.router", Role.BUS, transport="local"),
        urgent=Router.urgent,
        overflow=lambda message: router.overflow(message),
    )
    router = Router(session, topics, METHODS, Audit(journal), rights=directory.rights)
    directory.watch(router.standing.changed)
    return router


def _bridge(exchange: Exchange, topics: Topics, settings: BridgeSettings, authorization: Authorization) -> Bridge:
    identity = Identity("bridge", Role.BRIDGE, "bridge:1", transport="local")
    session = LocalSession(exchange, identity, urgent=Bridge.urgent)
    return Bridge(session, topics, "bridge", settings, authorization)
