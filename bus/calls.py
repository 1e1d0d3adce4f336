"""Calling methods through a session: one request topic per method, answers on the caller's own reply topic."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

import orjson

from .envelope import MAX_REQUEST, NULL, failure, split, too_large
from .errors import BusError, Unavailable
from .topics import Topics

KEPT_NAMES = 1000  # methods whose topic is remembered; rows that stand for many names could fill the memory

Answered = Callable[[bool, bytes], None]  # success, JSON body: the result or the error object


class Received(Protocol):
    """A message as a session hands it over."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def retain(self) -> bool: ...


class Session(Protocol):
    """A client of the broker, in its process (LocalSession) or not (RemoteSession)."""

    def subscribe(self, topic_filter: str, handler: Callable[[Any], None], /) -> None:
        """Calls the handler with every message that matches."""

    def unsubscribe(self, topic_filter: str, /) -> None:
        """Ends a subscription."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Sends a message; raises PermissionError where the rules forbid it."""

    def close(self) -> None:
        """Leaves the broker."""


class CallFailed(BusError):
    """A method answered with an error: its code, text and data, whatever class it was where it was raised."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error["message"]), data=error.get("data"))
        self.code = int(error["code"])


class Caller:
    """Calls over one session; `client` is the session's client id."""

    def __init__(self, session: Session, topics: Topics, client: str) -> None:
        self._session = session
        self._topics = topics
        self._client = client
        self._numbers = count(1)
        self._waiting: dict[int, Answered] = {}
        self._names: dict[str, str] = {}
        self._up = True
        session.subscribe(topics.reply(client), self._on_reply)

    def start(self, method: str, params: bytes, actor: bytes, answered: Answered, *, connection: int = 0) -> int:
        """Sends a request (params and actor are JSON); `answered` is called during delivery of its answer.

        Raises TooLarge for what the router would not look into.
        """
        number = next(self._numbers)
        request = b'{"id":%d,"connection":%d,"actor":%b,"params":%b}' % (number, connection, actor, params)
        if len(request) > MAX_REQUEST:
            raise too_large()
        if not self._up:
            asyncio.get_running_loop().call_soon(answered, False, _away())
            return number
        topic = self._names.get(method)
        if topic is None:
            topic = self._topics.rpc(self._client, method)
            if len(self._names) < KEPT_NAMES:
                self._names[method] = topic
        self._waiting[number] = answered
        try:
            self._session.publish(topic, request)
        except BaseException:
            del self._waiting[number]
            raise
        return number

    def forget(self, number: int) -> bool:
        """Drops interest in an answer; whether it was still to come."""
        return self._waiting.pop(number, None) is not None

    async def call(self, method: str, params: Any = None, *, actor: bytes = NULL) -> Any:
        """The parsed result of a method; raises CallFailed."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def answered(success: bool, body: bytes) -> None:
            if future.done():
                return
            if success:
                future.set_result(orjson.loads(body))
            else:
                future.set_exception(CallFailed(orjson.loads(body)))

        number = self.start(method, orjson.dumps(params or {}), actor, answered)
        try:
            return await future
        finally:
            self.forget(number)

    def lost(self) -> None:
        """The link to the broker is gone: what waits fails, and so does every call until it is back."""
        self._up = False
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            answered(False, _away())

    def restored(self) -> None:
        """The link is back."""
        self._up = True

    def _on_reply(self, message: Received) -> None:
        number, success, body = split(message.payload)
        answered = self._waiting.pop(number, None)
        if answered is not None:
            answered(success, body)


def _away() -> bytes:
    return split(failure(Unavailable("The broker is not connected"), b"0"))[2]
