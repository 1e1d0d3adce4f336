"""What stands between the log and the topics beside the broker: published events and folds, and what agents may see."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import orjson

from .accounts import FAILED
from .agent import Actor, Components, Connection, Watcher
from .directory import Directory
from .envelope import dumps
from .errors import InvalidParams, NotFound
from .exchange import Exchange
from .fold import Fold, Folds, as_of
from .guessing import Allowance
from .identity import Principal
from .journal import Journal
from .log import EventLog, Excerpt, NewEvent, StoredEvent
from .message import Message
from .program import Program
from .router import Router
from .session import LocalSession
from .standin import StandIn
from .supervisor import Supervisor
from .topics import Topics

F = TypeVar("F", bound=Fold)
T = TypeVar("T")


FAILURES = 60  # failed logins that are kept in a minute


class BrokerHost:
    """What the agents beside the broker can see (bus.agent.Host); components are listed by the agent they belong to."""

    def __init__(
        self,
        router: Router,
        standin: StandIn,
        journal: Journal,
        folds: Folds,
        components: Mapping[str, Sequence[str]],
        failed: Mapping[str, str],
        program: Program,
        directory: Directory,
    ) -> None:
        self.directory = directory
        self.supervisor: Supervisor | None = None
        self._router = router
        self.standin = standin
        self._journal = journal
        self._folds = folds
        self._named = components
        self._failed = failed
        self._program = program
        self._failures = Allowance(FAILURES)
        self._warnings: dict[str, str] = {}
        self._shown: tuple[frozenset[str], Components] | None = None

    def connections(self) -> Sequence[Connection]:
        """All clients that stay."""
        return list(self._router.connections)

    def identify(self, connection: Connection, identity: Mapping[str, str]) -> None:
        """Notes who a client is."""
        self._router.connections.identify(connection, identity)

    def become(self, connection: Connection, who: Principal) -> None:
        """A client has logged in, or lost its login."""
        self._router.standing.become(connection, who)

    def record(self, stream: str, kind: str, data: Mapping[str, Any], actor: Actor) -> None:
        """Appends a fact that nobody waits for; of failed logins only so many, as whoever likes can make them."""
        if kind == FAILED and not self._failures.take():
            return
        self._journal.append_lazy(stream, [NewEvent(kind, data, actor.as_dict())])

    def watch(self, watcher: Watcher) -> None:
        """Tells somebody about connections, until `unwatch`."""
        self._router.connections.watch(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Ends that."""
        self._router.connections.unwatch(watcher)

    def websockets(self) -> int:
        """How many of them are websockets."""
        return self._router.connections.websockets

    async def publish(
        self, actor: Actor, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, uplink: str | None = None
    ) -> None:
        """Publishes for somebody, here or on the broker of an uplink."""
        await self.standin.publish(actor, topic, payload, qos=qos, retain=retain, uplink=uplink)

    async def listen(self, actor: Actor, topic: str, *, qos: int = 0, uplink: str | None = None) -> bytes:
        """What is retained on a topic, or the next message there."""
        return await self.standin.listen(actor, topic, qos=qos, uplink=uplink)

    async def follow(
        self, topic: str, take: Callable[[bytes], None], begun: Callable[[], None], *, uplink: str, qos: int = 0
    ) -> None:
        """Hands over what comes on a topic of the broker of an uplink, until that is lost."""
        await self.standin.follow(topic, take, begun, uplink=uplink, qos=qos)

    def components(self) -> Components:
        """Names of what runs, names of what failed, and warnings."""
        away = self._router.away()
        down = frozenset(self.supervisor.failed if self.supervisor else ()) | away
        if self._shown is None or self._shown[0] != down:
            running = [part for name, parts in self._named.items() if name not in down for part in parts]
            failed = [*self._failed, *(part for name in sorted(down - away) for part in self._named[name])]
            self._shown = down, (running, failed, [*self._failed.values(), *self._warnings.values()])
        return self._shown[1]

    def warn(self, about: str, text: str | None) -> None:
        """Shows a warning, one for each thing it is about, or takes it back."""
        if text is None:
            self._warnings.pop(about, None)
        else:
            self._warnings[about] = text
        self._shown = None

    def configuration(self) -> Mapping[str, Any]:
        """What is configured, as `server.config` answers it."""
        return self._program.configuration()

    def restart(self) -> None:
        """Begins anew, once the caller has been answered."""
        self._program.restart()

    async def roll_log(self) -> None:
        """Begins a new file of the program's own log; raises OSError."""
        if self._program.log_file is None:
            raise OSError("The server writes no log file")
        await asyncio.to_thread(self._program.log_file.roll)

    async def read_events(self, wanted: Excerpt) -> tuple[Sequence[StoredEvent], int]:
        """Events of an excerpt, and the head of the log."""
        return await self._journal.excerpt(wanted), self._journal.head

    def fold(self, kind: type[F]) -> F:
        """A fold itself, kept current."""
        return self._folds.fold(kind)

    async def fold_state(self, name: str, seq: int | None, time: float | None) -> Any:
        """The state of a fold, now or as it was after an event or at a time; raises NotFound or InvalidParams."""
        kind = self._folds.kinds.get(name)
        if kind is None:
            raise NotFound(f"No fold is called {name}; known: {', '.join(self._folds.kinds)}")
        if seq is None and time is None:
            return self._folds.state(name)
        if seq is not None and time is not None:
            raise InvalidParams("Either seq or time says when, not both")
        return await self._journal.ask(partial(as_of, kind, seq=seq, time=time))

    async def ask_log(self, work: Callable[[EventLog], T]) -> T:
        """What `work` finds in the log, on the thread that reads it."""
        return await self._journal.ask(work)


def sweeper(session: LocalSession, exchange: Exchange, topics: Topics) -> Callable[[Message], None]:
    """Takes back what an agent has retained once it is gone, so that nobody mistakes it for the present.

    The printer's availability is left to the core agent, which says that it is out of reach.
    """

    def on_presence(message: Message) -> None:
        if orjson.loads(message.payload)["alive"]:
            return
        owner, spared = f"agent.{message.topic.rpartition('/')[2]}", (message.topic, topics.klippy_state)
        for stale in exchange.retained_store.match(f"{topics.instance}/#"):
            if stale.sender.client_id == owner and stale.topic not in spared:
                session.publish(stale.topic, b"", retain=True)

    return on_presence


class LogPublisher:
    """Publishes committed events in order, the folds that they changed, and the head of the log."""

    def __init__(
        self, session: LocalSession, topics: Topics, journal: Journal, folds: Folds, owners: Mapping[str, str]
    ) -> None:
        self._session = session
        self._topics = topics
        self._journal = journal
        self._folds = folds
        self._owners = owners

    def start(self) -> None:
        """Publishes what is, and from now on what is added."""
        for name, kind in self._folds.kinds.items():
            if kind.published:
                self._publish_fold(name)
        self._publish_head(self._journal.head)
        self._journal.on_commit(self._committed)

    def _committed(self, events: Sequence[StoredEvent]) -> None:
        changed = self._folds.feed(events)
        for event in events:
            topic = self._topics.event(event.stream, event.type)
            if self._session.heard(topic):
                self._session.publish(topic, dumps(shown(event)))
        for fold in changed:
            if fold.published:
                self._publish_fold(fold.name)
        self._publish_head(events[-1].seq)

    def _publish_fold(self, name: str) -> None:
        topic = self._topics.state(self._owners[name], name)
        self._session.publish(topic, dumps(self._folds.state(name)), retain=True)

    def _publish_head(self, seq: int) -> None:
        head = {"epoch": str(self._journal.epoch), "seq": seq}
        self._session.publish(self._topics.log_head, dumps(head), retain=True)


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
