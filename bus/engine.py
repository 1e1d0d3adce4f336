"""One MQTT 3.1.1 connection from CONNECT on, independent of what carries its bytes."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from functools import partial
from time import perf_counter

from . import packets
from .access import Authenticator, Identity, Login, Refusal, Tls
from .client_session import ClientSession
from .commits import Line
from .conversation import Conversation
from .exchange import Exchange
from .matching import too_long, topic_fault
from .packets import Connect, Frames, PacketTooLarge, ProtocolError, UnsupportedVersion

KEEP_ALIVE_FACTOR = 1.5
"""Section 3.1.2.10."""
FOREVER = float("inf")
TURN_SECONDS = 0.001
"""How long one connection may keep the loop busy with what it sent before others have their turn."""
STRIDE = 32
"""Packets between two looks at the clock."""
HELD_PACKETS = 4
COPIED_BYTES = 4096
"""Parts that are on average larger are not joined, which would copy a payload for each of its receivers."""
logger = logging.getLogger(__name__)


def _nothing_queued() -> int:
    return 0


def _keep_feeding(_stop: bool) -> None:
    pass


class Connection(Line):
    """A connection; its owner feeds it bytes, tells it when the wire is lost, and writes what it is given.

    `write_parts` takes consecutive buffers, where the wire need not join them. `close` must end the wire after what was
    written; `queued` tells how many written bytes are still in memory; `pause` asks to feed no more (True) or again
    (False), and up to four packets' size that come nevertheless are kept.
    """

    def __init__(
        self,
        exchange: Exchange,
        authenticator: Authenticator,
        *,
        write: Callable[[bytes], None],
        write_parts: Callable[[list[bytes]], None] | None = None,
        close: Callable[[], None],
        address: str,
        transport: str = "mqtt",
        tls: Tls | None = None,
        queued: Callable[[], int] = _nothing_queued,
        pause: Callable[[bool], None] = _keep_feeding,
    ) -> None:
        super().__init__(exchange.commits)
        self.outbox: list[bytes] = []
        self.identity: Identity | None = None
        self._exchange = exchange
        self._authenticator = authenticator
        self._write = write
        self._write_parts = write_parts
        self._close_wire = close
        self._queued = queued
        self._pause = pause
        self._address = address
        self._transport = transport
        self._tls = tls
        self._limits = exchange.limits
        self._counters = exchange.counters
        self._frames = Frames(exchange.limits.first_packet_bytes)
        self._session: ClientSession | None = None
        self._conversation: Conversation | None = None
        self._will: packets.Will | None = None
        self._login: asyncio.Future[Identity | Refusal] | None = None
        self._held = bytearray()
        self._paused = False
        self._seen = exchange.loop.time()
        self._patience = exchange.limits.first_packet_seconds
        self._closed = False
        self._admitted = exchange.sessions.admit(self, address)
        if not self._admitted:
            self._end()

    # From the wire

    def feed(self, data: bytes) -> None:
        """Take received bytes; a violation of the protocol or a limit ends the connection."""
        if self._closed:
            return
        self._counters.bytes_received += len(data)
        if self._paused:
            self._hold(data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            self._handle(data)
        except PacketTooLarge:
            self._counters.packets_too_large += 1
            self.cut("packet too large")
        except UnsupportedVersion:
            self._counters.unsupported_versions += 1
            # The 3.1.1 form: MQTT 5 clients (paho, mosquitto) know it and can fall back.
            self._refuse(Refusal.VERSION)
        except ProtocolError as error:
            self._counters.protocol_errors += 1
            self.cut(str(error))

    def _handle(self, data: bytes) -> None:
        count, acknowledged, end_of_turn = 0, None, perf_counter() + TURN_SECONDS
        for first, buffer, start, body, end in self._frames.feed(data):
            count += 1
            conversation = self._conversation
            if conversation is None:
                self._on_first(first, buffer[body:end])
            elif first >> 4 == packets.PUBLISH:
                conversation.on_publish(first, buffer, start, body, end)
            elif first == packets.PUBACK and end - body == 2:
                acknowledged = conversation.session
                acknowledged.acknowledged(buffer[body] << 8 | buffer[body + 1])
            else:
                conversation.on_packet(first, buffer[body:end])
            if self._closed:
                return
            if self._login is not None or (not count % STRIDE and perf_counter() > end_of_turn):
                self._stop(buffer[end:])
                break
        if acknowledged is not None:
            acknowledged.fill()
        if count:
            self._counters.packets_received += count
            self._seen = self._exchange.loop.time()

    def _stop(self, rest: bytes) -> None:
        """Take no more until the login is answered, or until others had their turn."""
        self._held += rest
        self._paused = True
        self._pause(True)
        if self._login is None:
            self._exchange.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._closed:
            return
        self._paused = False
        held, self._held = bytes(self._held), bytearray()
        if held:
            self._take(held)
        if not self._paused and not self._closed:
            self._pause(False)

    def _hold(self, data: bytes) -> None:
        """Keep what comes although it is not wanted yet, within bounds."""
        limits = self._limits
        room = HELD_PACKETS * limits.packet_bytes if self._conversation else limits.first_packet_bytes
        if len(self._held) + len(data) > room:
            self._counters.packets_too_large += 1
            self.cut("sends more than can be taken")
        else:
            self._held += data

    def lost(self) -> None:
        """The wire is gone: take what came before, publish the will unless there was a DISCONNECT, and leave."""
        while self._held and self._conversation is not None and not self._closed:
            self._go_on()
        if not self._closed:
            self._closed = True
            self._leave()

    # To the wire

    def send(self, *parts: bytes) -> None:
        """Queue packets, or consecutive parts of one, for the end of this turn of the loop."""
        if not self.outbox:
            self._exchange.mark(self)
        self.outbox.extend(parts)

    def flush(self) -> None:
        """Write the outbox; a reader that has too much queued is cut."""
        outbox, self.outbox = self.outbox, []
        if self._closed or not outbox:
            return
        if len(outbox) == 1:
            self._counters.bytes_sent += len(outbox[0])
            self._write(outbox[0])
        else:
            self._write_all(outbox)
        if self._queued() > self._limits.queued_bytes:
            self._counters.slow_readers_cut += 1
            self.cut("does not read what it subscribed to")

    def _write_all(self, parts: list[bytes]) -> None:
        size = sum(map(len, parts))
        self._counters.bytes_sent += size
        if size > COPIED_BYTES * len(parts) and self._write_parts is not None:
            self._write_parts(parts)
        else:
            self._write(b"".join(parts))

    def check(self, now: float) -> None:
        """End a connection that kept silent for too long."""
        if now - self._seen <= self._patience:
            return
        if self._session is None:
            self._counters.first_packet_timeouts += 1
        else:
            self._counters.keep_alive_timeouts += 1
        self.cut("silent for too long")

    def cut(self, reason: str) -> None:
        """End the connection without more ado; the will is published."""
        if self._closed:
            return
        client = self.identity.client_id if self.identity else "a client that is not logged in"
        logger.info("cut %s from %s: %s", client, self._address or "nowhere", reason)
        self._end()

    def superseded(self) -> None:
        """Another connection takes over the session."""
        self.cut("taken over by a new connection")

    def finish(self) -> None:
        """End the connection as the client asked; its will is void (section 3.14.4)."""
        self._will = None
        self._end()

    def _end(self) -> None:
        """Close the wire after what is queued so far."""
        if self.outbox:
            self._write(b"".join(self.outbox))
            self.outbox.clear()
        self._closed = True
        self._close_wire()
        self._leave()

    def _leave(self) -> None:
        if self._login is not None:
            self._login.cancel()
        if self._admitted:
            self._exchange.sessions.dismiss(self, self._address)
        session, identity = self._session, self.identity
        if session is None or identity is None:
            return
        self._session = self._conversation = None
        self._exchange.sessions.leave(session)
        if self._will is not None:
            self._publish_will(self._will, identity)

    def _publish_will(self, will: packets.Will, identity: Identity) -> None:
        self._counters.wills += 1
        self._exchange.publish(identity, will.topic, will.payload, qos=will.qos, retain=will.retain)

    # Logging in

    def _on_first(self, first: int, body: bytes) -> None:
        if first != packets.CONNECT:
            raise ProtocolError(f"packet 0x{first:02x} before CONNECT")
        connect = packets.read_connect(body)
        if connect.will is not None:
            self._check_will(connect.will)
        client_id = connect.client_id
        if (not client_id and not connect.clean) or len(client_id.encode()) > self._limits.client_id_bytes:
            self._refuse(Refusal.CLIENT_ID)
            return
        self._exchange.sessions.heard(self, self._address)
        client_id = client_id or f"auto-{secrets.token_hex(8)}"
        login = Login(client_id, connect.user, connect.password, self._address, self._transport, self._tls)
        answer = self._authenticator.authenticate(login)
        if isinstance(answer, Identity | Refusal):
            self._open(connect, answer)
        else:
            self._login = asyncio.ensure_future(answer)
            self._login.add_done_callback(lambda done: self._on_login(connect, done))

    def _check_will(self, will: packets.Will) -> None:
        if fault := topic_fault(will.topic):
            raise ProtocolError(fault)
        if too_long(will.topic, levels=self._limits.topic_levels, size=self._limits.topic_bytes):
            raise ProtocolError("the topic of the will is too long")

    def _on_login(self, connect: Connect, login: asyncio.Future[Identity | Refusal]) -> None:
        self._login = None
        self._seen = self._exchange.loop.time()
        if self._closed or login.cancelled():
            return
        if error := login.exception():
            logger.error("authentication failed", exc_info=error)
            self._refuse(Refusal.UNAVAILABLE)
            return
        self._open(connect, login.result())
        self._go_on()

    def _open(self, connect: Connect, answer: Identity | Refusal) -> None:
        if isinstance(answer, Refusal):
            self._refuse(answer)
            return
        opened = self._exchange.sessions.open(self, answer, clean=connect.clean)
        if isinstance(opened, Refusal):
            self._refuse(opened)
            return
        session, present = opened
        self.identity, self._session, self._will = answer, session, connect.will
        self._conversation = Conversation(self._exchange, answer, session, self)
        self._patience = connect.keep_alive * KEEP_ALIVE_FACTOR or FOREVER
        self._frames.limit = self._limits.packet_bytes
        self._counters.connects += 1
        self.send(packets.connack(0, present=present))
        if present:
            session.resume(self, partial(self._exchange.rules.may_receive, answer))
        self._exchange.sessions.announce(answer)

    def _refuse(self, code: Refusal) -> None:
        if code is Refusal.CLIENT_ID:
            self._counters.client_ids_refused += 1
        elif code is not Refusal.VERSION:
            self._counters.logins_refused += 1
        self.send(packets.connack(code))
        self._end()
