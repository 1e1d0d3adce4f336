"""Open connections, and the sessions of socket clients by client id: take-over, persistence, expiry, shared timing."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from .access import Identity, Refusal
from .client_session import ClientSession, Link, Room
from .session_store import KeptSession, StoredSession

if TYPE_CHECKING:
    from .exchange import Exchange

SWEEP_SECONDS = 0.5
logger = logging.getLogger(__name__)

Listener = Callable[[Identity], None]


class Registry:
    """All socket sessions of one exchange, its open connections, and the client ids local sessions hold."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._by_id: dict[str, ClientSession] = {}
        self._offline: dict[str, ClientSession] = {}
        """Sessions without a connection, the one that left first at the front."""
        self._reserved: dict[str, int] = {}
        self._room = Room(exchange.limits.offline_bytes_total)
        self._links: set[Link] = set()
        self._addresses: dict[str, int] = {}
        self._silent: dict[str, dict[Link, None]] = {}
        """Connections without a CONNECT, by address, the oldest first."""
        self._listeners: list[tuple[Listener | None, Listener | None]] = []
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, client_id: str) -> ClientSession | None:
        """The session of a client id, connected or not."""
        return self._by_id.get(client_id)

    def all(self) -> list[ClientSession]:
        """All sessions, connected or not."""
        return list(self._by_id.values())

    @property
    def connected(self) -> int:
        """Sessions with a connection."""
        return len(self._by_id) - len(self._offline)

    @property
    def offline(self) -> int:
        """Persistent sessions without a connection."""
        return len(self._offline)

    def add_listener(self, on_connect: Listener | None, on_disconnect: Listener | None) -> None:
        """Be told of connects and disconnects."""
        self._listeners.append((on_connect, on_disconnect))

    def reserve(self, client_id: str) -> None:
        """Keep a client id from socket clients while a local session has it."""
        self._reserved[client_id] = self._reserved.get(client_id, 0) + 1

    def release(self, client_id: str) -> None:
        """Undo one `reserve`."""
        self._reserved[client_id] -= 1
        if not self._reserved[client_id]:
            del self._reserved[client_id]

    # Connections

    def admit(self, link: Link, address: str) -> bool:
        """Count a new connection; False when there are too many."""
        counters, limits = self._exchange.counters, self._exchange.limits
        if len(self._links) >= limits.connections:
            counters.connections_over_limit += 1
            return False
        if self._addresses.get(address, 0) >= limits.connections_per_address:
            counters.connections_over_address_limit += 1
            return False
        self._links.add(link)
        self._addresses[address] = self._addresses.get(address, 0) + 1
        silent = self._silent.setdefault(address, {})
        silent[link] = None
        if len(silent) > limits.silent_per_address:
            counters.silent_cut += 1
            next(iter(silent)).cut("others wait to log in")
        self._watch()
        return True

    def heard(self, link: Link, address: str) -> None:
        """A connection has sent its CONNECT."""
        silent = self._silent.get(address, {})
        silent.pop(link, None)
        if not silent:
            self._silent.pop(address, None)

    def _watch(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._exchange.loop.call_later(SWEEP_SECONDS, self._sweep)

    def dismiss(self, link: Link, address: str) -> None:
        """A connection that was admitted has ended."""
        self._links.discard(link)
        self.heard(link, address)
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    @property
    def links(self) -> list[Link]:
        """All open connections, logged in or not."""
        return list(self._links)

    def close_all(self) -> None:
        """End every connection, as at shutdown."""
        for link in self.links:
            link.cut("the broker stops")

    def _sweep(self) -> None:
        now = self._exchange.loop.time()
        for link in self.links:
            link.check(now)
        self._expire(now)
        self._sweeping = bool(self._links or self._offline)
        if self._sweeping:
            self._exchange.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _expire(self, now: float) -> None:
        oldest_allowed = now - self._exchange.limits.offline_seconds
        for session in list(self._offline.values()):
            if session.left_at > oldest_allowed:
                return
            self._exchange.counters.sessions_expired += 1
            self._remove(session)

    # Sessions

    def open(self, link: Link, identity: Identity, *, clean: bool) -> tuple[ClientSession, bool] | Refusal:
        """The session for a new connection and whether it was there before, after any take-over (section 3.1.2.4)."""
        exchange, client_id = self._exchange, identity.client_id
        if client_id in self._reserved:
            return Refusal.CLIENT_ID
        old = self._by_id.get(client_id)
        if old is not None and not exchange.rules.may_take_over(old.identity, identity, live=old.link is not None):
            return Refusal.CLIENT_ID
        if old is not None and old.link is not None:
            exchange.counters.takeovers += 1
            old.link.superseded()
            old = self._by_id.get(client_id)
        if old is not None and not clean and not old.clean:
            return self._reopen(old, link, identity), True
        if old is not None:
            self._remove(old)
        store = exchange.session_store
        session = self._make(identity, link, clean, store.session() if store is not None and not clean else None)
        session.save(0, urgent=False)
        return session, False

    def _make(self, identity: Identity, link: Link | None, clean: bool, kept: KeptSession | None) -> ClientSession:
        limits, counters = self._exchange.limits, self._exchange.counters
        session = ClientSession(
            identity, link, clean=clean, limits=limits, counters=counters, room=self._room, kept=kept
        )
        self._by_id[identity.client_id] = session
        return session

    def restore(self, kept: KeptSession, found: StoredSession) -> ClientSession:
        """A session as it was stored, without a connection; called in the order in which their clients left."""
        session = self._make(found.owner, None, False, kept)
        session.filters.update(found.filters)
        session.received.update(found.received)
        for place in found.line:
            session.restore(*place)
        session.left_at = self._exchange.loop.time() - found.seconds_away
        self._offline[found.owner.client_id] = session
        self._watch()
        return session

    def _reopen(self, session: ClientSession, link: Link, identity: Identity) -> ClientSession:
        self._offline.pop(identity.client_id, None)
        session.identity = identity
        session.save(0, urgent=False)
        self._exchange.changed()
        return session

    def announce(self, identity: Identity) -> None:
        """Tell the listeners that a client has connected."""
        for on_connect, _ in self._listeners:
            _tell(on_connect, identity)

    def leave(self, session: ClientSession) -> None:
        """The connection of a session has ended: keep a persistent session, forget a clean one."""
        session.link = None
        if session.filters:
            self._exchange.changed()
        if session.clean:
            self._remove(session)
        else:
            self._keep(session)
        for _, on_disconnect in self._listeners:
            _tell(on_disconnect, session.identity)

    def _keep(self, session: ClientSession) -> None:
        session.left_at = self._exchange.loop.time()
        session.save(self._exchange.clock.wall(), urgent=False)
        self._offline[session.identity.client_id] = session
        if len(self._offline) > self._exchange.limits.offline_sessions:
            self._exchange.counters.sessions_refused += 1
            self._remove(session)

    def expel(self, session: ClientSession) -> None:
        """Whose session it is has no right to it any more: end its connection, and forget it."""
        if session.link is not None:
            session.link.cut("its user or key is gone")
        if self._by_id.get(session.identity.client_id) is session:
            self._remove(session)

    def _remove(self, session: ClientSession) -> None:
        client_id = session.identity.client_id
        if session.filters:
            self._exchange.forget(session)
        session.discard()
        self._offline.pop(client_id, None)
        if self._by_id.get(client_id) is session:
            del self._by_id[client_id]


def _tell(listener: Listener | None, identity: Identity) -> None:
    if listener is None:
        return
    try:
        listener(identity)
    except Exception:
        logger.exception("a listener failed for %s", identity.client_id)
