"""In-process clients of the broker: no socket, the same routing and access rules, a bounded inbox drained fairly."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from .access import Identity
from .drain import Handler, Lane
from .message import Message

if TYPE_CHECKING:
    from .exchange import Exchange

INBOX = 20_000
SHARED_PART = 8
"""One part in this many of an inbox is kept for senders other than the busiest."""


class Target:
    """One handler of a local session, as the exchange sees it; `filters` counts the subscriptions that lead to it."""

    __slots__ = ("filters", "handler", "session")

    def __init__(self, session: "LocalSession", handler: Handler) -> None:
        self.session = session
        self.handler = handler
        self.filters = 0


class LocalSession:
    """A client inside the broker's process; handlers are plain functions and run one at a time on the loop.

    `urgent` messages skip the inbox: their handler runs inside the delivery. When the inbox is full `overflow` gets the
    message instead; without it the message is dropped and counted. `qos` is that of publications that name none.
    """

    def __init__(
        self,
        exchange: "Exchange",
        identity: Identity,
        *,
        qos: int = 0,
        inbox: int = INBOX,
        urgent: Callable[[Message], bool] | None = None,
        overflow: Callable[[Message], None] | None = None,
    ) -> None:
        self.identity = identity
        self._exchange = exchange
        self._qos = qos
        self._room = inbox
        self._room_per_sender = inbox - inbox // SHARED_PART
        self._urgent = urgent
        self._overflow = overflow
        self._waiting = 0
        self._lanes: dict[str, Lane] = {}
        self._targets: dict[Handler, Target] = {}
        self._filters: dict[str, list[Target]] = {}
        self._closed = False
        exchange.open_local(self)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which handlers run."""
        return self._exchange.loop

    @property
    def waiting(self) -> int:
        """Messages in the inbox."""
        return self._waiting

    def subscribe(self, filter: str, handler: Handler) -> None:
        """Call `handler` for each matching message, once however many of its filters match; retained ones come first.

        Raises ValueError for a malformed filter, PermissionError when the rules refuse it.
        """
        target = self._targets.get(handler) or Target(self, handler)
        self._exchange.subscribe_local(target, filter)
        self._targets[handler] = target
        known = self._filters.setdefault(filter, [])
        if target not in known:
            known.append(target)
            target.filters += 1

    def unsubscribe(self, filter: str) -> None:
        """Remove every handler of this filter; unknown filters are ignored."""
        for target in self._filters.pop(filter, ()):
            self._exchange.unsubscribe_local(target, filter)
            target.filters -= 1
            if not target.filters:
                del self._targets[target.handler]

    def publish(self, topic: str, payload: bytes, *, qos: int | None = None, retain: bool = False) -> None:
        """Publish; raises PermissionError when the rules refuse it, ValueError for a malformed topic."""
        if qos is None:
            qos = self._qos
        if not self._exchange.publish(self.identity, topic, payload, qos=qos, retain=retain):
            raise PermissionError(f"{self.identity.client_id} may not publish on {topic}")

    def heard(self, topic: str) -> bool:
        """Whether anybody would get what is published on a topic, so that it is worth making."""
        return self._exchange.heard(topic)

    def close(self) -> None:
        """Unsubscribe from everything and drop what is in the inbox."""
        if self._closed:
            return
        self._closed = True
        for name in list(self._filters):
            self.unsubscribe(name)
        for lane in self._lanes.values():
            lane.items.clear()
        self._lanes.clear()
        self._waiting = 0
        self._exchange.close_local(self)

    def deliver(self, handler: Handler, message: Message) -> None:
        """Put a message into the inbox, or treat it as urgent or too much; for the exchange."""
        if self._urgent is not None and self._urgent(message):
            self._exchange.drain.call(handler, message)
            return
        sender = message.sender.client_id
        lane = self._lanes.get(sender)
        if self._waiting >= self._room or (lane is not None and len(lane.items) >= self._room_per_sender):
            self._refuse(message)
            return
        self._waiting += 1
        if lane is None:
            lane = self._lanes[sender] = Lane(sender, self._taken)
            lane.items.append((handler, message))
            self._exchange.drain.add(lane)
        else:
            lane.items.append((handler, message))

    def _taken(self, lane: Lane) -> None:
        self._waiting -= 1
        if not lane.items:
            del self._lanes[lane.sender]

    def _refuse(self, message: Message) -> None:
        self._exchange.counters.inbox_dropped += 1
        if self._overflow is not None:
            self._exchange.drain.call(self._overflow, message)
