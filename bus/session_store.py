"""What of the broker's state outlives the process: clients' retained messages, and sessions with their queues."""

import logging
from collections.abc import Iterable
from functools import partial
from itertools import count
from typing import Any

from .access import Identity, Role
from .clock import Clock
from .commits import Commits
from .identity import Kind
from .limits import Limits
from .message import Message, MessageRecord
from .retained import Retained
from .stored_records import (
    MESSAGE,
    RECEIVED,
    RETAINED,
    SESSION,
    WAITING,
    key,
    numbers,
    place,
    seal,
    unseal,
)

CLOCK_IS_SET = 1_577_836_800.0
"""2020: a host without a clock of its own that has not yet been told the time believes in something earlier."""
EXACTLY_ONCE = 2
MAP_SLACK = 64 << 20

log = logging.getLogger(__name__)


class KeptSession:
    """The stored side of one persistent session."""

    __slots__ = ("_commits", "_count", "_received", "_saved", "number")

    def __init__(self, commits: Commits, count: "count[int]", number: int, *, saved: bool = False) -> None:
        self.number = number
        self._commits = commits
        self._count = count
        self._saved = self._received = saved

    def save(self, owner: Identity, filters: dict[str, int], left: float, *, urgent: bool) -> None:
        """Whom the session belongs to, what it subscribes to, and when its client left (wall time; 0: it is here)."""
        name = key(SESSION, self.number)
        record = partial(_seal_session, name, owner, dict(filters), left)
        self._commits.put(name, record, urgent=urgent, new=not self._saved)
        self._saved = True

    def save_received(self, ids: Iterable[int]) -> None:
        """The packet ids of incoming QoS 2 messages that are not released."""
        name, now = key(RECEIVED, self.number), sorted(ids)
        self._commits.put(name, partial(seal, name, now) if now else None, urgent=True)
        self._received = True

    def sent(self, position: int, message: Message, qos: int, packet_id: int) -> int:
        """A message goes to the client, or with packet id 0 into its queue; its position, which is new if it was 0."""
        new = not position
        position = position or next(self._count)
        if new:
            self._add_place(message)
        number = message.record.number if message.record is not None else 0
        name = place(self.number, position)
        record = partial(seal, name, [number, qos, packet_id, 0])
        # A QoS 2 message must come under one packet id, whatever happens; one of QoS 1 may come again under another.
        self._commits.put(name, record, urgent=new or qos == EXACTLY_ONCE, new=new)
        return position

    def _add_place(self, message: Message) -> None:
        if message.record is None:
            message.record = MessageRecord(next(self._count))
        record = message.record
        record.places += 1
        if record.places == 1:
            name = key(MESSAGE, record.number)
            self._commits.put(name, partial(_seal_message, name, message), urgent=True, new=True)

    def released(self, position: int, message: Message, packet_id: int) -> None:
        """PUBREC has come: only the packet id is still needed."""
        name = place(self.number, position)
        self._commits.put(name, partial(seal, name, [0, EXACTLY_ONCE, packet_id, 1]), urgent=True)
        self._forget_place(message)

    def gone(self, position: int, message: Message | None) -> None:
        """A place is free."""
        self._commits.remove(place(self.number, position), urgent=False)
        if message is not None:
            self._forget_place(message)

    def _forget_place(self, message: Message) -> None:
        record = message.record
        if record is None:
            return
        record.places -= 1
        if not record.places:
            self._commits.remove(key(MESSAGE, record.number), urgent=False)
            message.record = None

    def removed(self) -> None:
        """The session has ended; its places are freed one by one."""
        if self._received:
            self._commits.put(key(RECEIVED, self.number), None, urgent=True)
        self._commits.remove(key(SESSION, self.number), urgent=True)


class StoredSession:
    """A session as it was found at start."""

    def __init__(self, owner: Identity, filters: dict[str, int], seconds_away: float) -> None:
        self.owner = owner
        self.filters = filters
        self.seconds_away = seconds_away
        """How long the client has been away, by the wall clock; 0 where that had not been told the time."""
        self.received: list[int] = []
        self.line: list[tuple[int, Message | None, int, int]] = []
        """Position, message (None once PUBREC has come), QoS and packet id (0: not sent) of each place, in order."""


class SessionStore:
    """Keeps records of what clients retain and of persistent sessions; what agents retain is not its business."""

    def __init__(self, commits: Commits, clock: Clock) -> None:
        self._clock = clock
        self._commits = commits
        self._count = count(1)

    def session(self) -> KeptSession:
        """The stored side of a new session."""
        return KeptSession(self._commits, self._count, next(self._count))

    def retained(self, old: Retained | None, new: Retained | None, qos: int) -> None:
        """A retained message has been replaced, set or cleared by a publication of this QoS."""
        number = old.number if old is not None else 0
        if new is not None and _is_kept(new.sender):
            new.number = number or next(self._count)
            name = key(RETAINED, new.number)
            self._commits.put(name, partial(_seal_retained, name, new), urgent=qos > 0, new=not number)
        elif number:
            self._commits.remove(key(RETAINED, number), urgent=qos > 0)

    def restore(
        self, found: list[tuple[bytes, bytes]]
    ) -> tuple[list[Retained], list[tuple[KeptSession, StoredSession]]]:
        """What was stored, sessions by the time their clients left; records that belong to nothing are removed."""
        now = self._clock.wall()
        records = {name: unseal(name, record) for name, record in found}
        last = max((max(numbers(name)) for name in records), default=0)
        self._count = count(last + 1)
        retained = [self._retained(name, *each) for name, each in records.items() if name[:1] == RETAINED]
        messages = {numbers(name)[0]: _message_of(*each) for name, each in records.items() if name[:1] == MESSAGE}
        sessions = {numbers(name)[0]: _session(each[0], now) for name, each in records.items() if name[:1] == SESSION}
        for name, (fields, _) in records.items():
            session = sessions.get(numbers(name)[0])
            if name[:1] == RECEIVED and session is not None:
                session.received = fields
            elif name[:1] == WAITING and not (session and _take_place(session, name, fields, messages)):
                self._commits.remove(name, urgent=False)
        for number, message in messages.items():
            if message.record is None:
                self._commits.remove(key(MESSAGE, number), urgent=False)
        made = partial(KeptSession, self._commits, self._count, saved=True)
        order = sorted(sessions.items(), key=lambda item: -item[1].seconds_away)
        return retained, [(made(number), session) for number, session in order]

    def _retained(self, name: bytes, fields: list[Any], payload: bytes) -> Retained:
        entry = Retained(*_retained_of(fields, payload))
        entry.number = numbers(name)[0]
        return entry


def map_bytes(limits: Limits) -> int:
    """How large a store may get: what the limits allow to be kept, once more for what is being replaced, and slack."""
    return 2 * (limits.offline_bytes_total + limits.retained_bytes_total) + MAP_SLACK


def _is_kept(sender: Identity) -> bool:
    return sender.role is Role.CLIENT and sender.transport != "local"


def _session(fields: list[Any], now: float) -> StoredSession:
    who, filters, left = fields
    return StoredSession(_identity_of(who), filters, max(now - left, 0.0) if left > CLOCK_IS_SET else 0.0)


def _take_place(session: StoredSession, name: bytes, fields: list[Any], messages: dict[int, Message]) -> bool:
    number, qos, packet_id, released = fields
    message = messages.get(number)
    if message is None and not released:
        return False
    if message is not None:
        message.record = message.record or MessageRecord(number)
        message.record.places += 1
    session.line.append((numbers(name)[1], message, qos, packet_id))
    return True


def _seal_retained(key: bytes, entry: Retained) -> bytes:
    """The record of a retained message."""
    return seal(key, [entry.topic, entry.qos, _who(entry.sender)], entry.payload)


def _retained_of(fields: list[Any], payload: bytes) -> tuple[str, bytes, int, Identity]:
    """Topic, payload, QoS and sender of a retained message."""
    topic, qos, who = fields
    return topic, payload, qos, _identity_of(who)


def _seal_message(key: bytes, message: Message) -> bytes:
    """The record of a message that waits."""
    return seal(key, [message.topic, message.qos, message.retain, _who(message.sender)], message.payload)


def _message_of(fields: list[Any], payload: bytes) -> Message:
    """A message as it was put into its queues."""
    topic, qos, retain, who = fields
    return Message(topic, payload, qos, retain, False, _identity_of(who))


def _seal_session(key: bytes, owner: Identity, filters: dict[str, int], left: float) -> bytes:
    """The record of a session; `left` is the wall time at which its client left, 0 while it is connected."""
    return seal(key, [_who(owner), filters, left])


def _who(identity: Identity) -> list[Any]:
    who = identity
    return [who.client_id, who.role, who.user, who.address, who.transport, who.roles, who.kind]


def _identity_of(fields: list[Any]) -> Identity:
    """The client that a record names."""
    client_id, role, user, address, transport, roles, *kind = fields  # records had no kind once
    known = Kind(kind[0]) if kind else Kind.TRUSTED
    return Identity(client_id, Role(role), user, address, transport, tuple(roles), kind=known)
