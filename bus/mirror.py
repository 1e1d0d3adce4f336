"""What goes up an uplink: which local messages are mirrored, and what the other broker has been given to keep."""

from collections.abc import Sequence

from .access import Identity, Role
from .exchange import Exchange
from .matching import Trie
from .message import Message
from .outbox import Outbox, Passing
from .session import LocalSession

FOREIGN = "uplink-"
"""How the client ids of uplinks begin on other brokers. What such a client brings goes no further: nothing circles."""


class Mirror:
    """Puts local messages that match the filters into the outbox, while it is `up`.

    State is read from the retained store when it is sent. What the `reader` may not read is left out, and so are
    requests, calls and what other hosts' uplinks have brought. The `status` of the instance always goes up.
    """

    def __init__(
        self, exchange: Exchange, reader: Identity, status: str, filters: Sequence[str], outbox: Outbox
    ) -> None:
        self.up = False
        self._exchange = exchange
        self._instance = exchange.rules.instance
        self._reader = reader
        self._status = status
        self._filters = tuple(dict.fromkeys([status, *filters]))
        self._outbox = outbox
        self._kept: set[str] = set()  # topics that the other broker retains because of us
        # It may subscribe to everything; the reader's rights, which can change, are looked at with each message.
        self._session = LocalSession(exchange, Identity(reader.client_id, Role.BUS, transport="local"), urgent=_at_once)
        for name in self._filters:
            self._session.subscribe(name, self._on_message)

    def resend(self, name: str | None = None) -> None:
        """Marks all state as changed, or what matches a valid filter, and what was cleared since it was last sent."""
        for each in self._filters:
            for entry in self._exchange.retained_store.match(each):
                if name is None or _matches(name, entry.topic):
                    self._outbox.mark(entry.topic)
        for topic in self._kept:
            if self._exchange.retained(topic) is None:
                self._outbox.mark(topic)

    def state(self, topic: str) -> bytes | None:
        """What the other broker is to retain for a topic now: empty to clear it, None for nothing to say."""
        entry = self._exchange.retained(topic)
        if entry is not None and self._goes_up(topic, entry.sender):
            self._kept.add(topic)
            return entry.payload
        if topic in self._kept:
            self._kept.discard(topic)
            return b""
        return None

    @property
    def own_filters(self) -> list[str]:
        """The filters under which the other broker can only have messages of this instance."""
        return [name for name in self._filters if name.startswith(f"{self._instance}/")]

    def found(self, topic: str) -> None:
        """The other broker retains a topic, perhaps since an earlier run: it is cleared unless that is state still."""
        if self._exchange.retained(topic) is None and self._goes_up(topic, self._reader):
            self._kept.add(topic)
            self._outbox.mark(topic)

    def close(self) -> None:
        """Leaves the local broker."""
        self._session.close()

    def _on_message(self, message: Message) -> None:
        topic = message.topic
        if not self.up or message.retain or not self._goes_up(topic, message.sender):
            return
        if topic in self._kept or self._exchange.retained(topic) is not None:
            self._outbox.mark(topic)
        else:
            self._outbox.add(Passing(topic, message.payload))

    def _goes_up(self, topic: str, sender: Identity) -> bool:
        if topic == self._status:
            return True
        first, _, rest = topic.partition("/")
        if rest.startswith(("moonraker/api/request", "rpc/")) or sender.client_id.startswith(FOREIGN):
            return False
        if first == self._instance and rest.startswith("uplink/"):
            return False
        return self._exchange.rules.may_receive(self._reader, topic)


def _at_once(_message: Message) -> bool:
    """All messages are handled in their delivery: it only notes them, and the bound is that of the outbox."""
    return True


def _matches(name: str, topic: str) -> bool:
    trie: Trie[int] = Trie()
    trie.add(name, 0)
    return bool(trie.match(topic))
