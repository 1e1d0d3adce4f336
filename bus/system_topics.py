"""`$SYS/broker/...`: the broker's counters as retained messages, kept current while somebody subscribes to them."""

from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING

from .access import Identity, Role

if TYPE_CHECKING:
    from .exchange import Exchange

ROOT = "$SYS"
REFRESH_SECONDS = 10.0
TRAFFIC = {
    "packets_received": "messages/received",
    "bytes_received": "bytes/received",
    "bytes_sent": "bytes/sent",
    "publishes": "publish/messages/received",
    "deliveries": "publish/messages/sent",
}
"""Counters under the names that mosquitto gave them; all others are `$SYS/broker/counters/{name}`."""


class SystemTopics:
    """Publishes what changed every ten seconds; without a subscription nothing runs."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._identity = Identity("printbus.broker", Role.BUS, transport="local")
        self._started = exchange.loop.time()
        self._published: dict[str, str] = {}
        self._running = False

    def wanted(self) -> None:
        """Somebody is about to subscribe: publish current values, and go on as long as there are subscribers."""
        self._publish()
        if not self._running:
            self._running = True
            self._exchange.loop.call_later(REFRESH_SECONDS, self._tick)

    def _tick(self) -> None:
        self._running = self._exchange.is_wanted(ROOT)
        if self._running:
            self._publish()
            self._exchange.loop.call_later(REFRESH_SECONDS, self._tick)

    def _publish(self) -> None:
        for name, value in self._values():
            if self._published.get(name) != value:
                self._published[name] = value
                self._exchange.publish(self._identity, f"{ROOT}/broker/{name}", value.encode(), retain=True)

    def _values(self) -> Iterator[tuple[str, str]]:
        exchange = self._exchange
        sessions = exchange.sessions
        yield "version", f"printbus {version('printbus')}"
        yield "uptime", f"{exchange.loop.time() - self._started:.0f} seconds"
        yield "clients/connected", str(sessions.connected)
        yield "clients/disconnected", str(sessions.offline)
        yield "clients/total", str(len(sessions))
        yield "subscriptions/count", str(exchange.subscriptions)
        yield "retained messages/count", str(len(exchange.retained_store))
        for field in fields(exchange.counters):
            value = getattr(exchange.counters, field.name)
            yield TRAFFIC.get(field.name, f"counters/{field.name}"), str(value)
