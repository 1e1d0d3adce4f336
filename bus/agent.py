"""What an agent is: methods that answer rows of the table, a life, and the little that it may do on the bus."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from schemas import AnyMethod, Method, Notification, Params

from .calls import Received
from .directory import Directory
from .envelope import dumps, notification
from .errors import BusError, Internal, Unavailable
from .fold import Fold
from .identity import Kind, Principal
from .log import EventLog, Excerpt, NewEvent, StoredEvent
from .mandate import Mandate
from .mqtt_settings import MqttSettings
from .topics import Topics

log = logging.getLogger(__name__)

P = TypeVar("P", bound=Params)
R = TypeVar("R")
F = TypeVar("F", bound=Fold)
T = TypeVar("T")
Handler = Callable[..., Any]
Done = Callable[[bytes | BusError], None]
KEPT_ACTORS = 1000


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: the authenticated user, on which transport, from where (an address or a client id)."""

    user: str | None
    transport: str
    client: str
    kind: Kind = Kind.OWNER
    address: str = ""  # of a client that is not called by it
    may: frozenset[str] | None = field(default=None, compare=False)  # those of a mandate or an uplink; None: its own
    principal: Principal = field(init=False, compare=False, repr=False)  # who that is to the rules

    def __post_init__(self) -> None:
        named = self.kind in (Kind.USER, Kind.KEY)
        object.__setattr__(self, "principal", _principal(self.kind, self.user if named else None))

    @property
    def source(self) -> str:
        """The address that a login comes from."""
        return self.address or self.client

    def rights(self, directory: Directory) -> frozenset[str]:
        """What it may do at this moment."""
        return directory.rights(self.principal) if self.may is None else self.may

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Actor":
        """Whom a request names; somebody of no kind is nobody."""
        may = None if said.get("may") is None else frozenset(said["may"])
        return _actor(said.get("user"), str(said["transport"]), str(said["client"]), said.get("kind", Kind.NOBODY), may)

    def as_dict(self) -> dict[str, Any]:
        """The form that events keep."""
        kept = {"user": self.user, "transport": self.transport, "client": self.client}
        return kept | {"address": self.address} if self.address else kept

    def as_said(self) -> dict[str, Any]:
        """The form that requests carry."""
        said = {**self.as_dict(), "kind": self.kind}
        return said if self.may is None else {**said, "may": sorted(self.may)}


_principal = lru_cache(KEPT_ACTORS)(Principal)


@lru_cache(KEPT_ACTORS)
def _actor(user: str | None, transport: str, client: str, kind: str, may: frozenset[str] | None) -> Actor:
    return Actor(user, transport, client, Kind(kind), may=may)


SYSTEM = Actor(None, "bus", "printbus")


def _unreachable(_message: bytes) -> None:
    raise Unavailable("The client has no topic of its own on this broker")


@dataclass(slots=True)
class Connection:
    """A client that stays: a websocket, or the MQTT client of a private topic; `send` says something to it alone."""

    id: int
    client: str
    actor: Actor
    identity: Mapping[str, str] | None = None
    send: Callable[[bytes], None] = _unreachable


@dataclass(slots=True)
class Call:
    """One accepted command on its way to its agent."""

    method: AnyMethod
    params: Any
    actor: Actor
    connection: Connection | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)
    once: Mapping[str, Any] | None = None  # by what a repeat of it is known
    asked: str = ""  # the name that was called, where the row stands for many
    client: str = ""  # the client id of the session that it came through: topics with that name are its own
    then: list[Callable[[], None]] = field(default_factory=list)  # what happens once the answer has left

    @property
    def name(self) -> str:
        """The method's name as it was called."""
        return self.asked or self.method.name

    def answered(self) -> None:
        """The answer has left."""
        for follow in self.then:
            follow()


class Raw(bytes):
    """A result that is JSON already."""


Implementation = Callable[[Any, P, "Call"], R | Raw | Awaitable[R | Raw]]


class Settings(BaseModel):
    """The options of an agent: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def implements(row: Method[P, R]) -> Callable[[Implementation[P, R]], Implementation[P, R]]:
    """Marks the function that answers a row: `(self, params, call)`.

    It returns the result, a future of it, or is a coroutine function; results are what the row says, or Raw.
    """

    def mark(function: Implementation[P, R]) -> Implementation[P, R]:
        function.__printbus_row__ = row  # type: ignore[attr-defined]
        return function

    return mark


class Bus(Protocol):
    """What an agent may do on the bus, in the broker's process or in its own."""

    topics: Topics
    data: Path  # the instance's data folder on this machine
    mqtt: MqttSettings

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publishes on a topic that belongs to the agent."""

    def subscribe(self, topic_filter: str, handler: Callable[[str, bytes], None]) -> None:
        """Calls the handler with topic and payload of each message."""

    def follow(self, topic_filter: str, handler: Callable[[Received], None]) -> None:
        """Calls the handler with each message, for whom it matters which were there before."""

    def append(
        self, stream: str, events: Sequence[NewEvent], *, append_id: UUID | None = None
    ) -> "asyncio.Future[int]":
        """Appends facts to the log; resolves to their position once they are durable."""

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """The result of a method of any agent, with the rights of an agent or of a mandate; raises BusError."""


Components = tuple[list[str], list[str], list[str]]  # what runs, what failed, warnings


class Watcher(Protocol):
    """Who is told about connections; called during whatever causes it, so it must neither wait nor fail."""

    def identified(self, connection: Connection) -> None:
        """A client has said who it is."""

    def left(self, connection: Connection) -> None:
        """A client has gone."""

    def answered(self, connection: Connection, answer: Mapping[str, Any]) -> None:
        """A client has sent a JSON-RPC answer: to a request of ours, or out of nowhere."""


class Host(Protocol):
    """What only the agents beside the broker can see."""

    def connections(self) -> Sequence[Connection]:
        """All clients that stay."""

    def identify(self, connection: Connection, identity: Mapping[str, str]) -> None:
        """Notes who a client is: name, version, type and url."""

    @property
    def directory(self) -> Directory:
        """Users, keys and roles."""

    def become(self, connection: Connection, who: Principal) -> None:
        """A client has logged in, or lost its login."""

    def record(self, stream: str, kind: str, data: Mapping[str, Any], actor: Actor) -> None:
        """Appends a fact that nobody waits for."""

    def watch(self, watcher: Watcher) -> None:
        """Tells somebody about connections, until `unwatch`."""

    def unwatch(self, watcher: Watcher) -> None:
        """Ends that."""

    def websockets(self) -> int:
        """How many of them are websockets."""

    async def publish(
        self, actor: Actor, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, uplink: str | None = None
    ) -> None:
        """Publishes for somebody, here or on the broker of an uplink; returns when the broker has it.

        Raises Forbidden where they may not, InvalidParams, NotFound for an unknown uplink, Overloaded and Unavailable.
        """

    async def listen(self, actor: Actor, topic: str, *, qos: int = 0, uplink: str | None = None) -> bytes:
        """What is retained on a topic, or the next message there; raises as `publish`."""

    async def follow(
        self, topic: str, take: Callable[[bytes], None], begun: Callable[[], None], *, uplink: str, qos: int = 0
    ) -> None:
        """Hands over what comes on a topic of the broker of an uplink, until that is lost; `begun`: it is subscribed.

        Raises InvalidParams, NotFound for an unknown uplink, and Unavailable in the end.
        """

    def components(self) -> Components:
        """Names of what runs, names of what failed, and warnings."""

    def warn(self, about: str, text: str | None) -> None:
        """Shows a warning, one for each thing it is about, or takes it back."""

    def configuration(self) -> Mapping[str, Any]:
        """What is configured, as `server.config` answers it."""

    def restart(self) -> None:
        """Restarts the program, once the caller has been answered."""

    async def roll_log(self) -> None:
        """Begins a new file of the program's own log; raises OSError."""

    async def read_events(self, wanted: Excerpt) -> tuple[Sequence[StoredEvent], int]:
        """Events of an excerpt, and the head of the log."""

    def fold(self, kind: type[F]) -> F:
        """A fold of the log itself, kept current: what is appended shows in it before the append is done."""

    async def fold_state(self, name: str, seq: int | None, time: float | None) -> Any:
        """The state of a fold, now or as it was; raises NotFound."""

    async def ask_log(self, work: Callable[[EventLog], T]) -> T:
        """What `work` finds in the log, on the thread that reads it."""


class Agent:
    """Base of all agents: `run` is its life, `@implements` functions are its methods."""

    name: ClassVar[str]
    components: ClassVar[tuple[str, ...]] = ()  # what it is called in server.info
    beside_broker: ClassVar[bool] = False  # it needs a host, so it cannot run elsewhere
    optional: ClassVar[bool] = False  # a broken configuration disables it instead of ending the start
    settings_model: ClassVar[type[Settings]] = Settings
    folds: ClassVar[tuple[type[Fold], ...]] = ()  # kept beside the log, published as state documents
    rows: ClassVar[Mapping[str, tuple[AnyMethod, Handler]]] = {}

    @classmethod
    def lacks(cls) -> str | None:
        """What an optional agent cannot do without and this machine does not have, and what to do about it."""
        return None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        found = (value for base in reversed(cls.__mro__) for value in vars(base).values())
        marked = [function for function in found if hasattr(function, "__printbus_row__")]
        cls.rows = {row.name: (row, function) for function in marked for row in [function.__printbus_row__]}

    def __init__(self, bus: Bus, settings: Any, host: Host | None = None) -> None:
        self.bus = bus
        self.settings = settings
        self.host = host
        self.under_way = 0
        """Calls that a task is answering; a later one that needs none would overtake them."""
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """The agent's life; ends only by being cancelled."""
        await asyncio.Event().wait()

    async def live(self, started: Callable[[], None]) -> None:
        """Runs the agent and its requests in one task group, until cancelled or broken."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                tasks.create_task(self.run(), name=f"{self.name}: run")
                started()
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def handle(self, call: Call, done: Done) -> None:
        """Answers one call through `done`, at once where the method can."""
        function = self.rows[call.method.name][1]
        try:
            value = function(self, call.params, call)
        except BusError as error:
            return done(error)
        except Exception:
            log.exception("%s failed", call.method.name)
            return done(Internal("Internal error"))
        if inspect.iscoroutine(value):
            return self._start(call, value, done)
        if isinstance(value, asyncio.Future):
            return value.add_done_callback(lambda ended: done(_outcome(ended, call)))
        return done(_encoded(value))

    def _start(self, call: Call, work: Any, done: Done) -> None:
        if self._tasks is None:
            work.close()
            return done(Unavailable(f"Agent '{self.name}' is not running"))
        task = self._tasks.create_task(_guarded(work, call.method.name), name=f"{self.name}: {call.method.name}")
        self.under_way += 1

        def ended(task: asyncio.Task[Any]) -> None:
            self.under_way -= 1
            done(_outcome(task, call))

        task.add_done_callback(ended)

    def notify(self, what: Notification, params: list[Any] | None = None) -> None:
        """Broadcasts a notification to all clients."""
        self.bus.publish(self.bus.topics.notify(what.name), notification(what.name, params))


def after(work: Awaitable[Any], make: Callable[[], T]) -> Awaitable[T]:
    """What `make` gives once something is done; where that is a future, no task has to wait for it."""
    if not isinstance(work, asyncio.Future):
        return _after(work, make)
    answer: asyncio.Future[T] = work.get_loop().create_future()

    def done(ended: "asyncio.Future[Any]") -> None:
        if answer.done():  # nobody waits for it any more
            return
        try:
            ended.result()
            answer.set_result(make())
        except asyncio.CancelledError:
            answer.cancel()
        except Exception as error:
            answer.set_exception(error)

    work.add_done_callback(done)
    return answer


async def _after(work: Awaitable[Any], make: Callable[[], T]) -> T:
    await work
    return make()


async def _guarded(work: Awaitable[Any], name: str) -> Any:
    """The result, or the error as a value: an exception would end the agent's whole task group."""
    try:
        return await work
    except BusError as error:
        return error
    except Exception:
        log.exception("%s failed", name)
        return Internal("Internal error")


def _outcome(ended: "asyncio.Future[Any]", call: Call) -> bytes | BusError:
    if ended.cancelled():
        return Unavailable(f"Agent '{call.method.owner}' stopped")
    error = ended.exception()
    if error is None:
        value = ended.result()
        return value if isinstance(value, BusError) else _encoded(value)
    if isinstance(error, BusError):
        return error
    log.error("%s failed", call.method.name, exc_info=error)
    return Internal("Internal error")


def _encoded(value: Any) -> bytes:
    return value if isinstance(value, Raw) else dumps(value)
