"""An agent in a process of its own: the same agent, its bus reached over a socket."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from schemas import METHODS
from schemas.server import EVENTS_APPEND

from .agent import Actor, Agent, Call, Settings
from .calls import Caller, Received
from .client import BrokerUrl, RemoteSession
from .envelope import NULL, failure, loads, result
from .errors import BusError, Unavailable
from .log import NewEvent
from .mandate import Mandate
from .mqtt_settings import MqttSettings
from .ports import connection_of
from .supervisor import absence, presence
from .topics import Topics

log = logging.getLogger(__name__)

OUTBOX = 1000  # facts that wait for the log's owner; one more is refused
RETRY = 0.5  # seconds until facts are offered again


class RemoteBus:
    """What an agent outside the broker's process may do (bus.agent.Bus)."""

    def __init__(self, session: RemoteSession, topics: Topics, data: Path, mqtt: MqttSettings) -> None:
        self.topics = topics
        self.data = data
        self.mqtt = mqtt
        self._session = session
        self._caller = Caller(session, topics, session.client_id)
        self._retained: dict[str, bytes] = {}
        self._facts: deque[tuple[dict[str, Any], asyncio.Future[int]]] = deque()
        self._facts_ready = asyncio.Event()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publishes on a topic that belongs to the agent; retained state is sent again after a reconnect."""
        if retain and payload:
            self._retained[topic] = payload
        elif retain:
            self._retained.pop(topic, None)
        self._session.publish(topic, payload, qos=self.mqtt.default_qos, retain=retain)

    def subscribe(self, topic_filter: str, handler: Callable[[str, bytes], None]) -> None:
        """Calls the handler with topic and payload of each message."""

        def deliver(message: Received) -> None:
            handler(message.topic, message.payload)

        self._session.subscribe(topic_filter, deliver)

    def follow(self, topic_filter: str, handler: Callable[[Received], None]) -> None:
        """Calls the handler with each message."""
        self._session.subscribe(topic_filter, handler)

    def append(
        self, stream: str, events: Sequence[NewEvent], *, append_id: UUID | None = None
    ) -> "asyncio.Future[int]":
        """Hands facts to the log's owner; they wait in a bounded outbox while it is away."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if len(self._facts) >= OUTBOX:
            future.set_exception(Unavailable("Too many facts wait for the event log"))
            return future
        facts = [{"type": event.type, "data": event.data, "actor": event.actor} for event in events]
        self._facts.append(({"stream": stream, "events": facts, "append_id": str(append_id or uuid4())}, future))
        self._facts_ready.set()
        return future

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """The result of a method of any agent; raises BusError."""
        return await self._caller.call(method, params, actor=mandate.as_json() if mandate else NULL)

    async def deliver_facts(self) -> None:
        """Sends facts in order, each until it is recorded."""
        while True:
            await self._facts_ready.wait()
            self._facts_ready.clear()
            while self._facts:
                params, future = self._facts[0]
                try:
                    recorded = await self._caller.call(EVENTS_APPEND.name, params)
                except BusError as error:
                    if error.code in (Unavailable.code, 504, 507):
                        await asyncio.sleep(RETRY)
                        continue
                    outcome: int | BusError = error
                else:
                    outcome = recorded["seq"]
                self._facts.popleft()
                if future.cancelled():
                    continue
                if isinstance(outcome, BusError):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def restored(self) -> None:
        """The link is back: the broker may have forgotten what was retained."""
        self._caller.restored()
        for topic, payload in self._retained.items():
            self._session.publish(topic, payload, qos=self.mqtt.default_qos, retain=True)

    def lost(self) -> None:
        """The link is gone."""
        self._caller.lost()


class RemoteAgent:
    """Runs one agent against a broker elsewhere, until cancelled."""

    def __init__(
        self,
        kind: type[Agent],
        settings: Settings,
        broker: BrokerUrl,
        topics: Topics,
        data: Path,
        boot: str,
        mqtt: MqttSettings,
    ) -> None:
        self._kind = kind
        self._settings = settings
        self._topics = topics
        self._boot = boot
        self._session = RemoteSession(
            broker,
            f"agent.{kind.name}",
            will=(topics.agent(kind.name), absence(boot)),
            connected=self._connected,
            lost=self._lost,
        )
        self._bus = RemoteBus(self._session, topics, data, mqtt)
        self._agent = kind(self._bus, settings)
        self._welcome = asyncio.Event()

    async def run(self, started: Callable[[], None]) -> None:
        """Serves calls; `started` is called at the first connect. Raises Refused."""
        self._session.subscribe(self._topics.agent_call(self._kind.name), self._on_call)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._session.run(), name=f"{self._kind.name}: link")
            await self._welcome.wait()  # a second agent of one name must not touch anything before it is refused
            tasks.create_task(self._bus.deliver_facts(), name=f"{self._kind.name}: facts")
            tasks.create_task(self._agent.live(started), name=f"{self._kind.name}: life")

    def _connected(self) -> None:
        self._welcome.set()
        self._session.publish(
            self._topics.agent(self._kind.name),
            presence(self._kind.name, self._boot, list(self._kind.rows)),
            retain=True,
        )
        self._bus.restored()

    def _lost(self) -> None:
        log.warning("agent %s has lost its broker", self._kind.name)
        self._bus.lost()

    def _on_call(self, message: Received) -> None:
        if message.retain:
            return
        request = loads(message.payload)
        name, params = request["method"], request["params"]
        row = METHODS.find(name) or METHODS[name]
        call = Call(row, row.params.model_validate(params), Actor.from_dict(request["actor"]), None, params, asked=name)
        call.connection = connection_of(request, call)
        call.client = request["client"]
        request_id = b"%d" % request["id"]
        topic = self._topics.agent_answer(self._kind.name)

        def done(outcome: bytes | BusError) -> None:
            answer = failure(outcome, request_id) if isinstance(outcome, BusError) else result(outcome, request_id)
            self._session.publish(topic, answer)
            call.answered()

        self._agent.handle(call, done)
