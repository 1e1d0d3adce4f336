"""Keeps the agents of this process alive: each in a task group of its own, restarted alone when it fails."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from .access import Identity, Role
from .agent import Agent, Host, Settings
from .calls import Caller, Received
from .envelope import NULL, dumps
from .exchange import Exchange
from .journal import Journal
from .log import NewEvent
from .mandate import Mandate
from .message import Message
from .mqtt_settings import MqttSettings
from .ports import LocalPort
from .router import Router
from .session import LocalSession
from .topics import Topics

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.5  # seconds until a failed agent is started again
MAX_BACKOFF = 30.0
STEADY = 60.0  # seconds of life after which the back-off starts anew
GROUP = "printbus.agents"


def agent_names() -> list[str]:
    """All installed agents."""
    return [found.name for found in entry_points(group=GROUP)]


def agent_class(name: str) -> type[Agent]:
    """The class of an installed agent; raises LookupError."""
    for found in entry_points(group=GROUP, name=name):
        loaded: type[Agent] = found.load()
        return loaded
    raise LookupError(f"no agent is called '{name}'")


class LocalBus:
    """What an agent in the broker's process may do (bus.agent.Bus)."""

    def __init__(self, session: LocalSession, topics: Topics, data: Path, journal: Journal, mqtt: MqttSettings) -> None:
        self.topics = topics
        self.data = data
        self.mqtt = mqtt
        self._session = session
        self._journal = journal
        self._caller: Caller | None = None  # of an agent that calls others

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publishes on a topic that belongs to the agent."""
        self._session.publish(topic, payload, retain=retain)

    def subscribe(self, topic_filter: str, handler: Callable[[str, bytes], None]) -> None:
        """Calls the handler with topic and payload of each message."""

        def deliver(message: Message) -> None:
            handler(message.topic, message.payload)

        self._session.subscribe(topic_filter, deliver)

    def follow(self, topic_filter: str, handler: Callable[[Received], None]) -> None:
        """Calls the handler with each message."""
        self._session.subscribe(topic_filter, handler)

    def append(
        self, stream: str, events: Sequence[NewEvent], *, append_id: UUID | None = None
    ) -> "asyncio.Future[int]":
        """Appends facts to the log."""
        return self._journal.append(stream, events, append_id=append_id)

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """The result of a method of any agent; raises BusError."""
        if self._caller is None:
            self._caller = Caller(self._session, self.topics, self._session.identity.client_id)
        return await self._caller.call(method, params, actor=mandate.as_json() if mandate else NULL)


def presence(name: str, boot: str, rows: Sequence[str]) -> bytes:
    """The retained document of a running agent."""
    return dumps({"alive": True, "name": name, "boot": boot, "version": version("printbus"), "methods": sorted(rows)})


def absence(boot: str) -> bytes:
    """The retained document of an agent that is gone; also its last will."""
    return dumps({"alive": False, "boot": boot})


class Supervisor:
    """Starts agents in one process and restarts those that fail."""

    def __init__(
        self,
        exchange: Exchange,
        topics: Topics,
        data: Path,
        journal: Journal,
        router: Router,
        host: Host,
        mqtt: MqttSettings,
    ) -> None:
        self._exchange = exchange
        self._topics = topics
        self._data = data
        self._journal = journal
        self._router = router
        self._host = host
        self._mqtt = mqtt
        self.boot = uuid4().hex
        self.failed: set[str] = set()

    async def keep(self, kind: type[Agent], settings: Settings) -> None:
        """Runs an agent until cancelled."""
        port = self._router.attach(kind.name)
        self._exchange.sessions.reserve(f"agent.{kind.name}")  # also while it is being restarted
        loop, stopped = asyncio.get_running_loop(), cast("asyncio.Task[None]", asyncio.current_task()).cancelling
        backoff = FIRST_BACKOFF
        while True:
            born = loop.time()
            try:
                await self._live(kind, settings, port)
            except* Exception as broken:
                self.failed.add(kind.name)
                log.error("agent %s failed and is restarted in %.1f s", kind.name, backoff, exc_info=broken)
            if stopped():  # what goes wrong while an agent is being stopped takes the place of its cancellation
                raise asyncio.CancelledError
            if loop.time() - born > STEADY:
                backoff = FIRST_BACKOFF
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF)

    async def _live(self, kind: type[Agent], settings: Settings, port: LocalPort) -> None:
        identity = Identity(f"agent.{kind.name}", Role.AGENT, f"agent:{self.boot}", transport="local")
        session = LocalSession(self._exchange, identity, qos=self._mqtt.default_qos)
        topic = self._topics.agent(kind.name)
        try:
            bus = LocalBus(session, self._topics, self._data, self._journal, self._mqtt)
            agent = kind(bus, settings, self._host)

            def started() -> None:
                port.agent = agent
                self.failed.discard(kind.name)
                session.publish(topic, presence(kind.name, self.boot, list(kind.rows)), retain=True)

            await agent.live(started)
        finally:
            port.agent = None
            session.publish(topic, absence(self.boot), retain=True)
            session.close()


def required_rows(kinds: Sequence[type[Agent]], methods: dict[str, Any]) -> None:
    """Raises RuntimeError unless each row of these agents is implemented exactly by its owner."""
    for kind in kinds:
        owned = {name for name, row in methods.items() if row.owner == kind.name}
        if owned != set(kind.rows):
            missing, foreign = sorted(owned - set(kind.rows)), sorted(set(kind.rows) - owned)
            raise RuntimeError(f"agent {kind.name}: not implemented: {missing}; not its own: {foreign}")
