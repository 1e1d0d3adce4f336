"""The session state of one socket client: subscriptions, unacknowledged and waiting messages (section 3.1.2.4)."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from . import packets
from .access import Identity
from .commits import ALWAYS
from .counters import Counters
from .limits import Limits
from .message import ENTRY_OVERHEAD, Message
from .session_store import KeptSession

LARGEST_ID = 65_535


Sent = tuple[Message | None, int, int]
"""The message (None once PUBREC arrived), its QoS, and its position in the store (0 where that is not used)."""
Queued = tuple[Message, int, bytes, int]
"""The message, its QoS, the start of its packet, and its position in the store."""


class Link(Protocol):
    """The connection a session is attached to."""

    outbox: list[bytes]

    def send(self, *parts: bytes) -> None: ...
    def send_stored(self, since: int, *parts: bytes) -> None: ...
    def when_stored(self, since: int, work: Callable[[], None]) -> None: ...
    def flush(self) -> None: ...
    def cut(self, reason: str) -> None: ...
    def check(self, now: float) -> None: ...
    def superseded(self) -> None: ...


class Room:
    """What the queues of all sessions together may still take, in bytes; a message in many queues counts once."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, message: Message) -> bool:
        """Count a message that is put into one more queue, if it may be."""
        size = ENTRY_OVERHEAD if message.queues else message.size
        if self._left < size:
            return False
        self._left -= size
        message.queues += 1
        return True

    def give_back(self, message: Message) -> None:
        """Undo one `take`."""
        message.queues -= 1
        self._left += ENTRY_OVERHEAD if message.queues else message.size


class ClientSession:
    """One client's session state; `link` is its connection while there is one."""

    __slots__ = (
        "_counters", "_inflight", "_inflight_bytes", "_kept", "_last_id", "_limits", "_queue", "_queued_bytes", "_room",
        "clean", "filters", "identity", "left_at", "link", "received",
    )  # fmt: skip

    def __init__(
        self,
        identity: Identity,
        link: Link | None,
        *,
        clean: bool,
        limits: Limits,
        counters: Counters,
        room: Room,
        kept: KeptSession | None = None,
    ) -> None:
        self.identity = identity
        self.link = link
        self.clean = clean
        self.left_at = 0.0
        self.filters: dict[str, int] = {}
        self.received: set[int] = set()
        """Packet ids of incoming QoS 2 messages that are published but not yet released."""
        self._limits = limits
        self._counters = counters
        self._room = room
        self._kept = kept
        self._inflight: dict[int, Sent] = {}
        """Sent and unacknowledged, in order."""
        self._inflight_bytes = 0
        self._queue: deque[Queued] = deque()
        self._queued_bytes = 0
        self._last_id = 0

    @property
    def waiting(self) -> int:
        """Messages that are queued or unacknowledged."""
        return len(self._queue) + len(self._inflight)

    def deliver(self, message: Message, qos: int, head: bytes) -> None:
        """Send a QoS 1 or 2 message, whose packet starts with `head`, or queue it."""
        if self.link is not None and not self._queue and self._has_window():
            self._send(self.link, message, qos, head, 0)
        else:
            self._counters.inflight_waits += self.link is not None
            self._enqueue(message, qos, head)

    def _has_window(self) -> bool:
        # Large messages are held back sooner: what a client does not read yet is better kept once than in each socket.
        limits = self._limits
        return len(self._inflight) < limits.inflight and self._inflight_bytes < limits.inflight_bytes

    def _send(self, link: Link, message: Message, qos: int, head: bytes, position: int) -> None:
        inflight, packet_id = self._inflight, self._last_id % LARGEST_ID + 1
        while packet_id in inflight:
            packet_id = packet_id % LARGEST_ID + 1
        self._last_id = packet_id
        if self._kept is not None:
            position = self._kept.sent(position, message, qos, packet_id)
        inflight[packet_id] = (message, qos, position)
        self._inflight_bytes += message.size
        if position and qos == 2:
            link.send_stored(ALWAYS, head + packet_id.to_bytes(2, "big"), message.payload)
        else:
            link.send(head + packet_id.to_bytes(2, "big"), message.payload)

    def _enqueue(self, message: Message, qos: int, head: bytes, position: int = 0) -> bool:
        size, limits, queue = message.size, self._limits, self._queue
        fits = self._queued_bytes + size <= limits.offline_bytes and len(queue) < limits.offline_messages
        if fits and self._room.take(message):
            if not position and self._kept is not None:
                position = self._kept.sent(0, message, qos, 0)
            queue.append((message, qos, head, position))
            self._queued_bytes += size
            return True
        if self.link is None or not self.clean:  # who comes back to a full line could never catch up otherwise
            self._counters.queue_dropped += 1
        else:
            self._counters.slow_readers_cut += 1
            self.link.cut("too many messages wait for acknowledgement")
        return False

    def _dequeued(self, message: Message) -> None:
        self._queued_bytes -= message.size
        self._room.give_back(message)

    def fill(self) -> None:
        """Send what waits, as far as the window allows."""
        queue, link = self._queue, self.link
        while queue and link is not None and self._has_window():
            message, qos, head, position = queue.popleft()
            self._dequeued(message)
            self._send(link, message, qos, head, position)

    def keep_waiting(self, allowed: Callable[[str], bool]) -> None:
        """Drop queued and unacknowledged messages on topics that are no longer allowed."""
        self._forget_sent(allowed)
        queue, self._queue = self._queue, deque()
        for entry in queue:
            if allowed(entry[0].topic):
                self._queue.append(entry)
            else:
                self._counters.queue_dropped += 1
                self._dequeued(entry[0])
                self._forget(entry[3], entry[0])
        self.fill()

    def _forget_sent(self, allowed: Callable[[str], bool]) -> None:
        """Never repeat what may no longer be received; an exchange of QoS 2 is completed, which frees its id."""
        for packet_id, (message, qos, _) in list(self._inflight.items()):
            if message is None or allowed(message.topic):
                continue
            if qos == 2:
                self.arrived(packet_id)
            else:
                self._take_off(packet_id)
            self._counters.queue_dropped += 1

    def discard(self) -> None:
        """Drop everything, as the session ends."""
        for message, _, _, position in self._queue:
            self._dequeued(message)
            self._forget(position, message)
        self._queue.clear()
        for packet_id in list(self._inflight):
            self._take_off(packet_id)
        if self._kept is not None:
            self._kept.removed()
            self._kept = None

    def _take_off(self, packet_id: int) -> None:
        message, _, position = self._inflight.pop(packet_id)
        if message is not None:
            self._inflight_bytes -= message.size
        self._forget(position, message)

    def _forget(self, position: int, message: Message | None) -> None:
        if self._kept is not None:
            self._kept.gone(position, message)

    def save(self, left: float, *, urgent: bool) -> None:
        """Have a persistent session stored; `left` is the wall time at which its client left, 0 while it is here."""
        if self._kept is not None:
            self._kept.save(self.identity, self.filters, left, urgent=urgent)

    def restore(self, position: int, message: Message | None, qos: int, packet_id: int) -> None:
        """Put back what was stored of one place in the line; called in the order of positions."""
        if packet_id:
            self._inflight[packet_id] = (message, qos, position)
            self._inflight_bytes += message.size if message is not None else 0
        elif message is not None and not self._enqueue(message, qos, _head(message, qos), position):
            self._forget(position, message)

    def receive(self, packet_id: int) -> bool:
        """Note an incoming QoS 2 message; False when it is a repeated one."""
        if packet_id in self.received:
            return False
        self.received.add(packet_id)
        if self._kept is not None:
            self._kept.save_received(self.received)
        return True

    def release(self, packet_id: int) -> None:
        """PUBREL: the packet id of an incoming QoS 2 message may be used again."""
        if packet_id in self.received:
            self.received.discard(packet_id)
            if self._kept is not None:
                self._kept.save_received(self.received)

    def resume(self, link: Link, allowed: Callable[[str], bool]) -> None:
        """Attach a new connection: repeat what was not acknowledged, in order, then what waited (section 4.4)."""
        self.keep_waiting(allowed)
        self.link = link
        for packet_id, (message, qos, _) in self._inflight.items():
            if message is None:
                link.send_stored(ALWAYS, packets.acknowledge(packets.PUBREL, packet_id))
                continue
            head = _head(message, qos, dup=True) + packet_id.to_bytes(2, "big")
            if qos == 2:
                link.send_stored(ALWAYS, head, message.payload)
            else:
                link.send(head, message.payload)
        self.fill()

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK: a QoS 1 message arrived; `fill` is to follow."""
        entry = self._inflight.get(packet_id)
        if entry is not None and entry[1] == 1:
            self._take_off(packet_id)

    def arrived(self, packet_id: int) -> None:
        """PUBREC: a QoS 2 message arrived; from here on only its release is repeated."""
        entry = self._inflight.get(packet_id)
        if entry is not None and entry[1] == 2 and entry[0] is not None:
            if self._kept is not None:
                self._kept.released(entry[2], entry[0], packet_id)
            self._inflight_bytes -= entry[0].size
            self._inflight[packet_id] = (None, 2, entry[2])

    def completed(self, packet_id: int) -> None:
        """PUBCOMP: the exchange of a QoS 2 message is over; `fill` is to follow."""
        entry = self._inflight.get(packet_id)
        if entry is not None and entry[0] is None:
            self._take_off(packet_id)


def _head(message: Message, qos: int, *, dup: bool = False) -> bytes:
    topic = packets.encode_topic(message.topic)
    return packets.publish_head(topic, len(message.payload), qos, retain=message.retain, dup=dup)
