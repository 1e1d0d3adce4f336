"""The receivers of one topic, found once and used until subscriptions or rules change."""

from . import packets
from .access import Identity
from .client_session import ClientSession, Link
from .session import Target


class Route:
    """Who receives one topic, as of `version`; senders that may publish on it are remembered by id, and kept alive."""

    __slots__ = ("grants", "links", "links_at_zero", "name", "senders", "targets", "topic", "version")

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.name = packets.encode_topic(topic)
        self.version = -1
        self.senders: dict[int, Identity] = {}
        self.targets: tuple[Target, ...] = ()
        self.links: tuple[Link, ...] = ()
        """Connections of all subscribed socket clients, for messages of QoS 0."""
        self.links_at_zero: tuple[Link, ...] = ()
        """Those whose subscription has QoS 0, for messages of QoS 1 and 2."""
        self.grants: tuple[tuple[ClientSession, int], ...] = ()
        """Sessions with a subscription of QoS 1 or 2, connected or not."""
