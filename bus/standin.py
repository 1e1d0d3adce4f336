"""Publishing and listening in the place of callers, with their rights, on this broker or on those it is joined to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, partial
from itertools import count
from typing import Protocol

from .access import Identity, Role
from .agent import Actor
from .commits import Line
from .errors import Forbidden, InvalidParams, NotFound, Overloaded, Unavailable
from .exchange import Exchange
from .identity import Kind
from .matching import too_long, topic_fault
from .message import Message
from .origins import TEMPLATE
from .session import LocalSession
from .topics import Topics, group_request, is_own

MAX_LISTENING = 200  # callers who wait for a message; with one more, who has waited longest is sent away
MAX_PUBLISHING = 32  # messages on their way to other brokers; one more is refused
MAX_KNOWN = 1000  # callers whose identity is remembered
CONFIGURED = ("agent", "klipper", TEMPLATE)  # transports of what the owner's own configuration makes happen
OWNER = Identity("printbus.owner", Role.BUS, transport="bus")
GUEST = "bridge.guest"  # the client id of callers without one; it is reserved, so nothing private belongs to it


class OtherBroker(Protocol):
    """What is done for callers on a broker that this one is joined to; all of it raises Unavailable."""

    role: str | None  # the one that its clients have here

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Returns when that broker has the message."""

    async def first(self, topic: str, *, qos: int) -> bytes:
        """What is retained there, or the next message."""

    async def follow(self, topic: str, take: Callable[[bytes], None], begun: Callable[[], None], *, qos: int) -> None:
        """Hands over what comes there, until the connection is lost."""


class StandIn:
    """One for the whole instance; `uplinks` are set when they have been made."""

    def __init__(self, exchange: Exchange, topics: Topics, groups: Sequence[str]) -> None:
        self.uplinks: Mapping[str, OtherBroker] = {}
        self._exchange = exchange
        self._topics = topics
        self._group_requests = frozenset(map(group_request, groups))
        self._stored = _Stored(exchange.commits)
        self._known = lru_cache(MAX_KNOWN)(self._made)
        self._numbers = count(1)
        self._listening: dict[asyncio.Timeout, None] = {}  # in the order in which they began
        self._publishing = 0

    async def publish(
        self, actor: Actor, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, uplink: str | None = None
    ) -> None:
        """Publishes for a caller; returns when the broker has it, and with QoS 1 and 2 has stored what is to be.

        Raises InvalidParams for what is no topic, NotFound for an unknown uplink, Forbidden, Overloaded, Unavailable.
        """
        who, other = self._identity(actor), self._other(uplink)
        self._require_topic(topic)
        if is_own(self._topics.instance, topic) or topic in self._group_requests:
            raise Forbidden(f"'{topic}' belongs to the printer host")
        if not self._exchange.rules.may_publish(who, topic):
            raise Forbidden(f"The access rules do not let you publish on '{topic}'")
        if other is None:
            await self._publish_here(who, topic, payload, qos, retain)
        else:
            await self._publish_there(other, topic, payload, qos, retain)

    async def listen(self, actor: Actor, topic: str, *, qos: int = 0, uplink: str | None = None) -> bytes:
        """What is retained on a topic, or the next message there; raises as `publish`."""
        who, other = self._identity(actor), self._other(uplink)
        self._require_topic(topic)
        if not self._exchange.rules.may_receive(who, topic):
            raise Forbidden(f"The access rules do not let you read '{topic}'")
        return await self._turn(self._first(who, topic) if other is None else other.first(topic, qos=qos))

    async def follow(
        self, topic: str, take: Callable[[bytes], None], begun: Callable[[], None], *, uplink: str, qos: int = 0
    ) -> None:
        """Hands over what comes on a topic of another broker, for the owner of this one; never returns.

        `begun` is called once the subscription stands. Raises InvalidParams, NotFound, and Unavailable when it ends.
        """
        other = self._other(uplink)
        self._require_topic(topic)
        if other is not None:
            await other.follow(topic, take, begun, qos=qos)

    async def _publish_here(self, who: Identity, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        since = self._exchange.commits.mark
        self._exchange.publish(who, topic, payload, qos=qos, retain=retain)
        if retain and payload:
            kept = self._exchange.retained(topic)
            if kept is None or kept.payload is not payload:
                raise Unavailable("It was published, but the broker has no room to retain it")
        if qos:
            stored = asyncio.get_running_loop().create_future()
            self._stored.when_stored(since, partial(_settle, stored))
            await stored

    async def _publish_there(self, other: OtherBroker, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        if self._publishing >= MAX_PUBLISHING:
            raise Overloaded(f"{MAX_PUBLISHING} messages are on their way to other brokers already")
        self._publishing += 1
        try:
            await other.publish(topic, payload, qos=qos, retain=retain)
        finally:
            self._publishing -= 1

    async def _turn(self, work: Awaitable[bytes]) -> bytes:
        """Who asked over HTTP may have gone long ago, so it is not the newest that has to leave."""
        if len(self._listening) >= MAX_LISTENING:
            oldest = next(iter(self._listening))
            del self._listening[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(None) as turn:
                self._listening[turn] = None
                try:
                    return await work
                finally:
                    self._listening.pop(turn, None)
        except TimeoutError:
            raise Unavailable(f"More than {MAX_LISTENING} callers wait for messages") from None

    async def _first(self, who: Identity, topic: str) -> bytes:
        found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def on_message(message: Message) -> None:
            if not found.done() and self._exchange.rules.may_receive(who, topic):
                found.set_result(message.payload)

        name = f"printbus.listener.{next(self._numbers)}"
        session = LocalSession(self._exchange, Identity(name, Role.BUS, transport="local"))
        try:
            session.subscribe(topic, on_message)
            return await found
        finally:
            session.close()

    def _require_topic(self, topic: str) -> None:
        limits = self._exchange.limits
        fault = topic_fault(topic)
        if fault is None and too_long(topic, levels=limits.topic_levels, size=limits.topic_bytes):
            fault = f"a topic has at most {limits.topic_levels} levels and {limits.topic_bytes} bytes"
        if fault is not None:
            raise InvalidParams(f"Argument topic: {fault}")

    def _other(self, uplink: str | None) -> OtherBroker | None:
        if uplink is None:
            return None
        if uplink not in self.uplinks:
            raise NotFound(f"No uplink is called '{uplink}'; known: {', '.join(self.uplinks) or 'none'}")
        return self.uplinks[uplink]

    def _identity(self, actor: Actor) -> Identity:
        """Who a caller is to the access rules; what the owner has configured may do all but what nobody may."""
        if actor.transport in CONFIGURED:
            return OWNER
        if actor.transport != "mqtt":
            client = actor.client if actor.transport[:7] == "uplink:" else ""
            return self._known(actor.user, actor.kind, actor.transport, client)
        session = self._exchange.sessions.get(actor.client)
        if session is None:
            raise Unavailable("The client has gone")
        return session.identity

    def _made(self, user: str | None, kind: Kind, transport: str, client: str) -> Identity:
        through, _, uplink = transport.partition(":")
        role = self.uplinks[uplink].role if through == "uplink" else None
        name = f"uplink.{uplink}.{client}".rstrip(".") if through == "uplink" else GUEST
        return Identity(name, Role.CLIENT, user, transport=transport, roles=(role,) if role else (), kind=kind)


class _Stored(Line):
    """Those who wait for the disk; there is no connection behind them that could be cut."""

    def send(self, *parts: bytes) -> None:
        """Nothing is sent."""

    def cut(self, reason: str) -> None:
        """Nothing is cut."""


def _settle(stored: "asyncio.Future[None]") -> None:
    if not stored.done():
        stored.set_result(None)
