"""One instance name, one host: how two hosts of the same name on one broker find out, and which of them stays."""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from .access import Identity, Role
from .exchange import Exchange
from .message import Message
from .session import LocalSession
from .topics import Topics


class NameTaken(Exception):
    """Another host, or another uplink of this one, already has the instance on that broker."""


@dataclass(slots=True)
class Claim:
    """One side's view of who has the name on one broker.

    Who comes asks `{boot, link, asks: true}` and waits; who has it answers `{..., asks: false}`, and the one who came
    leaves. Of several that ask at once, or have it after a partition, the one with the lowest `boot` and `link` stays;
    it repeats what it said to those that may not have heard it.
    """

    boot: str
    link: str
    holds: bool = False
    rival: str | None = None  # the boot id of who has it

    def say(self, *, asks: bool) -> bytes:
        """The message that asks, or says that the name is taken."""
        return orjson.dumps({"boot": self.boot, "link": self.link, "asks": asks})

    def heard(self, payload: bytes) -> bytes | None:
        """Takes a message of the claim topic; answers what is to be published there, if anything."""
        said = _parsed(payload)
        if said is None or said[:2] == (self.boot, self.link) or self.rival is not None:
            return None
        boot, link, asks = said
        stays = (self.boot, self.link) < (boot, link)
        if (self.holds and asks) or (self.holds == (not asks) and stays):
            return self.say(asks=not self.holds)
        self.rival = boot
        return None


def _parsed(payload: bytes) -> tuple[str, str, bool] | None:
    try:
        said = orjson.loads(payload)
        return str(said["boot"]), str(said["link"]), said["asks"] is True
    except (ValueError, TypeError, KeyError):
        return None


def keep_name(exchange: Exchange, topics: Topics, boot: str) -> Callable[[], None]:
    """Says on the instance's own broker that its name is taken; answers what ends that."""
    session = LocalSession(exchange, Identity("printbus.name", Role.BUS, transport="local"))
    claim = Claim(boot, "", holds=True)

    def on_claim(message: Message) -> None:
        claim.rival = None  # whoever says otherwise: this broker is the instance's own
        answer = claim.heard(message.payload)
        if answer is not None:
            session.publish(topics.claim, answer)

    session.subscribe(topics.claim, on_claim)
    return session.close
