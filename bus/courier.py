"""A client of a broker that carries something to or from a printer, however often the way there breaks."""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from schemas.files import OWNER

from .calls import CallFailed
from .client import (
    FIRST_BACKOFF,
    MAX_BACKOFF,
    BrokerUrl,
    Link,
    LinkLost,
    Refused,
    RemoteMessage,
    Terms,
    connected,
)
from .envelope import dumps, loads
from .errors import Conflict, NotFound, Timeout, Unavailable, to_rpc
from .topics import Topics

NAME_SECONDS = 2.0  # for a broker to name an instance
MORE_SECONDS = 0.1  # and for it to name another one
STATUS = Topics("any").server_status.partition("/")[2]
ANSWER_SECONDS = 40.0  # for an answer, unless what is asked for may take longer
PATIENCE_SECONDS = 300.0  # without progress, until a transfer that had begun is given up
PASSING = (Unavailable.code, Timeout.code, Conflict.code)  # errors behind which trying again may help

T = TypeVar("T")
News = Callable[[str, bytes], None]


class Watcher(Protocol):
    """Who is told how a transfer goes on."""

    def at(self, done: int, size: int) -> None:
        """So many bytes have arrived."""

    def broken(self, reason: str) -> None:
        """It is interrupted, and will be tried again."""


class Cargo(Protocol):
    """What a courier carries."""

    begun: bool  # whether the other side has agreed to it
    done: int  # how much has arrived

    async def carry(self, line: "Line") -> Any:
        """Carries it as far as the line holds; the result once it has arrived."""


async def beside(main: Coroutine[Any, Any, T], *others: Coroutine[Any, Any, None]) -> T:
    """The result of the first; others run as long as it does, and what they raise ends it."""
    first = asyncio.create_task(main, name="file client")
    tasks = [asyncio.create_task(work, name=f"file client: {number}") for number, work in enumerate(others)]
    try:
        await asyncio.wait((first, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and not first.done():
                task.result()
        return await first
    finally:
        for each in (first, *tasks):
            each.cancel()
        await asyncio.gather(first, *tasks, return_exceptions=True)


class Line:
    """A link on which a client asks, and hears about one transfer."""

    def __init__(self, link: Link, topics: Topics, client: str) -> None:
        self._link = link
        self._topics = topics
        self._client = client
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._number = ""
        self._news: News | None = None

    async def listen(self) -> None:
        """Subscribes to answers and to what concerns transfers."""
        names, mine = self._topics, (self._client, "+")
        transfers = (names.upload_want, names.upload_failed, names.download_data, names.download_failed)
        for topic in (names.reply(self._client), *(name(*mine) for name in transfers)):
            if not await self._link.subscribe(topic):
                raise Refused(f"this user may not read {topic}")
        await self._link.subscribe(names.agent(OWNER))

    def follow(self, number: str, news: News) -> None:
        """Tells what is said about one transfer: want, data, failed."""
        self._number, self._news = number, news

    async def finish(self, method: str, params: dict[str, Any], number: str) -> Any:
        """The result of a method that ends a transfer; raises CallFailed, and LinkLost where that is not known."""
        try:
            return await self.ask(method, params, number=number, seconds=None)
        except CallFailed as error:
            if error.code == NotFound.code:
                raise LinkLost("the printer does not know of the transfer any more") from None
            raise

    async def ask(
        self, method: str, params: dict[str, Any], *, number: str = "", seconds: float | None = ANSWER_SECONDS
    ) -> Any:
        """The result of a method; raises CallFailed, and Refused where nobody answers."""
        number = number or str(uuid4())
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        request = dumps({"id": number, "params": params})
        try:
            await self._link.publish(self._topics.rpc(self._client, method), request)
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise Refused(f"'{self._topics.instance}' does not answer; has this user the right to ask?") from None
        finally:
            del self._waiting[number]

    async def say(self, topic: str, payload: bytes) -> None:
        """Publishes; returns when it is on its way."""
        await self._link.publish(topic, payload)

    def received(self, message: RemoteMessage) -> None:
        """Takes a message."""
        if message.topic == self._topics.agent(OWNER):
            if self._news is not None and not (message.payload and loads(message.payload)["alive"]):
                self._news("failed", dumps(to_rpc(Unavailable("the file manager is gone"))))
        elif message.topic == self._topics.reply(self._client):
            self._answered(loads(message.payload))
        elif self._news is not None and message.topic.split("/")[-2] == self._number:
            self._news(message.topic.rpartition("/")[2], message.payload)

    def _answered(self, said: dict[str, Any]) -> None:
        answer = self._waiting.get(str(said.get("id")))
        if answer is None or answer.done():
            return
        if "error" in said:
            answer.set_exception(CallFailed(said["error"]))
        else:
            answer.set_result(said["result"])


class Courier:
    """Carries files between this machine and one instance, as one client of its broker."""

    def __init__(self, broker: BrokerUrl, client: str, instance: str | None = None) -> None:
        self._broker = broker
        self._client = client
        self._wanted = instance
        self._topics: Topics | None = None

    async def run(self, cargo: Cargo, watcher: Watcher) -> Any:
        """The result of a cargo; one that has begun is tried again and again.

        Raises LinkLost, Refused, and BusError for what trying again would not mend.
        """
        loop = asyncio.get_running_loop()
        backoff, done, end = FIRST_BACKOFF, 0, 0.0
        while True:
            try:
                return await self._try(cargo)
            except (LinkLost, CallFailed) as error:
                if not cargo.begun or not _passing(error):
                    raise
                if cargo.done > done or not end:
                    backoff, done, end = FIRST_BACKOFF, cargo.done, loop.time() + PATIENCE_SECONDS
                if loop.time() > end:
                    raise
                watcher.broken(str(error))
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF)

    async def _try(self, cargo: Cargo) -> Any:
        tls = await asyncio.to_thread(ssl.create_default_context) if self._broker.tls else None
        async with connected(self._broker, self._client, Terms(tls=tls)) as link:
            if self._topics is None:
                self._topics = Topics(await _instance(link, self._wanted))
            line = Line(link, self._topics, self._client)

            async def carry() -> Any:
                await line.listen()
                return await cargo.carry(line)

            return await beside(carry(), link.receive(line.received), link.watch(lambda: True))


def _passing(error: Exception) -> bool:
    """Whether trying again may help."""
    return error.code in PASSING if isinstance(error, CallFailed) else isinstance(error, LinkLost)


async def _instance(link: Link, wanted: str | None) -> str:
    """The name of the one instance that a broker knows of, or of the one that is wanted; raises Refused."""
    found: set[str] = set()
    status = f"{wanted or '+'}/{STATUS}"
    await link.subscribe(status)
    with suppress(TimeoutError):
        while wanted not in found:
            async with asyncio.timeout(MORE_SECONDS if found else NAME_SECONDS):
                found.add((await link.next()).topic.partition("/")[0])
    await link.unsubscribe(status)
    if wanted and not found:
        raise Refused(f"this broker knows no printer '{wanted}', or does not say so to this user")
    if len(found) != 1:
        raise Refused(f"name the printer with --instance; this broker knows {', '.join(sorted(found)) or 'none'}")
    return found.pop()
