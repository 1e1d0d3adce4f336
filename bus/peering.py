"""What is said over one link of an uplink, from the claim of the instance's name to the link's end."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from .claims import Claim, NameTaken
from .client import Link, LinkLost, RemoteMessage, together
from .dialects import PLAIN, Dialect
from .discovery import Discovery
from .downlink import LARGEST, Downlink
from .home import Home
from .matching import filter_fault, overlaps
from .mirror import Mirror
from .outbox import Outbox, Passing
from .uplink_settings import UplinkSettings

log = logging.getLogger(__name__)

CLAIM_SECONDS = 0.5  # in which another host says that the instance's name is taken
SWEEP_SECONDS = 2.0  # in which a broker has sent what it retains
GOODBYE_SECONDS = 1.0
RESEND_SECONDS = 1.0  # until state is sent again because somebody asks; who asks meanwhile is served with them
RESENDS = 100  # filters asked for in that time; with more, everything is sent
TURN = 16  # messages sent between two turns of the loop
LONGEST_FILTER = 1024
OFFLINE = b'{"server":"offline"}'
NOT_FOR_ANSWERS = ("moonraker/api/request", "rpc/")  # behind an instance's name


@dataclass(slots=True)
class Parts:
    """What outlives a link."""

    name: str
    settings: UplinkSettings
    home: Home
    outbox: Outbox
    mirror: Mirror
    downlink: Downlink
    discovery: Discovery
    dialect: Dialect | None = None  # until it is known
    link: str = field(default_factory=lambda: uuid4().hex)
    left_out: int = 0  # messages that the broker cannot carry


@dataclass(slots=True)
class _Message:
    """A message as it goes over the link."""

    topic: str
    payload: bytes
    retain: bool
    correlation: bytes | None = None


class Peering:
    """Mirrors up and takes requests down over one link; `started` is called when both begin."""

    def __init__(self, link: Link, parts: Parts, started: Callable[[Link], None]) -> None:
        self._link = link
        self._parts = parts
        self._home = parts.home
        self._topics = parts.home.topics
        self._outbox = parts.outbox
        self._started = started
        self._claim = Claim(parts.home.boot, parts.link)
        self._wanted: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def run(self) -> None:
        """Ends by being cancelled, or with LinkLost or NameTaken."""
        try:
            await together(
                self._parts.name,
                receive=self._link.receive(self._received, self._overflow),
                watch=self._link.watch(lambda: len(self._outbox) > 0),
                send=self._send(),
                greet=self._greet(),
            )
        except asyncio.CancelledError:
            await self._say_offline()
            raise
        finally:
            self._parts.mirror.up = False
            self._outbox.clear()
            for timer in self._timers.values():
                timer.cancel()

    async def _say_offline(self) -> None:
        if self._claim.holds:
            with suppress(LinkLost, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._link.publish(self._topics.server_status, OFFLINE, retain=True)

    # -- the beginning

    async def _greet(self) -> None:
        parts = self._parts
        if parts.dialect is None:
            parts.dialect = await parts.discovery.ask(self._link)
        await self._claim_name()
        await self._link.subscribe(self._topics.resend)
        await self._link.subscribe(self._topics.server_status)
        if parts.settings.down:
            for name in parts.downlink.filters:
                await self._link.subscribe(name, 1)
        parts.mirror.up = True
        parts.mirror.resend()
        self._started(self._link)
        await self._sweep()

    async def _sweep(self) -> None:
        """Looks for a while at what the broker retains of this instance, to clear what an earlier run has left.

        A filter that matches requests is left out: where subscriptions overlap a request could come, and run, twice.
        """
        requests = self._parts.downlink.filters
        found = [each for each in self._parts.mirror.own_filters if not any(overlaps(each, name) for name in requests)]
        names = [name for each in found if (name := self._dialect.encode(each)) is not None]
        for name in names:
            await self._link.subscribe(name)
        await asyncio.sleep(SWEEP_SECONDS)
        for name in names:
            if name != self._topics.server_status:
                await self._link.unsubscribe(name)

    async def _claim_name(self) -> None:
        """Takes the instance's name on this broker; raises NameTaken where another host has it."""
        await self._link.subscribe(self._topics.claim, 1)
        await self._link.publish(self._topics.claim, self._claim.say(asks=True), qos=1)
        await asyncio.sleep(CLAIM_SECONDS)
        self._require_name()
        self._claim.holds = True

    def _require_name(self) -> None:
        rival, name = self._claim.rival, self._parts.name
        if rival == self._home.boot:
            raise NameTaken(f"The uplink '{name}' leads to a broker on which this host is already; it stays off")
        if rival is not None:
            raise NameTaken(
                f"Another host is already '{self._topics.instance}' on {self._parts.settings.url}: the uplink '{name}' "
                "stays off. Give one of the two another instance name"
            )

    # -- what goes up

    async def _send(self) -> None:
        while True:
            await self._outbox.waiting.wait()
            self._require_name()
            messages = self._turn()
            if self._parts.settings.qos and messages:
                await self._send_together(messages)
            else:
                for message in messages:
                    await self._publish(message)
            await asyncio.sleep(0)

    async def _send_together(self, messages: Sequence[_Message]) -> None:
        """With QoS 1 the broker answers each message; all of a turn are under way at once."""
        await together(
            f"{self._parts.name}: publish",
            **{str(number): self._publish(message) for number, message in enumerate(messages)},
        )

    async def _publish(self, message: _Message) -> None:
        await self._link.publish(
            message.topic,
            message.payload,
            qos=self._parts.settings.qos,
            retain=message.retain,
            correlation=message.correlation,
        )

    def _turn(self) -> list[_Message]:
        """The next messages; what the broker cannot carry is counted and left out."""
        found: list[_Message] = []
        for _ in range(TURN):
            item = self._outbox.take()
            if item is None:
                break
            message = self._state(item) if isinstance(item, str) else self._passing(item)
            if message is not None:
                found.append(message)
        return found

    def _state(self, topic: str) -> _Message | None:
        payload = self._parts.mirror.state(topic)
        return None if payload is None else self._carried(topic, payload, retain=True)

    def _passing(self, item: Passing) -> _Message | None:
        if item.literal:
            return _Message(item.topic, item.payload, False, item.correlation)
        return self._carried(item.topic, item.payload, correlation=item.correlation)

    def _carried(
        self, topic: str, payload: bytes, *, retain: bool = False, correlation: bytes | None = None
    ) -> _Message | None:
        name = self._dialect.encode(topic)
        if name is None or len(payload) > LARGEST:
            self._parts.left_out += 1
            if self._parts.left_out == 1:
                log.warning("uplink %s: cannot carry %s, %d bytes", self._parts.name, topic, len(payload))
            return None
        return _Message(name, payload, retain, correlation)

    @property
    def _dialect(self) -> Dialect:
        return self._parts.dialect or PLAIN

    # -- what comes

    def _received(self, message: RemoteMessage) -> None:
        try:
            self._on_message(message, self._dialect.decode(message.topic))
        except Exception:
            log.exception("uplink %s: a message on %s could not be handled", self._parts.name, message.topic)

    def _overflow(self, message: RemoteMessage) -> None:
        """A request that finds the inbox full is refused at once; of anything else there will be more."""
        parts = self._parts
        try:
            if parts.mirror.up and parts.settings.down:
                topic = self._dialect.decode(message.topic)
                parts.downlink.refuse(message, topic, self._outbox.add, self._is_reachable)
        except Exception:
            log.exception("uplink %s: a message on %s could not be refused", parts.name, message.topic)

    def _on_message(self, message: RemoteMessage, topic: str) -> None:
        if topic == self._topics.claim:
            self._on_claim(message)
        elif topic == self._topics.server_status:
            self._on_status(message.payload)
        elif topic == self._topics.resend:
            self._on_resend(message)
        elif not self._parts.mirror.up:
            self._parts.discovery.received(message)
        elif message.retain:
            self._parts.mirror.found(topic)
        elif self._parts.settings.down:
            self._parts.downlink.received(message, topic, self._outbox.add, self._is_reachable)

    def _on_claim(self, message: RemoteMessage) -> None:
        if message.retain:
            return
        answer = self._claim.heard(message.payload)
        if answer is not None:
            self._outbox.add(Passing(self._topics.claim, answer))
        self._outbox.waiting.set()  # the sender looks whether the name is still ours

    def _on_status(self, payload: bytes) -> None:
        """The will of an earlier link may come late and say that we are gone."""
        known = self._home.exchange.retained(self._topics.server_status)
        if known is not None and known.payload != payload:
            self._soon("status", lambda: self._outbox.mark(self._topics.server_status))

    def _on_resend(self, message: RemoteMessage) -> None:
        name = message.payload[:LONGEST_FILTER].decode(errors="replace") or "#"
        if not message.retain and filter_fault(name) is None:
            self._wanted.add(self._dialect.decode(name))
            self._soon("resend", self._resend)

    def _resend(self) -> None:
        wanted, self._wanted = self._wanted, set()
        for name in wanted if len(wanted) <= RESENDS else ("#",):
            self._parts.mirror.resend(name)

    def _soon(self, what: str, action: Callable[[], None]) -> None:
        def run() -> None:
            del self._timers[what]
            if self._parts.mirror.up:
                action()

        if what not in self._timers:
            self._timers[what] = asyncio.get_running_loop().call_later(RESEND_SECONDS, run)

    def _is_reachable(self, topic: str) -> bool:
        """Whether a requester may have its answer there: it must not become a request, or speak as this instance."""
        first, _, rest = topic.partition("/")
        if topic.startswith("$") or "+" in topic or "#" in topic or rest.startswith(NOT_FOR_ANSWERS):
            return False
        return first != self._topics.instance or topic.startswith((self._topics.response, self._topics.reply("")))
