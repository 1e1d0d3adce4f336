"""The wire of an agent: a bus that records what the agent says and hands it calls, as the router would."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from bus.agent import Actor, Agent, Call, Connection
from bus.calls import Received
from bus.envelope import dumps
from bus.errors import BusError, Unavailable
from bus.log import NewEvent
from bus.mandate import Mandate
from bus.mqtt_settings import MqttSettings
from bus.topics import Topics
from schemas import AnyMethod
from schemas.events import EVENTS

ALICE = Actor("alice", "websocket", "10.0.0.5")
WAIT = 20.0  # seconds


class RecordingBus:
    """Implements bus.agent.Bus; `failing` makes appends raise."""

    def __init__(self, data: Path, mqtt: MqttSettings | None = None) -> None:
        self.topics = Topics("rig")
        self.data = data
        self.mqtt = mqtt or MqttSettings()
        self.published: list[tuple[str, bytes, bool]] = []
        self.retained: dict[str, Any] = {}
        self.events: list[tuple[str, NewEvent]] = []
        self.failing: BusError | None = None
        self.handlers: dict[str, Callable[[str, bytes], None]] = {}
        self.results: dict[str, Any] = {}  # results of the methods of other agents
        self.followers: dict[str, Callable[[Received], None]] = {}
        self._appended: set[UUID] = set()
        self._changed = asyncio.Event()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Records a message."""
        assert isinstance(payload, bytes)
        self.published.append((topic, payload, retain))
        if retain and payload:
            self.retained[topic] = orjson.loads(payload)
        elif retain:
            self.retained.pop(topic, None)
        self._changed.set()

    def subscribe(self, topic_filter: str, handler: Callable[[str, bytes], None]) -> None:
        """Others speak through `say`."""
        self.handlers[topic_filter] = handler

    def follow(self, topic_filter: str, handler: Callable[[Received], None]) -> None:
        """Others speak through `deliver`."""
        self.followers[topic_filter] = handler

    def deliver(self, message: Received) -> None:
        """A message of somebody else's for who follows its topic."""
        self.followers[message.topic](message)

    def say(self, topic: str, payload: Any = None, *, to: str = "") -> None:
        """A message of somebody else's (bytes as they are, other values as JSON, None empty), for the filter `to`."""
        body = payload if isinstance(payload, bytes) else b"" if payload is None else orjson.dumps(payload)
        self.handlers[to or topic](topic, body)

    def append(self, stream: str, events: Sequence[NewEvent], *, append_id: UUID | None = None) -> asyncio.Future[int]:
        """Records events; those of an append that is repeated only once."""
        return asyncio.ensure_future(self._once(stream, events, append_id))

    async def call(self, method: str, params: Any = None, *, mandate: Mandate | None = None) -> Any:
        """What `results` holds; for other methods nobody is there."""
        if method in self.results:
            return self.results[method]
        raise Unavailable(f"nobody answers {method}")

    async def _once(self, stream: str, events: Sequence[NewEvent], append_id: UUID | None) -> int:
        if append_id in self._appended:
            return len(self.events)
        head = await self._append(stream, events)
        if append_id is not None:
            self._appended.add(append_id)
        return head

    async def _append(self, stream: str, events: Sequence[NewEvent]) -> int:
        if self.failing is not None:
            raise self.failing
        for event in events:
            dumps({"data": event.data, "actor": event.actor})
            if event.type in EVENTS:
                EVENTS[event.type].data.model_validate(event.data)
            self.events.append((stream, event))
        self._changed.set()
        return len(self.events)

    def messages(self, topic: str) -> list[Any]:
        """What was published on a topic, parsed; None for an empty payload."""
        return [orjson.loads(payload) if payload else None for name, payload, _ in self.published if name == topic]

    def notifications(self) -> list[tuple[str, Any]]:
        """Name and params of all notifications, in order."""
        prefix = self.topics.notify("")
        parsed = [orjson.loads(payload) for topic, payload, _ in self.published if topic.startswith(prefix)]
        return [(message["method"], message.get("params")) for message in parsed]

    def facts(self, stream: str) -> list[tuple[str, dict[str, Any]]]:
        """Type and data of the events of a stream, in order."""
        return [(event.type, dict(event.data)) for name, event in self.events if name == stream]

    async def until(self, condition: Callable[[], object], seconds: float = WAIT) -> None:
        """Waits until something that was published or appended makes the condition true."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def start_call(
    agent: Agent,
    row: AnyMethod,
    params: Any = None,
    actor: Actor = ALICE,
    *,
    asked: str = "",
    connection: Connection | None = None,
) -> "asyncio.Future[Any]":
    """The future answer (parsed) of one call; params are validated as the router does."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(outcome: bytes | BusError) -> None:
        if isinstance(outcome, BusError):
            future.set_exception(outcome)
        else:
            future.set_result(orjson.loads(bytes(outcome)))

    given = params or {}
    agent.handle(Call(row, row.params.model_validate(given), actor, connection, given, asked=asked), done)
    return future


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[None]:
    """The agent lives for as long as the context; fails when the agent does."""
    started = asyncio.Event()
    task = asyncio.create_task(agent.live(started.set), name="agent")
    await started.wait()
    try:
        yield
        assert not task.done(), "the agent has ended"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
