"""How the router reaches an agent: in this process, or over the broker."""

from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

import orjson

from .agent import Agent, Call, Connection, Done
from .calls import CallFailed
from .envelope import dumps, split
from .errors import Unavailable


class Port(Protocol):
    """Takes calls for one agent."""

    def call(self, call: Call, done: Done) -> None:
        """Answers through `done`, exactly once."""


class LocalPort:
    """An agent in this process."""

    def __init__(self) -> None:
        self.agent: Agent | None = None

    def call(self, call: Call, done: Done) -> None:
        """Answers through `done`; Unavailable while the agent is not running."""
        if self.agent is None:
            return done(Unavailable(f"Agent '{call.method.owner}' is not running"))
        return self.agent.handle(call, done)


class RemotePort:
    """An agent in another process; `send` publishes on its call topic."""

    def __init__(self, name: str, send: Callable[[bytes], None]) -> None:
        self.name = name
        self._send = send
        self._numbers = count(1)
        self._waiting: dict[int, Done] = {}
        self.boot: str | None = None

    def call(self, call: Call, done: Done) -> None:
        """Answers through `done`; Unavailable while the agent is away."""
        if self.boot is None:
            return done(Unavailable(f"Agent '{self.name}' is not running"))
        number = next(self._numbers)
        self._waiting[number] = done
        self._send(_request(number, call))

    def answered(self, payload: bytes) -> None:
        """An answer of the agent has arrived."""
        number, success, body = split(payload)
        done = self._waiting.pop(number, None)
        if done is not None:
            done(body if success else CallFailed(orjson.loads(body)))

    def alive(self, boot: str) -> None:
        """The agent is there; another boot id means that it lost what it was doing."""
        if self.boot not in (None, boot):
            self.gone()
        self.boot = boot

    def gone(self) -> None:
        """The agent has left: everything that waits for it ends now."""
        self.boot = None
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(Unavailable(f"Agent '{self.name}' is gone"))


def _request(number: int, call: Call) -> bytes:
    message: dict[str, Any] = {
        "jsonrpc": "2.0",
        "method": call.name,
        "params": call.raw,
        "id": number,
        "actor": call.actor.as_said(),
        "client": call.client,
    }
    if call.connection is not None:
        message["connection"] = {"id": call.connection.id, "client": call.connection.client}
    return dumps(message)


def connection_of(message: dict[str, Any], call: Call) -> Connection | None:
    """The connection that a remote call carries."""
    known = message.get("connection")
    return None if known is None else Connection(known["id"], known["client"], call.actor)
