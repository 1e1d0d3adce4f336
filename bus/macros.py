"""Remote methods: what agents let gcode macros call, which agent has which name, and how a call gets to it."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

import orjson

from schemas.printer import GCODE_RESPONSE

from .agent import Bus
from .envelope import dumps, notification
from .errors import BusError

log = logging.getLogger(__name__)

DOCUMENT = "remote_methods"  # the state document in which an agent lists what it offers
MAX_RUNNING = 32  # calls of one agent that have not ended; one more is refused on the console

Arguments = dict[str, Any]
Handler = Callable[[Arguments], Awaitable[None] | None]


class Offers:
    """All names on offer; the agent that was first with a name has it, and `added` is told of each that is new."""

    def __init__(self, bus: Bus, added: Callable[[str], object] = lambda name: None) -> None:
        self._bus = bus
        self._added = added
        self._by_agent: dict[str, Sequence[str]] = {}

    def start(self) -> None:
        """Follows what agents say from now on."""
        self._bus.subscribe(self._bus.topics.state("+", DOCUMENT), self._on_document)

    def names(self) -> list[str]:
        """Everything that can be called."""
        return list(dict.fromkeys(name for names in self._by_agent.values() for name in names))

    def owner(self, name: str) -> str | None:
        """The agent that answers to a name."""
        return next((agent for agent, names in self._by_agent.items() if name in names), None)

    def _on_document(self, topic: str, payload: bytes) -> None:
        agent, known = topic.split("/")[2], set(self.names())
        methods = orjson.loads(payload)["methods"] if payload else []
        if methods:
            self._by_agent[agent] = methods
        else:
            self._by_agent.pop(agent, None)
        for name in methods:
            if name not in known:
                self._added(name)
            elif (owner := self.owner(name)) != agent:
                log.warning("the remote method %s of the agent %s is not used: %s has one", name, agent, owner)


class Macros:
    """The methods of one agent for gcode macros, for as long as the block lasts; errors go to Klipper's console.

    A handler gets the arguments as they stand in the macro; it may be a coroutine function.
    """

    def __init__(self, bus: Bus, agent: str) -> None:
        self._bus = bus
        self._agent = agent
        self._handlers: dict[str, Handler] = {}
        self._running = 0
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._bus.subscribe(self._bus.topics.agent_macro(self._agent), self._on_call)
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._tasks.__aexit__(*error)

    def offer(self, name: str, handler: Handler) -> None:
        """Lets macros call a method by this name."""
        self._handlers[name] = handler
        self._publish()

    def withdraw(self, name: str) -> None:
        """Takes an offer back."""
        if self._handlers.pop(name, None) is not None:
            self._publish()

    def _publish(self) -> None:
        document = dumps({"methods": list(self._handlers)})
        self._bus.publish(self._bus.topics.state(self._agent, DOCUMENT), document, retain=True)

    def _on_call(self, _topic: str, payload: bytes) -> None:
        call = orjson.loads(payload)
        name, handler = call["method"], self._handlers.get(call["method"])
        if handler is None:
            return complain(self._bus, name, "it is not offered any more")
        if self._running >= MAX_RUNNING:
            return complain(self._bus, name, f"{MAX_RUNNING} calls of the agent '{self._agent}' have not ended")
        self._running += 1
        self._tasks.create_task(self._run(name, handler, call["params"]), name=f"{self._agent}: macro {name}")
        return None

    async def _run(self, name: str, handler: Handler, arguments: Arguments) -> None:
        try:
            ended = handler(arguments)
            if inspect.isawaitable(ended):
                await ended
        except BusError as error:
            complain(self._bus, name, error.message)
        except Exception:
            log.exception("the remote method %s failed", name)
            complain(self._bus, name, "Internal error")
        finally:
            self._running -= 1


def complain(bus: Bus, name: str, reason: str) -> None:
    """Shows on the console why a macro's call came to nothing: nobody waits for its answer."""
    log.warning("remote method %s: %s", name, reason)
    line = f"!! Remote method '{name}': {reason}"
    bus.publish(bus.topics.notify(GCODE_RESPONSE.name), notification(GCODE_RESPONSE.name, [line]))
