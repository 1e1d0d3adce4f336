"""A whole bus in one process without sockets: exchange, router, journal in memory, and agents of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import orjson

from bus.access import AccessRules, Identity, Role
from bus.accounts import Accounts
from bus.agent import Actor, Agent, Connection, Watcher
from bus.audit import Audit
from bus.authorization import Authorization
from bus.directory import Directory
from bus.errors import NotFound
from bus.exchange import Exchange
from bus.fold import Fold, Folds, Snapshots
from bus.host import LogPublisher
from bus.identity import Principal
from bus.journal import Journal
from bus.log import EventLog, Excerpt, MemoryLog
from bus.message import Message
from bus.mqtt_settings import MqttSettings
from bus.router import Router
from bus.session import LocalSession
from bus.supervisor import Supervisor
from bus.topics import Topics
from bus.vault import Vault
from schemas import AnyMethod

F = TypeVar("F", bound=Fold)
T = TypeVar("T")
PATIENCE = 20.0  # seconds for anything that has to happen


class Client:
    """An MQTT client without a socket, with the rights of one that came over the wire."""

    def __init__(self, rig: "Rig", name: str, role: Role = Role.CLIENT) -> None:
        self.name = name
        self.session = LocalSession(
            rig.exchange, Identity(name, role, "someone" if role is Role.CLIENT else None, transport="local")
        )
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()

    def listen(self, *filters: str) -> None:
        """Subscribes."""
        for each in filters:
            self.session.subscribe(each, self.inbox.put_nowait)

    def send(self, topic: str, message: Any, **options: Any) -> None:
        """Publishes bytes as they are and anything else as JSON."""
        self.session.publish(topic, message if isinstance(message, bytes) else orjson.dumps(message), **options)

    async def next(self) -> Any:
        """The JSON of the next message."""
        message = await asyncio.wait_for(self.inbox.get(), PATIENCE)
        return orjson.loads(message.payload)

    async def ask(self, method: str, params: Any = None, request_id: Any = 1) -> Any:
        """One request on the client's private topics and its answer."""
        request = {"jsonrpc": "2.0", "method": method, "id": request_id}
        if params is not None:
            request["params"] = params
        self.send(f"test/moonraker/api/request/{self.name}", request)
        return await self.next()


class Rig:
    """What `bus_with` yields."""

    def __init__(self, journal: Journal, methods: dict[str, AnyMethod]) -> None:
        self.topics = Topics("test")
        self.exchange = Exchange(AccessRules("test", ["farm"]))
        self.journal = journal
        session = LocalSession(
            self.exchange,
            Identity("printbus.router", Role.BUS, transport="local"),
            urgent=Router.urgent,
            overflow=lambda message: self.router.overflow(message),
        )
        self.router = Router(session, self.topics, methods, Audit(journal), groups=["farm"])
        self.bus = LocalSession(self.exchange, Identity("printbus", Role.BUS, transport="local"))

    def client(self, name: str, role: Role = Role.CLIENT) -> Client:
        """A client that listens on its private answers."""
        made = Client(self, name, role)
        made.listen(f"test/moonraker/api/response/{name}")
        return made

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of everything in the log."""
        return [(event.type, dict(event.data)) for event in await self.journal.read(limit=5000)]


class NoHost:
    """The host of a rig has nothing to show."""

    def connections(self) -> Sequence[Any]:
        """Nobody."""
        return []

    def identify(self, connection: Connection, identity: Mapping[str, str]) -> None:
        """Nobody is to be identified."""

    @property
    def directory(self) -> Directory:
        """Nobody is known."""
        return Directory(Authorization(), "test", Accounts(), Vault(Path()))

    def become(self, connection: Connection, who: Principal) -> None:
        """Nobody is anybody."""

    def record(self, stream: str, kind: str, data: Mapping[str, Any], actor: Actor) -> None:
        """Nothing is kept."""

    def watch(self, watcher: Watcher) -> None:
        """Nothing is to be seen."""

    def unwatch(self, watcher: Watcher) -> None:
        """Nothing was seen."""

    def websockets(self) -> int:
        """None."""
        return 0

    async def publish(
        self, actor: Actor, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, uplink: str | None = None
    ) -> None:
        """Nowhere."""

    async def listen(self, actor: Actor, topic: str, *, qos: int = 0, uplink: str | None = None) -> bytes:
        """Nothing comes."""
        return b""

    async def follow(
        self, topic: str, take: Callable[[bytes], None], begun: Callable[[], None], *, uplink: str, qos: int = 0
    ) -> None:
        """There is no other broker."""
        raise NotFound(uplink)

    def components(self) -> tuple[list[str], list[str], list[str]]:
        """Nothing."""
        return [], [], []

    def warn(self, about: str, text: str | None) -> None:
        """Nobody is shown it."""

    def configuration(self) -> Mapping[str, Any]:
        """Nothing is configured."""
        return {}

    def restart(self) -> None:
        """There is nothing to restart."""

    async def roll_log(self) -> None:
        """There is no log."""

    async def read_events(self, wanted: Excerpt) -> tuple[Sequence[Any], int]:
        """No events."""
        return [], 0

    def fold(self, kind: type[F]) -> F:
        """No fold."""
        raise NotFound(kind.name)

    async def fold_state(self, name: str, seq: int | None, time: float | None) -> Any:
        """No fold."""
        raise NotFound(name)

    async def ask_log(self, work: Callable[[EventLog], T]) -> T:
        """What is found in an empty log."""
        return work(MemoryLog())


class LogHost(NoHost):
    """A host that has at least the folds of the log."""

    def __init__(self, folds: Folds) -> None:
        self._folds = folds

    def fold(self, kind: type[F]) -> F:
        """A fold of an agent of the rig."""
        return self._folds.fold(kind)


@asynccontextmanager
async def bus_with(
    methods: dict[str, AnyMethod],
    *kinds: type[Agent],
    remote: Sequence[str] = (),
    data: Path = Path(),
    log: MemoryLog | None = None,
) -> AsyncIterator[Rig]:
    """A running bus with these agents, and places for remote ones; with a folder, what it knows is saved there."""
    journal_log = log or MemoryLog()
    async with Journal(journal_log) as journal, asyncio.TaskGroup() as tasks:
        rig = Rig(journal, methods)
        kept = {fold: kind.name for kind in kinds for fold in kind.folds}
        folds = Folds(journal_log, Snapshots(data, journal_log.epoch), [*kept])
        folds.restore(journal.head)
        LogPublisher(rig.bus, rig.topics, journal, folds, {kind.name: owner for kind, owner in kept.items()}).start()
        rig.router.recover(await journal.read(stream="commands", limit=1000))
        rig.exchange.add_listener(on_disconnect=lambda who: rig.router.closed(who.client_id))
        running = [tasks.create_task(rig.router.run(lambda: None), name="router")]
        supervisor = Supervisor(rig.exchange, rig.topics, data, journal, rig.router, LogHost(folds), MqttSettings())
        for name in remote:
            rig.router.expect(name)
        for kind in kinds:
            running.append(tasks.create_task(supervisor.keep(kind, kind.settings_model()), name=kind.name))
        await asyncio.sleep(0.01)
        try:
            yield rig
        finally:
            for task in running:
                task.cancel()
    if data != Path():
        folds.save()
