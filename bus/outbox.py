"""What waits to go to another broker: which state has changed, and messages that pass, in order and within bounds."""

import asyncio
from collections import deque
from typing import NamedTuple

MESSAGES = 10_000
BYTES = 8 << 20


class Passing(NamedTuple):
    """A message that is not state; `literal` when the other broker's own name of the topic is given."""

    topic: str
    payload: bytes
    correlation: bytes | None = None
    literal: bool = False


class Outbox:
    """State is a topic that waits once, however often it changes, so its newest value is sent; of messages that pass
    the oldest are dropped and counted over the bounds.
    """

    def __init__(self, messages: int = MESSAGES, size: int = BYTES) -> None:
        self.dropped = 0
        self.waiting = asyncio.Event()
        self._messages = messages
        self._room = size
        self._number = 0
        self._state: deque[tuple[int, str]] = deque()
        self._marked: set[str] = set()
        self._passing: deque[tuple[int, Passing]] = deque()

    def __len__(self) -> int:
        return len(self._state) + len(self._passing)

    def mark(self, topic: str) -> None:
        """The state on a topic has changed."""
        if topic not in self._marked:
            self._marked.add(topic)
            self._state.append((self._next(), topic))

    def add(self, message: Passing) -> None:
        """A message is to follow what waits."""
        self._passing.append((self._next(), message))
        self._room -= len(message.payload)
        while len(self._passing) > self._messages or (self._room < 0 and len(self._passing) > 1):
            self._drop()

    def take(self) -> str | Passing | None:
        """What has waited longest: the topic of changed state, or a message."""
        if self._state and (not self._passing or self._state[0][0] < self._passing[0][0]):
            topic = self._state.popleft()[1]
            self._marked.discard(topic)
            return topic
        if not self._passing:
            self.waiting.clear()
            return None
        message = self._passing.popleft()[1]
        self._room += len(message.payload)
        return message

    def clear(self) -> None:
        """Forgets everything."""
        while self.take() is not None:
            pass

    def _drop(self) -> None:
        self._room += len(self._passing.popleft()[1].payload)
        self.dropped += 1

    def _next(self) -> int:
        self.waiting.set()
        self._number += 1
        return self._number
