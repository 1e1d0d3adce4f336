"""A running broker for tests: the exchange, a listener on a free port, and clients that are dropped at the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bus.access import AccessRules, Authenticator, Identity, Role, TrustedNetworks
from bus.broker import Broker
from bus.clock import SYSTEM, Clock
from bus.exchange import Exchange
from bus.limits import Limits
from bus.listeners import BrokerSettings, Listener
from bus.lmdb_store import LmdbStore
from bus.message import Message
from bus.session import LocalSession
from bus.session_store import map_bytes
from tests.mqtt_wire import Clients, clients_of

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
LOOPS: tuple[LoopFactory, ...] = (uvloop.new_event_loop, asyncio.new_event_loop)


def play(scenario: Coroutine[Any, Any, None], loop_factory: LoopFactory = uvloop.new_event_loop) -> None:
    """Run a scenario on a fresh loop."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(scenario)


class Local:
    """A local session that keeps what it gets."""

    def __init__(self, exchange: Exchange, *filters: str, identity: Identity | None = None) -> None:
        self.session = LocalSession(exchange, identity or Identity("printbus.test", Role.BUS, transport="local"))
        self.messages: list[Message] = []
        for name in filters:
            self.session.subscribe(name, self.messages.append)

    @property
    def seen(self) -> list[tuple[str, bytes]]:
        """Topics and payloads in the order of arrival."""
        return [(message.topic, message.payload) for message in self.messages]


@dataclass
class Running:
    """What a scenario works with; `client(...)` opens one."""

    exchange: Exchange
    client: Clients
    address: tuple[str, int]

    def local(self, *filters: str) -> Local:
        """A trusted local session that subscribes to these filters."""
        return Local(self.exchange, *filters)


@contextlib.asynccontextmanager
async def running(
    *,
    limits: Limits | None = None,
    rules: AccessRules | None = None,
    authenticator: Authenticator | None = None,
    folder: Path | None = None,
    clock: Clock = SYSTEM,
) -> AsyncIterator[Running]:
    """A broker of the instance `i` with one tcp listener, which keeps what outlives it in a folder, if there is one."""
    store = LmdbStore.open(folder, map_bytes(limits or Limits())) if folder is not None else None
    exchange = Exchange(rules or AccessRules("i"), limits, store, clock)
    settings = BrokerSettings(listeners={"tcp": Listener(port=0)})
    async with contextlib.aclosing(exchange), Broker(exchange, authenticator or TrustedNetworks(), settings) as broker:
        address = broker.addresses[0]
        async with clients_of(address) as clients:
            yield Running(exchange, clients, address)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it waits for is in the broker, which has no event for it
            await asyncio.sleep(0.005)
