"""Routing between the sessions of one broker: who gets a message, and what is written at the end of a loop turn."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from . import packets
from .access import AccessRules, Identity
from .client_session import ClientSession, Link
from .clock import SYSTEM, Clock
from .commits import Commits, Store
from .counters import Counters
from .drain import Drain
from .limits import Limits
from .matching import Trie, filter_fault, too_long, topic_fault
from .message import Message
from .registry import Registry
from .replay import Replays, Steps
from .retained import Retained, RetainedStore
from .route import Route
from .session import LocalSession, Target
from .session_store import SessionStore
from .system_topics import ROOT, SystemTopics

CACHED_ROUTES = 8192
LONGEST_TOPIC = 65_535
LARGEST_PAYLOAD = 268_435_455 - LONGEST_TOPIC - 4
"""What fits into one packet beside any topic (section 2.2.3)."""
logger = logging.getLogger(__name__)


class Exchange:
    """The heart of the broker; create it within a running loop."""

    def __init__(
        self,
        rules: AccessRules,
        limits: Limits | None = None,
        store: Store | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.rules = rules
        self.limits = limits or Limits()
        self.counters = Counters()
        self.retained_store = RetainedStore(self.limits)
        self.loop = asyncio.get_running_loop()
        self.clock = clock
        self.commits = Commits(self.loop, self.counters, store)
        self.session_store = SessionStore(self.commits, clock) if store is not None else None
        self.drain = Drain(self.loop, self.counters, self.flush)
        self.sessions = Registry(self)
        self._trie: Trie[ClientSession | Target] = Trie()
        self._version = 0
        self._routes: dict[str, Route] = {}
        self._routes_by_name: dict[bytes, Route] = {}
        self._dirty: list[Link] = []
        self._system = SystemTopics(self)
        self._replays = Replays(self.loop)
        if store is not None and self.session_store is not None:
            self._restore(self.session_store, store)

    def _restore(self, session_store: SessionStore, store: Store) -> None:
        retained, sessions = session_store.restore(store.found)
        store.found = []
        for entry in retained:
            if not self.retained_store.add(entry):
                session_store.retained(entry, None, 0)
        for kept, found in sessions:
            session = self.sessions.restore(kept, found)
            for name, qos in session.filters.items():
                self._trie.add(name, session, qos)

    async def aclose(self) -> None:
        """Store what has changed; nothing is stored afterwards."""
        await self.commits.aclose()

    # Publishing

    def heard(self, topic: str) -> bool:
        """Whether anybody would get what is published on a topic."""
        route = self._routes.get(topic) or self._add_route(topic)
        if route.version != self._version:
            self._refresh(route)
        return bool(route.targets or route.links or route.grants)

    def publish(
        self,
        sender: Identity,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
    ) -> bool:
        """Deliver to all subscribers; False when the rules refuse it, ValueError for a malformed topic."""
        if len(payload) > LARGEST_PAYLOAD:
            raise ValueError(f"a payload of {len(payload)} bytes")
        route = self._routes.get(topic) or self._add_route(topic)
        return self.forward(route, sender, payload, qos, retain, dup, packet_id)

    def route_of(self, name: bytes) -> Route | None:
        """The route of a topic as it stands in a packet; None when it is over a limit. Raises ProtocolError."""
        return self._routes_by_name.get(name) or self._add_named_route(name)

    def forward(
        self, route: Route, sender: Identity, payload: bytes, qos: int, retain: bool, dup: bool, packet_id: int = 0
    ) -> bool:
        """Deliver one publication along its route; False when the rules refuse it."""
        if not self._ready(route, sender):
            return False
        if retain:
            self._retain(route.topic, payload, qos, sender)
        self.counters.publishes += 1
        if route.targets or (qos and route.grants):
            message = Message(route.topic, payload, qos, False, dup, sender, packet_id)
            for target in route.targets:
                target.session.deliver(target.handler, message)
            if qos and route.grants:
                self._grant(route, message)
        links = route.links_at_zero if qos else route.links
        if links:
            self._spread(links, packets.publish_head(route.name, len(payload), 0) + payload)
        return True

    def relay(self, route: Route, sender: Identity, packet: bytes, payload: bytes) -> None:
        """Deliver a plain QoS 0 publication, whose received packet serves all socket subscribers as it is."""
        if not self._ready(route, sender):
            return
        self.counters.publishes += 1
        if route.targets:
            message = Message(route.topic, payload, 0, False, False, sender)
            for target in route.targets:
                target.session.deliver(target.handler, message)
        if route.links:
            self._spread(route.links, packet)

    def _ready(self, route: Route, sender: Identity) -> bool:
        if route.version != self._version:
            self._refresh(route)
        if id(sender) in route.senders:
            return True
        if not self.rules.may_publish(sender, route.topic):
            self.counters.publishes_refused += 1
            return False
        route.senders[id(sender)] = sender
        return True

    def _spread(self, links: tuple[Link, ...], packet: bytes) -> None:
        self.counters.deliveries += len(links)
        for link in links:
            if not link.outbox:
                self.mark(link)
            link.outbox.append(packet)

    def _grant(self, route: Route, message: Message) -> None:
        heads: list[bytes | None] = [None, None, None]
        self.counters.deliveries += len(route.grants)
        for session, granted in route.grants:
            qos = granted if granted < message.qos else message.qos
            head = heads[qos]
            if head is None:
                head = heads[qos] = packets.publish_head(route.name, len(message.payload), qos)
            session.deliver(message, qos, head)

    # Routes

    def _add_route(self, topic: str) -> Route:
        if fault := topic_fault(topic):
            raise ValueError(f"{fault}: {topic!r}")
        if len(topic.encode()) > LONGEST_TOPIC:
            raise ValueError("a topic of more than 65535 bytes")
        return self._cache(Route(topic))

    def _add_named_route(self, name: bytes) -> Route | None:
        topic = packets.read_text(name)
        if fault := topic_fault(topic):
            raise packets.ProtocolError(fault)
        if too_long(topic, levels=self.limits.topic_levels, size=self.limits.topic_bytes):
            self.counters.topics_refused += 1
            return None
        route = self._routes.get(topic) or self._cache(Route(topic))
        self._routes_by_name[name] = route
        return route

    def _cache(self, route: Route) -> Route:
        if len(self._routes) >= CACHED_ROUTES:
            self._forget_routes()
        self._routes[route.topic] = route
        return route

    def _forget_routes(self) -> None:
        self._routes.clear()
        self._routes_by_name.clear()
        self._version += 1

    def _refresh(self, route: Route) -> None:
        found = self._trie.match(route.topic)
        targets, links, links_at_zero, grants = [], [], [], []
        for subscriber, qos in found.items():
            if isinstance(subscriber, Target):
                if self.rules.may_receive(subscriber.session.identity, route.topic):
                    targets.append(subscriber)
            elif self.rules.may_receive(subscriber.identity, route.topic):
                if subscriber.link is not None:
                    links.append(subscriber.link)
                    if not qos:
                        links_at_zero.append(subscriber.link)
                if qos:
                    grants.append((subscriber, qos))
        route.targets, route.links = tuple(targets), tuple(links)
        route.links_at_zero, route.grants = tuple(links_at_zero), tuple(grants)
        route.senders.clear()
        route.version = self._version

    def set_rules(self, rules: AccessRules) -> None:
        """Put other rules in force at once, on open connections too; what waits for absent clients is checked later."""
        self.rules = rules
        self._forget_routes()
        for session in self.sessions.all():
            if session.link is not None:
                session.keep_waiting(partial(rules.may_receive, session.identity))

    def judge_anew(self) -> None:
        """People have changed: what they may do is looked at again, on open connections too."""
        self.rules.forget()
        self.set_rules(self.rules)

    def changed(self) -> None:
        """Make every route find its receivers anew before it is next used."""
        self._version += 1

    # Subscriptions

    @property
    def subscriptions(self) -> int:
        """Number of subscriptions of all sessions, local ones included."""
        return len(self._trie)

    def is_wanted(self, first_level: str) -> bool:
        """Whether some subscription's filter starts with this level."""
        return self._trie.has_first_level(first_level)

    def subscribe(self, session: ClientSession, name: str, qos: int) -> int:
        """Subscribe a socket client; the granted QoS, or 0x80 when refused."""
        if not self._acceptable(session, name):
            self.counters.filters_refused += 1
            return packets.SUBSCRIBE_FAILURE
        if name.startswith(ROOT):
            self._system.wanted()
        session.filters[name] = qos
        self._trie.add(name, session, qos)
        self._version += 1
        return qos

    def _acceptable(self, session: ClientSession, name: str) -> bool:
        limits = self.limits
        return not (
            filter_fault(name)
            or name.startswith("$share/")
            or too_long(name, levels=limits.topic_levels, size=limits.topic_bytes)
            or (name not in session.filters and len(session.filters) >= limits.filters)
            or not self.rules.may_subscribe(session.identity, name)
        )

    def unsubscribe(self, session: ClientSession, name: str) -> None:
        """Remove a subscription of a socket client; unknown ones are ignored."""
        if session.filters.pop(name, None) is not None:
            self._trie.discard(name, session)
            self._version += 1

    def forget(self, session: ClientSession) -> None:
        """Remove all subscriptions of a session that ends."""
        for name in session.filters:
            self._trie.discard(name, session)
        session.filters.clear()
        self._version += 1

    def replay(self, session: ClientSession, filters: Sequence[tuple[str, int]]) -> None:
        """Send the retained messages that match new subscriptions (section 3.3.1.3), soon if there are many."""
        if len(self.retained_store):
            self._replays.add(self._replay(session, filters))

    def _replay(self, session: ClientSession, filters: Sequence[tuple[str, int]]) -> Steps:
        link = session.link
        for name, qos in filters:
            for entry in self.retained_store.match(name):
                if session.link is not link or link is None:
                    return
                # One that was replaced meanwhile has been delivered as the subscription's first live message.
                if self.retained_store.get(entry.topic) is entry and self._is_readable(session.identity, entry):
                    _send_retained(session, link, entry, qos)
                yield

    def _is_readable(self, reader: Identity, entry: Retained) -> bool:
        """Whether a client may receive a retained message, and its sender still may publish it."""
        topic = entry.topic
        return self.rules.may_receive(reader, topic) and self.rules.may_publish(entry.sender, topic)

    # Local sessions

    def open_local(self, session: LocalSession) -> None:
        """Reserve the client id of a local session."""
        self.sessions.reserve(session.identity.client_id)

    def close_local(self, session: LocalSession) -> None:
        """Give the client id of a local session free."""
        self.sessions.release(session.identity.client_id)

    def subscribe_local(self, target: Target, name: str) -> None:
        """Subscribe a handler of a local session and replay what is retained."""
        if fault := filter_fault(name):
            raise ValueError(f"{fault}: {name!r}")
        identity = target.session.identity
        if not self.rules.may_subscribe(identity, name):
            raise PermissionError(f"{identity.client_id} may not subscribe to {name}")
        if name.startswith(ROOT):
            self._system.wanted()
        self._trie.add(name, target)
        self._version += 1
        for entry in self.retained_store.match(name):
            if self._is_readable(identity, entry):
                message = Message(entry.topic, entry.payload, entry.qos, True, False, entry.sender)
                target.session.deliver(target.handler, message)

    def unsubscribe_local(self, target: Target, name: str) -> None:
        """Remove a subscription of a local session."""
        self._trie.discard(name, target)
        self._version += 1

    # Retained messages

    def retained(self, topic: str) -> Retained | None:
        """The retained message of one topic."""
        return self.retained_store.get(topic)

    def _retain(self, topic: str, payload: bytes, qos: int, sender: Identity) -> None:
        old = self.retained_store.get(topic)
        if not self.retained_store.put(topic, payload, qos, sender):
            self.counters.retained_refused += 1
        elif self.session_store is not None:
            self.session_store.retained(old, self.retained_store.get(topic), qos)

    # Writing

    def mark(self, link: Link) -> None:
        """Have a connection write its outbox at the end of this turn of the loop."""
        if not self._dirty:
            self.loop.call_soon(self.flush)
        self._dirty.append(link)

    def flush(self) -> None:
        """Write all outboxes now."""
        dirty, self._dirty = self._dirty, []
        for link in dirty:
            try:
                link.flush()
            except Exception:
                # One broken wire must not keep back what the others have to send.
                logger.exception("writing failed")
                link.cut("writing failed")

    def add_listener(
        self,
        *,
        on_connect: Callable[[Identity], None] | None = None,
        on_disconnect: Callable[[Identity], None] | None = None,
    ) -> None:
        """Be told when a socket client has connected and when its connection has ended."""
        self.sessions.add_listener(on_connect, on_disconnect)


def _send_retained(session: ClientSession, link: Link, entry: Retained, granted: int) -> None:
    qos, payload = min(granted, entry.qos), entry.payload
    head = packets.publish_head(packets.encode_topic(entry.topic), len(payload), qos, retain=True)
    if qos:
        session.deliver(Message(entry.topic, payload, qos, True, False, entry.sender), qos, head)
    else:
        link.send(head, payload)
