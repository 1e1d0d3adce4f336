"""Uplinks: joining other brokers for ever, so that the instance is seen and reached there (design.md "Uplinks")."""

import asyncio
import logging
from collections.abc import Mapping

from .access import Identity, Role
from .claims import NameTaken
from .client import VERSION_REFUSED, Link, LinkLost, Terms, connected
from .dialects import DIALECTS
from .discovery import Discovery
from .downlink import Downlink
from .errands import Errands
from .home import Home as Home
from .mirror import FOREIGN, Mirror
from .outbox import Outbox
from .peering import OFFLINE, Parts, Peering
from .uplink_settings import PLACE, UplinkSettings

log = logging.getLogger(__name__)

FIRST_BACKOFF = 0.25  # seconds
MAX_BACKOFF = 1.0  # of a broker that is away: it is to be back within 5 s of its return
BRIEF = 5.0  # seconds; a link that ends sooner may end because of what we say
BRIEF_IN_A_ROW = 3  # so often that is taken for chance
MAX_BRIEF_BACKOFF = 4.0
REFUSED_RETRY = 4.0  # a broker that starts may not know its users yet
NAME_RETRY = 30.0
FAULT_RETRY = 30.0
ANSWER_PATIENCE = 3.0  # seconds for the answers to CONNECT and SUBSCRIBE
MUTE = 3  # times in a row that CONNECT stays unanswered until another version of MQTT is tried than the one that worked
NO_VERSION_5 = ("printbus", "rabbitmq", "nats")


class Versions:
    """Which version of MQTT a broker is spoken to in: 5 where it takes that, else 3.1.1."""

    def __init__(self, kind: str) -> None:
        self._either = kind not in NO_VERSION_5
        self.five = self._either
        self._has_worked = False
        self._mute = 0

    def worked(self) -> None:
        """The broker has answered CONNECT."""
        self._has_worked, self._mute = True, 0

    def refused(self, lost: LinkLost) -> bool:
        """Takes what came instead of an answer; whether to try again at once."""
        if lost.refusal == VERSION_REFUSED and self.five:
            self.five = self._either = False
            return True
        self._mute += lost.mute
        if self._either and self._mute >= (MUTE if self._has_worked else 1):
            self.five, self._has_worked, self._mute = not self.five, False, 0
        return False


class Uplink:
    """Joins one other broker; nothing that happens there or on the way ends `run`, or disturbs anything here."""

    def __init__(self, name: str, settings: UplinkSettings, home: Home) -> None:
        instance, topics = home.topics.instance, home.topics
        reader = Identity(
            f"uplink.{name}", Role.CLIENT, transport="local", roles=(settings.role,) if settings.role else ()
        )
        outbox = Outbox()
        filters = [each.replace(PLACE, instance) for each in settings.up]
        self._parts = Parts(
            name,
            settings,
            home,
            outbox,
            Mirror(home.exchange, reader, topics.server_status, filters, outbox),
            Downlink(name, settings.role, home),
            Discovery(instance),
            None if settings.kind == "auto" else DIALECTS[settings.kind],
        )
        self._client_id = f"{FOREIGN}{instance}-{name}-{home.boot[:12]}"
        self._versions = Versions(settings.kind)
        self.errands = Errands(self._parts, lambda: self._versions.five)
        self._backoff = FIRST_BACKOFF
        self._brief = 0
        self._up_since: float | None = None
        self._complaint: str | None = None

    @property
    def is_up(self) -> bool:
        """Whether the instance is mirrored and takes requests at the moment."""
        return self._parts.mirror.up

    async def run(self) -> None:
        """Keeps the uplink until cancelled."""
        try:
            while True:
                wait = await self._attempt()
                await asyncio.sleep(wait)
        finally:
            self._parts.mirror.close()
            self._parts.downlink.close()

    async def _attempt(self) -> float:
        """One link from its beginning to its end; answers in how many seconds to try again."""
        name, url = self._parts.name, self._parts.settings.url
        self._up_since = None
        try:
            await self._live()
        except LinkLost as lost:
            log.debug("uplink %s: %s", name, lost)
            wait = self._after(lost)
            if wait:
                self._complain(f"The uplink '{name}' has no connection to {url}", lost)
            return wait
        except NameTaken as taken:
            self._complain(str(taken))
            return NAME_RETRY
        except (OSError, ValueError) as broken:  # a certificate or a secret
            self._complain(f"The uplink '{name}' cannot be used", broken)
            return REFUSED_RETRY
        except Exception:
            log.exception("the uplink %s failed", name)
        self._complain(f"The uplink '{name}' failed; it is tried again in {FAULT_RETRY:g} s")
        return FAULT_RETRY

    async def _live(self) -> None:
        settings = self._parts.settings
        broker = await asyncio.to_thread(settings.address)
        tls = await asyncio.to_thread(settings.tls)
        will = (self._parts.home.topics.server_status, OFFLINE)
        async with connected(broker, self._client_id, Terms(will, tls, self._versions.five, ANSWER_PATIENCE)) as link:
            self._versions.worked()
            await Peering(link, self._parts, self._started).run()

    def _after(self, lost: LinkLost) -> float:
        if self._up_since is not None:
            self._backoff = FIRST_BACKOFF
            lived = asyncio.get_running_loop().time() - self._up_since
            self._brief = min(self._brief + 1, 8) if lived < BRIEF else 0
            return min(FIRST_BACKOFF * (1 << max(0, self._brief - BRIEF_IN_A_ROW)), MAX_BRIEF_BACKOFF)
        if self._versions.refused(lost):
            return 0.0
        if lost.refusal is not None:
            return REFUSED_RETRY
        if self._parts.dialect is None:
            self._parts.dialect = self._parts.discovery.cut()
        wait, self._backoff = self._backoff, min(2 * self._backoff, MAX_BACKOFF)
        return wait

    def _started(self, link: Link) -> None:
        parts = self._parts
        self._up_since = asyncio.get_running_loop().time()
        self._complain(None)
        if parts.dialect is not None:
            version = "5" if link.version5 else "3.1.1"
            cannot = "; ".join(parts.dialect.cannot).format(instance=parts.home.topics.instance)
            what = f"{parts.dialect.kind} over MQTT {version}" + (f", which cannot do: {cannot}" if cannot else "")
            log.info("uplink %s: up at %s: %s", parts.name, parts.settings.url, what)

    def _complain(self, text: str | None, reason: Exception | None = None) -> None:
        """Says once what is wrong, in the log and in server.info, until it is right again."""
        if text == self._complaint:
            return
        self._complaint = text
        if text is not None:
            text = f"{text}: {reason}" if reason else text
            log.warning("%s", text)
        self._parts.home.warn(f"uplink {self._parts.name}", text)


def start_uplinks(
    tasks: asyncio.TaskGroup, uplinks: Mapping[str, UplinkSettings], home: Home
) -> tuple[list["asyncio.Task[None]"], dict[str, Errands]]:
    """Starts all uplinks of the settings, which end by being cancelled; answers also what runs errands on each."""
    made = {name: Uplink(name, settings, home) for name, settings in uplinks.items()}
    started = [tasks.create_task(uplink.run(), name=f"uplink {name}") for name, uplink in made.items()]
    return started, {name: uplink.errands for name, uplink in made.items()}
