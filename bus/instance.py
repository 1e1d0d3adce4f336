"""Puts one printbus together: broker, log and router, and beside them agents and bridge."""

import asyncio
import gc
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from schemas import METHODS

from .access import AccessRules, Identity, Login, Refusal, Role, TrustedNetworks
from .agent import Agent, Components, Connection, Settings
from .audit import STREAM, Audit
from .broker import Broker
from .config import PrinterConfig
from .engine import Connection as Wire
from .envelope import dumps
from .exchange import Exchange
from .journal import Journal
from .listeners import BrokerSettings
from .lmdb_log import LmdbLog
from .log import StoredEvent
from .message import Message
from .router import Router
from .session import LocalSession
from .supervisor import Supervisor, required_rows
from .topics import Topics

log = logging.getLogger(__name__)

FOLDERS = ("gcodes", "config", "logs", "comms", "database", "certs", "backup")  # Moonraker's layout
OWN_FOLDER = "printbus"
KEY_FILE = "agent.key"
BRIDGE = "bridge"
BRIDGE_GROUP = "printbus.bridge"
PACKET_OVERHEAD = 2048  # bytes of an MQTT packet besides its payload: header and topic
RECENT = 2000  # events in which the commands of an earlier run are looked for


@dataclass(frozen=True)
class Plan:
    """What one process is to run."""

    data: Path
    config: PrinterConfig
    broker: BrokerSettings
    agents: Sequence[tuple[type[Agent], Settings]] = ()
    failed: Mapping[str, str] = field(default_factory=dict)  # optional components by name, with the reason
    remote: Mapping[str, Sequence[str]] = field(default_factory=dict)  # components of agents in other processes
    bridge: Settings | None = None


def make_folders(data: Path) -> Path:
    """Creates the data folder's layout; answers our own part of it."""
    for name in FOLDERS:
        (data / name).mkdir(parents=True, exist_ok=True)
    own = data / OWN_FOLDER
    own.mkdir(mode=0o700, exist_ok=True)
    return own


def agent_key(data: Path) -> str:
    """The secret by which agents and bridges of this instance in other processes are known; made at first use."""
    path = data / OWN_FOLDER / KEY_FILE
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text().strip()


class KeyedNetworks(TrustedNetworks):
    """Trusted networks are let in as clients; who wants to be an agent or a bridge must know the instance's key."""

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key.encode()

    def authenticate(self, login: Login) -> Identity | Refusal:
        """An identity, or the refusal of a wrong key."""
        found = super().authenticate(login)
        if isinstance(found, Refusal) or found.role not in (Role.AGENT, Role.BRIDGE):
            return found
        return found if secrets.compare_digest(login.password or b"", self._key) else Refusal.CREDENTIALS


class Instance:
    """What the agents beside the broker can see (bus.agent.Host)."""

    def __init__(self, plan: Plan, journal: Journal, router: Router) -> None:
        self._plan = plan
        self._journal = journal
        self._router = router
        self.supervisor: Supervisor | None = None
        self._broken: frozenset[str] = frozenset()
        self._components: Components | None = None

    def connections(self) -> Sequence[Connection]:
        """All clients that stay."""
        return list(self._router.connections)

    def components(self) -> Components:
        """Names of what runs, names of what failed, and warnings."""
        away = self._router.away()
        broken = frozenset(self.supervisor.failed if self.supervisor else ()) | away
        if self._components is None or broken != self._broken:
            named = {**{kind.name: kind.components for kind, _ in self._plan.agents}, **self._plan.remote}
            running = [part for name, parts in named.items() if name not in broken for part in parts]
            failed = [*self._plan.failed, *(part for name in broken - away for part in named[name])]
            self._broken, self._components = broken, (running, failed, list(self._plan.failed.values()))
        return self._components

    async def read_events(self, since: int, stream: str | None, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """Events after a position, and the head of the log."""
        found = await self._journal.read(since, stream=stream, limit=limit)
        return found, self._journal.head


def sweeper(session: LocalSession, exchange: Exchange, topics: Topics) -> Callable[[Message], None]:
    """Takes back what an agent has retained once it is gone, so that nobody mistakes it for the present."""

    def on_presence(message: Message) -> None:
        if orjson.loads(message.payload)["alive"]:
            return
        owner = f"agent.{message.topic.rpartition('/')[2]}"
        for stale in exchange.retained_store.match(f"{topics.instance}/#"):
            if stale.sender.client_id == owner and stale.topic != message.topic:
                session.publish(stale.topic, b"", retain=True)

    return on_presence


def publisher(session: LocalSession, topics: Topics, epoch: str) -> Callable[[Sequence[StoredEvent]], None]:
    """Publishes committed events, and then the head of the log."""

    def publish(events: Sequence[StoredEvent]) -> None:
        for event in events:
            session.publish(topics.event(event.stream, event.type), dumps(shown(event)))
        if events:
            session.publish(topics.log_head, dumps({"epoch": epoch, "seq": events[-1].seq}), retain=True)

    return publish


def shown(event: StoredEvent) -> dict[str, Any]:
    """An event as topics and `events.read` have it."""
    return {
        "seq": event.seq,
        "time": event.time,
        "stream": event.stream,
        "type": event.type,
        "actor": event.actor,
        "data": event.data,
    }


@asynccontextmanager
async def running(plan: Plan) -> AsyncIterator[str]:
    """Runs the plan; yields the ready line once the listeners answer."""
    own = make_folders(plan.data)
    topics = Topics(plan.config.instance)
    exchange = Exchange(AccessRules(plan.config.instance, plan.config.groups), plan.broker.limits)
    authenticator = KeyedNetworks(agent_key(plan.data))
    store = LmdbLog.open(own / "log", segment_bytes=plan.config.log.segment_bytes)
    async with Journal(store) as journal, Broker(exchange, authenticator, plan.broker) as broker:
        session = LocalSession(exchange, Identity("printbus", Role.BUS, transport="local"))
        session.subscribe(topics.agents, sweeper(session, exchange, topics))
        journal.on_commit(publisher(session, topics, str(store.epoch)))
        router_session = LocalSession(
            exchange,
            Identity("printbus.router", Role.BUS, transport="local"),
            urgent=Router.urgent,
            overflow=lambda message: router.overflow(message),
        )
        router = Router(
            router_session,
            topics,
            METHODS,
            Audit(journal),
            groups=plan.config.groups,
            answer_bytes=plan.broker.limits.packet_bytes - PACKET_OVERHEAD,
        )
        router.recover(await journal.read(max(journal.head - RECENT, 0), stream=STREAM, limit=RECENT))
        exchange.add_listener(on_disconnect=lambda who: router.closed(who.client_id))
        host = Instance(plan, journal, router)
        async with asyncio.TaskGroup() as tasks:
            running_tasks = _start(plan, tasks, exchange, topics, journal, router, host)
            session.publish(topics.server_status, b'{"server":"online"}', retain=True)
            session.publish(topics.log_head, dumps({"epoch": str(store.epoch), "seq": journal.head}), retain=True)
            bridge = await _bridge(plan, exchange, topics, authenticator)
            gc.collect()
            gc.freeze()
            host_name, port = broker.addresses[0][:2]
            mqtt = f"mqtt://{host_name}:{port}"
            try:
                yield f"printbus ready {bridge.url} {mqtt}" if bridge else f"printbus ready {mqtt}"
            finally:
                session.publish(topics.server_status, b'{"server":"offline"}', retain=True)
                if bridge:
                    await bridge.stop()
                for task in running_tasks:
                    task.cancel()


def _start(
    plan: Plan,
    tasks: asyncio.TaskGroup,
    exchange: Exchange,
    topics: Topics,
    journal: Journal,
    router: Router,
    host: Instance,
) -> list["asyncio.Task[None]"]:
    required_rows([kind for kind, _ in plan.agents], dict(METHODS))
    started = [tasks.create_task(router.run(lambda: None), name="router")]
    supervisor = host.supervisor = Supervisor(exchange, topics, plan.data, journal, router, host)
    for name in plan.remote:
        router.expect(name)
    for kind, settings in plan.agents:
        exchange.sessions.reserve(f"agent.{kind.name}")
        started.append(tasks.create_task(supervisor.keep(kind, settings), name=f"agent {kind.name}"))
    return started


async def _bridge(plan: Plan, exchange: Exchange, topics: Topics, authenticator: KeyedNetworks) -> Any:
    if plan.bridge is None:
        return None
    identity = Identity(BRIDGE, Role.BRIDGE, f"bridge:{uuid4().hex}", transport="local")
    session = LocalSession(exchange, identity)

    def mqtt(write: Callable[[bytes], None], close: Callable[[], None], address: str) -> Wire:
        return Wire(exchange, authenticator, write=write, close=close, address=address, transport="mqtt+ws")

    bridge = bridge_part("class")(session, topics, BRIDGE, plan.bridge, mqtt=mqtt)
    await bridge.start()
    return bridge


def bridge_part(name: str) -> Any:
    """The installed bridge: its `class` or its `settings` model."""
    (found,) = entry_points(group=BRIDGE_GROUP, name=name)
    return found.load()
