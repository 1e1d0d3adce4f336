"""What a logged-in client and the broker say to each other: publications, acknowledgements, subscriptions."""

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from . import packets
from .access import Identity
from .client_session import ClientSession, Link
from .commits import ALWAYS
from .exchange import Exchange
from .packets import ProtocolError
from .route import Route

PLAIN_PUBLISH = 0x30


class Speaker(Link, Protocol):
    """The connection of a conversation."""

    def finish(self) -> None: ...


class Conversation:
    """Handles the packets of one connection after CONNECT."""

    __slots__ = ("_commits", "_exchange", "_identity", "_link", "session")

    def __init__(self, exchange: Exchange, identity: Identity, session: ClientSession, link: Speaker) -> None:
        self._exchange = exchange
        self._identity = identity
        self.session = session
        self._link = link
        self._commits = exchange.commits

    def on_packet(self, first: int, body: bytes) -> None:
        """Any packet but PUBLISH and PUBACK; raises ProtocolError."""
        handler = HANDLERS.get(first)
        if handler is None:
            raise ProtocolError(f"unexpected packet 0x{first:02x}")
        handler(self, body)

    def on_publish(self, first: int, buffer: bytes, start: int, body: int, end: int) -> None:
        """A PUBLISH at these positions of a buffer, as `Frames` tells them."""
        identity = self._identity
        topic = body + 2
        if topic > end or (at := topic + (buffer[body] << 8 | buffer[body + 1])) > end:
            raise ProtocolError("PUBLISH is cut short")
        route = self._exchange.route_of(buffer[topic:at])
        if first == PLAIN_PUBLISH:
            if route is not None:
                self._exchange.relay(route, identity, buffer[start:end], buffer[at:end])
            return
        qos, dup = first >> 1 & 3, bool(first & 8)
        if qos == 0 and not dup:
            if route is not None:
                self._exchange.forward(route, identity, buffer[at:end], 0, bool(first & 1), False)
            return
        if qos in (0, 3) or at + 2 > end:
            raise ProtocolError("PUBLISH with contradictory flags or without packet id")
        self._on_reliable(first, route, buffer[at : at + 2], buffer[at + 2 : end])

    def _on_reliable(self, first: int, route: Route | None, raw_id: bytes, payload: bytes) -> None:
        """A publication with QoS 1 or 2: one that rules or limits refuse is acknowledged as well (section 3.3.5)."""
        packet_id, qos, session = int.from_bytes(raw_id, "big"), first >> 1 & 3, self.session
        if not packet_id:
            raise ProtocolError("packet id 0")
        since = self._commits.mark
        if qos == 2 and not session.receive(packet_id):
            since = ALWAYS
        elif route is not None:
            retain, dup = bool(first & 1), bool(first & 8)
            self._exchange.forward(route, self._identity, payload, qos, retain, dup, packet_id)
        self._link.send_stored(since, packets.acknowledge(packets.PUBREC if qos == 2 else packets.PUBACK, packet_id))

    def _on_pubrec(self, body: bytes) -> None:
        packet_id, since = packets.read_id(body), self._commits.mark
        self.session.arrived(packet_id)
        self._link.send_stored(since, packets.acknowledge(packets.PUBREL, packet_id))

    def _on_pubrel(self, body: bytes) -> None:
        packet_id, since = packets.read_id(body), self._commits.mark
        self.session.release(packet_id)
        self._link.send_stored(since, packets.acknowledge(packets.PUBCOMP, packet_id))

    def _on_pubcomp(self, body: bytes) -> None:
        self.session.completed(packets.read_id(body))
        self.session.fill()

    def _on_subscribe(self, body: bytes) -> None:
        packet_id, filters = packets.read_subscribe(body)
        since = self._commits.mark
        codes = [self._exchange.subscribe(self.session, name, qos) for name, qos in filters]
        granted = {name: code for (name, _), code in zip(filters, codes, strict=True)}
        accepted = [(name, code) for name, code in granted.items() if code != packets.SUBSCRIBE_FAILURE]
        if accepted:
            self.session.save(0, urgent=True)
        self._link.when_stored(since, partial(self._subscribed, packets.suback(packet_id, codes), accepted))

    def _subscribed(self, answer: bytes, accepted: list[tuple[str, int]]) -> None:
        self._link.send(answer)
        if self.session.link is self._link:
            self._exchange.replay(self.session, accepted)

    def _on_unsubscribe(self, body: bytes) -> None:
        packet_id, filters = packets.read_unsubscribe(body)
        since = self._commits.mark
        for name in filters:
            self._exchange.unsubscribe(self.session, name)
        self.session.save(0, urgent=True)
        self._link.send_stored(since, packets.unsuback(packet_id))

    def _on_pingreq(self, body: bytes) -> None:
        _expect_empty(body)
        self._link.send(packets.PINGRESP)

    def _on_disconnect(self, body: bytes) -> None:
        _expect_empty(body)
        self._link.finish()


def _expect_empty(body: bytes) -> None:
    if body:
        raise ProtocolError("a packet without fields has a body")


HANDLERS: Final[dict[int, Callable[[Conversation, bytes], None]]] = {
    packets.PUBREC: Conversation._on_pubrec,
    packets.PUBREL: Conversation._on_pubrel,
    packets.PUBCOMP: Conversation._on_pubcomp,
    packets.SUBSCRIBE: Conversation._on_subscribe,
    packets.UNSUBSCRIBE: Conversation._on_unsubscribe,
    packets.PINGREQ: Conversation._on_pingreq,
    packets.DISCONNECT: Conversation._on_disconnect,
}
"""What to do with all other packets a client sends, by their first byte: type and required flags (table 2.2)."""
