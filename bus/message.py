"""The message as it travels between sessions of the broker."""

from .access import Identity

ENTRY_OVERHEAD = 100
"""Bytes counted for one place in a queue beside the message."""


class MessageRecord:
    """The number under which a message is stored, and how many places it has in stored sessions' lines."""

    __slots__ = ("number", "places")

    def __init__(self, number: int) -> None:
        self.number = number
        self.places = 0


class Message:
    """One publication; `retain` is true only when the retained store replays it to a new subscription."""

    __slots__ = ("dup", "packet_id", "payload", "qos", "queues", "record", "retain", "sender", "size", "topic")

    def __init__(
        self, topic: str, payload: bytes, qos: int, retain: bool, dup: bool, sender: Identity, packet_id: int = 0
    ) -> None:
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        """The sender's, 0 where it has none."""
        self.sender = sender
        self.size = len(topic) + len(payload) + ENTRY_OVERHEAD
        """What a place in a queue counts for."""
        self.queues = 0
        """In how many sessions' queues it waits; for their accounting."""
        self.record: MessageRecord | None = None

    def __repr__(self) -> str:
        return f"Message({self.topic!r}, {len(self.payload)} bytes, qos={self.qos}, from={self.sender.client_id!r})"
