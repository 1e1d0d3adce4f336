"""The session state of one socket client: subscriptions, unacknowledged and waiting messages (section 3.1.2.4)."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from . import packets
from .access import Identity
from .counters import Counters
from .limits import Limits
from .message import Message

LARGEST_ID = 65_535
ENTRY_OVERHEAD = 100
"""Bytes counted for one place in a queue beside the message."""


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload) + ENTRY_OVERHEAD


class Link(Protocol):
    """The connection a session is attached to."""

    outbox: list[bytes]

    def send(self, *parts: bytes) -> None: ...
    def flush(self) -> None: ...
    def cut(self, reason: str) -> None: ...
    def check(self, now: float) -> None: ...
    def superseded(self) -> None: ...


class Room:
    """What the queues of all sessions together may still take, in bytes; a message in many queues counts once."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = size

    def has(self, message: Message) -> bool:
        """Whether a message may be put into one more queue."""
        return self._left >= _size(message) or (message.queues > 0 and self._left >= ENTRY_OVERHEAD)

    def take(self, message: Message) -> None:
        """Count a message that was put into a queue."""
        self._left -= ENTRY_OVERHEAD if message.queues else _size(message)
        message.queues += 1

    def give_back(self, message: Message) -> None:
        """Undo one `take`."""
        message.queues -= 1
        self._left += ENTRY_OVERHEAD if message.queues else _size(message)


class ClientSession:
    """One client's session state; `link` is its connection while there is one."""

    __slots__ = (
        "_counters", "_inflight", "_last_id", "_limits", "_queue", "_queued_bytes", "_room",
        "clean", "filters", "identity", "left_at", "link", "received",
    )  # fmt: skip

    def __init__(
        self, identity: Identity, link: Link, *, clean: bool, limits: Limits, counters: Counters, room: Room
    ) -> None:
        self.identity = identity
        self.link: Link | None = link
        self.clean = clean
        self.left_at = 0.0
        self.filters: dict[str, int] = {}
        self.received: set[int] = set()
        """Packet ids of incoming QoS 2 messages that are published but not yet released."""
        self._limits = limits
        self._counters = counters
        self._room = room
        self._inflight: dict[int, tuple[Message, int] | None] = {}
        """Sent and unacknowledged, in order: the message and its QoS, or None once PUBREC arrived."""
        self._queue: deque[tuple[Message, int, bytes]] = deque()
        self._queued_bytes = 0
        self._last_id = 0

    @property
    def waiting(self) -> int:
        """Messages that are queued or unacknowledged."""
        return len(self._queue) + len(self._inflight)

    def deliver(self, message: Message, qos: int, head: bytes) -> None:
        """Send a QoS 1 or 2 message, whose packet starts with `head`, or queue it."""
        if self.link is None or self._queue or len(self._inflight) >= self._limits.inflight:
            self._enqueue(message, qos, head)
        else:
            self._send(self.link, message, qos, head)

    def _send(self, link: Link, message: Message, qos: int, head: bytes) -> None:
        inflight, packet_id = self._inflight, self._last_id % LARGEST_ID + 1
        while packet_id in inflight:
            packet_id = packet_id % LARGEST_ID + 1
        self._last_id = packet_id
        inflight[packet_id] = (message, qos)
        link.send(head, packet_id.to_bytes(2, "big"), message.payload)

    def _enqueue(self, message: Message, qos: int, head: bytes) -> None:
        size, limits = _size(message), self._limits
        fits = self._queued_bytes + size <= limits.offline_bytes and self._room.has(message)
        if fits and len(self._queue) < limits.offline_messages:
            self._queue.append((message, qos, head))
            self._queued_bytes += size
            self._room.take(message)
        elif self.link is None:
            self._counters.queue_dropped += 1
        else:
            self._counters.slow_readers_cut += 1
            self.link.cut("too many messages wait for acknowledgement")

    def _dequeued(self, message: Message) -> None:
        self._queued_bytes -= _size(message)
        self._room.give_back(message)

    def _fill(self) -> None:
        """Send what waits, as far as the window allows."""
        while self._queue and self.link is not None and len(self._inflight) < self._limits.inflight:
            message, qos, head = self._queue.popleft()
            self._dequeued(message)
            self._send(self.link, message, qos, head)

    def keep_waiting(self, allowed: Callable[[str], bool]) -> None:
        """Drop queued and unacknowledged messages on topics that are no longer allowed."""
        self._forget_sent(allowed)
        queue, self._queue = self._queue, deque()
        for message, qos, head in queue:
            if allowed(message.topic):
                self._queue.append((message, qos, head))
            else:
                self._counters.queue_dropped += 1
                self._dequeued(message)
        self._fill()

    def _forget_sent(self, allowed: Callable[[str], bool]) -> None:
        """Never repeat what may no longer be received; an exchange of QoS 2 is completed, which frees its id."""
        for packet_id, entry in list(self._inflight.items()):
            if entry is None or allowed(entry[0].topic):
                continue
            if entry[1] == 2:
                self._inflight[packet_id] = None
            else:
                del self._inflight[packet_id]
            self._counters.queue_dropped += 1

    def discard(self) -> None:
        """Drop everything that waits, as the session ends."""
        for message, _, _ in self._queue:
            self._dequeued(message)
        self._queue.clear()

    def resume(self, link: Link) -> None:
        """Attach a new connection: repeat what was not acknowledged, in order, then what waited (section 4.4)."""
        self.link = link
        for packet_id, entry in self._inflight.items():
            if entry is None:
                link.send(packets.acknowledge(packets.PUBREL, packet_id))
            else:
                message, qos = entry
                link.send(_repeated_head(message, qos), packet_id.to_bytes(2, "big"), message.payload)
        self._fill()

    def acknowledged(self, packet_id: int) -> None:
        """PUBACK: a QoS 1 message arrived."""
        entry = self._inflight.get(packet_id)
        if entry is not None and entry[1] == 1:
            del self._inflight[packet_id]
            if self._queue:
                self._fill()

    def arrived(self, packet_id: int) -> None:
        """PUBREC: a QoS 2 message arrived; from here on only its release is repeated."""
        entry = self._inflight.get(packet_id)
        if entry is not None and entry[1] == 2:
            self._inflight[packet_id] = None

    def completed(self, packet_id: int) -> None:
        """PUBCOMP: the exchange of a QoS 2 message is over."""
        if self._inflight.get(packet_id, self) is None:
            del self._inflight[packet_id]
            if self._queue:
                self._fill()


def _repeated_head(message: Message, qos: int) -> bytes:
    topic = packets.encode_topic(message.topic)
    return packets.publish_head(topic, len(message.payload), qos, retain=message.retain, dup=True)
