"""Puts one printbus together: broker, log and router, and beside them agents and bridge."""

import asyncio
import gc
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import uuid4

from schemas import METHODS

from .access import AccessRules, Identity, Role
from .accounts import FAILED, LOGINS, SUCCEEDED, Accounts
from .agent import Actor, Agent, Settings
from .audit import STREAM, Audit
from .broker import Broker
from .claims import keep_name
from .config import PrinterConfig
from .config_view import shown_configuration
from .directory import Directory
from .engine import Connection as Wire
from .exchange import Exchange
from .fold import Fold, Folds, Snapshots, keep_snapshots
from .host import BrokerHost, LogPublisher, sweeper
from .identity import Principal
from .journal import Journal, Retention
from .last_working import Files, keep
from .listeners import BrokerSettings
from .lmdb_log import LmdbLog
from .lmdb_store import LmdbStore
from .log import StoredEvent
from .logins import Logins
from .people import KnownPeople, Revocation
from .program import Program
from .reload import reload_on_hangup
from .router import Router
from .session import LocalSession
from .session_store import map_bytes
from .standin import StandIn
from .supervisor import Supervisor, required_rows
from .topics import Topics
from .vault import Vault

log = logging.getLogger(__name__)

FOLDERS = ("gcodes", "config", "logs", "comms", "database", "certs", "backup")  # Moonraker's layout
OWN_FOLDER = "printbus"
KEY_FILE = "agent.key"
BRIDGE = "bridge"
BRIDGE_GROUP = "printbus.bridge"
PACKET_OVERHEAD = 2048  # bytes of an MQTT packet besides its payload: header and topic
RULES, RELOADED = "rules", "rules.reloaded.1"
HANGUP = Actor(None, "signal", "SIGHUP")
RECENT = 2000  # events in which the commands of an earlier run are looked for


@dataclass(frozen=True)
class Plan:
    """What one process is to run."""

    data: Path
    config: PrinterConfig
    broker: BrokerSettings
    rules: AccessRules
    read_rules: Callable[[], AccessRules]  # anew, as the files are now; raises ConfigError
    agents: Sequence[tuple[type[Agent], Settings]] = ()
    failed: Mapping[str, str] = field(default_factory=dict)  # optional components by name, with the reason
    remote: Mapping[str, Sequence[str]] = field(default_factory=dict)  # components of agents in other processes
    folds: Mapping[type[Fold], str] = field(default_factory=dict)  # with the agent whose state they are
    bridge: Settings | None = None
    files: Files = field(default_factory=dict)  # the content of the configuration files
    read_files: Callable[[], Files] = dict  # the same with the access rules as the files are now; raises ConfigError
    names: Mapping[str, str] = field(default_factory=dict)  # where they are, as seen from the config folder
    warnings: Sequence[str] = ()  # about the configuration


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


@asynccontextmanager
async def running(plan: Plan, program: Program) -> AsyncIterator[str]:
    """Runs the plan; yields the ready line once the listeners answer."""
    own = make_folders(plan.data)
    topics = Topics(plan.config.instance)
    store = LmdbLog.open(own / "log", segment_bytes=plan.config.log.segment_bytes)
    limits = plan.broker.limits
    exchange = Exchange(plan.rules, limits, LmdbStore.open(own / "broker", map_bytes(limits)))
    async with Journal(store, retention=_retention(plan)) as journal, aclosing(exchange):
        folds = Folds(store, Snapshots(own / "snapshots", store.epoch), [*plan.folds])
        await journal.ask(lambda _: folds.restore(journal.head))
        directory = await _directory(plan, own, folds, journal)
        router = await _router(plan, exchange, topics, journal, directory)
        components = {**{kind.name: kind.components for kind, _ in plan.agents}, **plan.remote}
        program.configuration = partial(shown_configuration, plan)
        standin = StandIn(exchange, topics, plan.config.groups)
        host = BrokerHost(router, standin, journal, folds, components, plan.failed, program, directory)
        host.warn("secrets", directory.vault.warning)
        _report(store, host)
        for number, warning in enumerate(plan.warnings):
            log.error("%s", warning)
            host.warn(f"configuration {number}", warning)
        mqtt = plan.config.mqtt
        session = LocalSession(exchange, Identity("printbus", Role.BUS, transport="local"), qos=mqtt.default_qos)
        session.subscribe(topics.agents, sweeper(session, exchange, topics))
        authenticator = _logins(plan, exchange, directory, host)
        async with Broker(exchange, authenticator, plan.broker) as broker, asyncio.TaskGroup() as tasks:
            supervisor = host.supervisor = Supervisor(exchange, topics, plan.data, journal, router, host, mqtt)
            started = _start(plan, tasks, router, supervisor)
            told = partial(host.record, RULES, RELOADED, {}, HANGUP)
            keeping = partial(_keep_rules, plan)
            reloading = reload_on_hangup(exchange, partial(_read_rules, plan, directory), keeping, told)
            started.append(tasks.create_task(reloading, name="access rules"))
            started.append(tasks.create_task(directory.trust.keep(), name="names of trusted clients"))
            LogPublisher(
                session, topics, journal, folds, {kind.name: owner for kind, owner in plan.folds.items()}
            ).start()
            started.append(tasks.create_task(keep_snapshots(folds), name="snapshots"))
            session.publish(topics.server_status, b'{"server":"online"}', retain=True)
            started += _uplinks(plan, tasks, exchange, router, topics, host)
            bridge = await _bridge(plan, exchange, topics, authenticator, host)
            program.ports |= _ports(broker, plan, bridge)
            gc.freeze()  # what starting made stays: later collections need not look at it
            gc.enable()
            try:
                yield _ready_line(broker, bridge)
            finally:
                session.publish(topics.server_status, b'{"server":"offline"}', retain=True)
                directory.close()
                if bridge:
                    await bridge.stop()
                for task in started:
                    task.cancel()
        await journal.ask(lambda _: folds.save())


def _report(store: LmdbLog, host: BrokerHost) -> None:
    """What people must know about the event log."""
    host.warn("place of the event log", store.warning)
    for found in store.recoveries:
        lost = f"events after {found.last} are lost" if found.lost else "nothing is lost"
        aside = ", ".join(found.set_aside) or "nowhere"
        host.warn(found.segment, f"Event log {found.segment} was damaged ({found.reason}): {lost}; kept in {aside}")


def _retention(plan: Plan) -> Retention:
    """What folds are made of is never lost."""
    folded = {stream for kind in plan.folds for stream in kind.streams}
    return Retention(plan.config.log.segments, {*plan.config.log.keep, *folded})


def _ready_line(broker: Broker, bridge: Any) -> str:
    host, port = broker.addresses[0][:2]
    listening = bridge.urls if bridge else []
    return " ".join(("printbus ready", *listening, f"mqtt://{host}:{port}"))


def _ports(broker: Broker, plan: Plan, bridge: Any) -> dict[str, int]:
    """What is listened on, by listener."""
    named = [name for name, listener in plan.broker.listeners.items() if listener.type != "unix"]
    found = {f"mqtt {name}": port for name, (_, port) in zip(named, broker.addresses, strict=True)}
    return found | (bridge.ports if bridge else {})


async def _directory(plan: Plan, own: Path, folds: Folds, journal: Journal) -> Directory:
    """Who is known; it follows the log by itself."""
    vault = Vault(own)
    await asyncio.to_thread(vault.load)
    known = Accounts.restored(folds.state(Accounts.name)) if Accounts.name in folds.kinds else Accounts()
    directory = Directory(plan.config.authorization, plan.config.instance, known, vault)
    journal.on_commit(directory.take)
    return directory


def _read_rules(plan: Plan, directory: Directory) -> AccessRules:
    rules = plan.read_rules()
    rules.people = KnownPeople(directory)
    return rules


def _keep_rules(plan: Plan) -> None:
    keep(plan.data, plan.read_files())


def _logins(plan: Plan, exchange: Exchange, directory: Directory, host: BrokerHost) -> Logins:
    """Who may connect; changes of users, keys and roles are followed from now on."""

    def note(who: Principal | None, how: str, actor: Actor) -> None:
        host.record(LOGINS, SUCCEEDED if who else FAILED, {"username": who.name if who else None, "how": how}, actor)

    exchange.rules.people = KnownPeople(directory)
    revocation = Revocation(exchange, directory)
    revocation.sweep()
    directory.watch(revocation.changed)
    return Logins(directory, agent_key(plan.data), note)


async def _router(plan: Plan, exchange: Exchange, topics: Topics, journal: Journal, directory: Directory) -> Router:
    session = LocalSession(
        exchange,
        Identity("printbus.router", Role.BUS, transport="local"),
        qos=plan.config.mqtt.answer_qos,
        urgent=Router.urgent,
        overflow=lambda message: router.overflow(message),
    )
    answer_bytes = plan.broker.limits.packet_bytes - PACKET_OVERHEAD
    router = Router(
        session,
        topics,
        METHODS,
        Audit(journal),
        groups=plan.config.groups,
        answer_bytes=answer_bytes,
        over_mqtt=plan.config.mqtt.enable_moonraker_api,
        rights=directory.rights,
    )
    directory.watch(router.standing.changed)
    router.recover(await _recent_commands(journal))
    exchange.add_listener(on_disconnect=lambda who: router.closed(who.client_id))
    return router


async def _recent_commands(journal: Journal) -> list[StoredEvent]:
    found: list[StoredEvent] = []
    after = max(journal.head - RECENT, 0)
    while page := await journal.read(after, stream=STREAM, limit=RECENT):
        found += page
        after = page[-1].seq
    return found


def _start(plan: Plan, tasks: asyncio.TaskGroup, router: Router, supervisor: Supervisor) -> list["asyncio.Task[None]"]:
    required_rows([kind for kind, _ in plan.agents], dict(METHODS))
    started = [tasks.create_task(router.run(lambda: None), name="router")]
    for name in plan.remote:
        router.expect(name)
    for kind, settings in plan.agents:
        started.append(tasks.create_task(supervisor.keep(kind, settings), name=f"agent {kind.name}"))
    return started


def _uplinks(
    plan: Plan, tasks: asyncio.TaskGroup, exchange: Exchange, router: Router, topics: Topics, host: BrokerHost
) -> list["asyncio.Task[None]"]:
    boot = uuid4().hex
    keep_name(exchange, topics, boot)
    if not plan.broker.uplinks:
        return []
    from .uplink import Home, start_uplinks  # with aiomqtt, which takes its time and memory

    home = Home(exchange, router, topics, plan.config.groups, boot, host.warn, host.directory.given)
    started, host.standin.uplinks = start_uplinks(tasks, plan.broker.uplinks, home)
    return started


async def _bridge(plan: Plan, exchange: Exchange, topics: Topics, authenticator: Logins, host: BrokerHost) -> Any:
    if plan.bridge is None:
        return None
    identity = Identity(BRIDGE, Role.BRIDGE, f"bridge:{uuid4().hex}", transport="local")
    kind = bridge_part("class")
    session = LocalSession(exchange, identity, urgent=kind.urgent)

    mqtt = partial(Wire, exchange, authenticator, transport="mqtt+ws")
    bridge = kind(session, topics, BRIDGE, plan.bridge, plan.config.authorization, mqtt=mqtt, data=plan.data)
    await bridge.start()
    host.warn("HTTPS", bridge.warning)
    return bridge


def bridge_part(name: str) -> Any:
    """The installed bridge: its `class` or its `settings` model."""
    (found,) = entry_points(group=BRIDGE_GROUP, name=name)
    return found.load()
