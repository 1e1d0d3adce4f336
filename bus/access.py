"""Who a client of the broker is and what it may publish, subscribe to and receive."""

import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Protocol

from schemas import Permission

from .accounts import CONFIDENTIAL
from .identity import Kind
from .web_pages import is_loopback

UNIX = "unix"
"""The address of whoever comes over a unix socket."""


class Role(StrEnum):
    """What a client is to the instance; everything that is not ours is a `CLIENT`."""

    BUS = "bus"
    AGENT = "agent"
    BRIDGE = "bridge"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated client; `transport` is `local`, `mqtt` or `mqtt+ws`, `roles` are those rule files may name.

    `confided`: nobody on the way can listen.
    """

    client_id: str
    role: Role
    user: str | None = None
    address: str = ""
    transport: str = "mqtt"
    roles: tuple[str, ...] = ()
    confided: bool = False
    kind: Kind = Kind.TRUSTED


class Refusal(IntEnum):
    """CONNACK return codes that refuse a connection (MQTT 3.1.1 table 3.1)."""

    VERSION = 1
    CLIENT_ID = 2
    UNAVAILABLE = 3
    CREDENTIALS = 4
    NOT_AUTHORIZED = 5


@dataclass(frozen=True, slots=True)
class Tls:
    """An encrypted wire; `name` is the common name in a client certificate that an authority of the listener signed."""

    name: str | None = None


@dataclass(slots=True)
class Login:
    """What a CONNECT packet and its socket say about the client; only the name in `tls` is verified."""

    client_id: str
    user: str | None
    password: bytes | None
    address: str
    transport: str
    tls: Tls | None = None

    @property
    def confided(self) -> bool:
        """Whether nobody on the way can listen: the wire is encrypted, or does not leave this machine."""
        return self.tls is not None or self.address == UNIX or is_loopback(self.address)


class Authenticator(Protocol):
    """Turns a login into an identity, or the code that refuses it; may answer later."""

    def authenticate(self, login: Login) -> Identity | Refusal | Awaitable[Identity | Refusal]: ...


PRINTER = "printer"
"""The role of another host's printer on a farm's broker."""
DISCOVERY = "homeassistant"
REQUEST = "moonraker/api/request"
FILESTORE = "filestore"
"""The agent to which the topics of file transfers belong."""
KNOWN_ADDRESSES = 256
"""Of how many addresses an authenticator remembers whether it trusts them."""
RESERVED_CLIENT_IDS = ("agent.", "bridge", "printbus", "uplink.")
_UNSAFE_CLIENT_ID = re.compile(r"[/+#\x00-\x1f\x7f-\x9f]")
_UNSAFE_NAME = re.compile(r"[+#/*\x00-\x1f\x7f-\x9f]|^\$|^$")
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def is_unsafe(name: str | None) -> bool:
    """Whether a user name or client id could change a filter's meaning, or is none at all."""
    return not name or _UNSAFE_NAME.search(name) is not None


def client_id_fault(client_id: str) -> str | None:
    """Why an ordinary client may not have this id, or None."""
    if _UNSAFE_CLIENT_ID.search(client_id):
        return "a client id contains '/', '+', '#' or control characters"
    if client_id.startswith(RESERVED_CLIENT_IDS):
        return "the client id is reserved for parts of the printer host"
    return None


class TrustedNetworks:
    """The default authenticator: whoever comes from a trusted network is let in, nobody else.

    A user `agent:{boot}` with a client id `agent.{name}` makes an agent, `bridge:{boot}` with `bridge...` a bridge.
    """

    def __init__(self, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = _LOOPBACK) -> None:
        self._networks = tuple(networks)
        self._known = lru_cache(KNOWN_ADDRESSES)(self._judge)

    def authenticate(self, login: Login) -> Identity | Refusal:
        """An identity for a trusted address; unix sockets count as trusted."""
        if not self.trusts(login.address):
            return Refusal.NOT_AUTHORIZED
        role = role_of(login)
        if role is Role.CLIENT and client_id_fault(login.client_id):
            return Refusal.CLIENT_ID
        return Identity(login.client_id, role, login.user, login.address, login.transport, confided=login.confided)

    def trusts(self, address: str) -> bool:
        """Whether this host is let in without credentials."""
        return address == UNIX or self._known(address)

    def _judge(self, address: str) -> bool:
        try:
            host = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
            host = host.ipv4_mapped
        return any(host in network for network in self._networks)


def role_of(login: Login) -> Role:
    """What a client claims to be."""
    user, client_id = login.user or "", login.client_id
    if user.startswith("agent:") and re.fullmatch(r"agent\.[A-Za-z0-9_-]+", client_id):
        return Role.AGENT
    if user.startswith("bridge:") and re.fullmatch(r"bridge[A-Za-z0-9._-]*", client_id):
        return Role.BRIDGE
    return Role.CLIENT


class People(Protocol):
    """What clients are and may do at this moment."""

    def knows(self, who: Identity) -> bool:
        """Whether there still is such a user or key; who is gone may do nothing."""

    def roles(self, who: Identity) -> tuple[str, ...]:
        """The roles of a client."""

    def may(self, who: Identity, permission: Permission) -> bool:
        """Whether a client has a permission."""


class Strangers:
    """People of whom nothing is known but what their connection says: all may do everything."""

    def knows(self, who: Identity) -> bool:
        """Everybody is there."""
        return True

    def roles(self, who: Identity) -> tuple[str, ...]:
        """Those that came along."""
        return who.roles

    def may(self, who: Identity, permission: Permission) -> bool:
        """Everything."""
        return True


class AccessRules:
    """The default rules of one instance: its own topics are protected, all others are free for every client.

    Except for printers of other hosts, which have what is below their user name, and requests to groups.
    `groups` are the names under which the instance also takes requests; they are free like all foreign topics.
    """

    def __init__(self, instance: str, groups: Sequence[str] = ()) -> None:
        self.instance = instance
        self.groups = tuple(groups)
        self.people: People = Strangers()
        self._group_requests = frozenset(f"{group}/{REQUEST}" for group in groups)
        self._prefix = f"{instance}/"
        self._publish: dict[Role, Callable[[Identity, str], bool]] = {
            Role.BUS: _always,
            Role.BRIDGE: self._bridge_may_publish,
            Role.AGENT: self._agent_may_publish,
            Role.CLIENT: self._client_may_publish,
        }

    def forget(self) -> None:
        """Judge anew, since people have changed."""

    def may_publish(self, who: Identity, topic: str) -> bool:
        """Whether this client may publish, or leave a will, on a topic."""
        return self.may_ever_publish(who, topic) and (not self._is_printer(who) or _is_printers(who, topic))

    def may_ever_publish(self, who: Identity, topic: str) -> bool:
        """What is built in about publishing."""
        if topic.startswith("$"):
            return who.role is Role.BUS
        return self._publish[who.role](who, topic)

    def _is_printer(self, who: Identity) -> bool:
        return who.role is Role.CLIENT and PRINTER in self.people.roles(who)

    def may_subscribe(self, who: Identity, filter: str) -> bool:
        """Whether a filter is accepted; with wildcards it is, and each delivery is checked."""
        if "+" in filter or "#" in filter:
            return True
        return self.may_receive(who, filter)

    def may_receive(self, who: Identity, topic: str) -> bool:
        """Whether a message on this topic may be delivered to this client."""
        if not self.may_ever_receive(who, topic):
            return False
        return not self._is_printer(who) or _is_printers(who, topic) or topic in self._group_requests

    def may_ever_receive(self, who: Identity, topic: str) -> bool:
        """What is built in about receiving."""
        if who.role is Role.BUS:
            return True
        if who.role is Role.CLIENT and not self.people.knows(who):
            return False
        if not topic.startswith(self._prefix):
            return True
        levels = topic[len(self._prefix) :].split("/")
        if who.role is Role.CLIENT and not self._may_see(who, levels):
            return False
        if levels[0] == "agent" and levels[2:] in (["call"], ["macro"]):
            return who.role is Role.AGENT and who.client_id == f"agent.{levels[1]}"
        if levels[1:2] == ["tunnel"] and levels[2:3] in (["send"], ["control"]):
            return who.client_id == f"agent.{levels[0]}"
        if levels == ["klipper", "delta"] and who.role is Role.AGENT:
            return True
        if levels[0] == "files" and who.role is Role.AGENT:
            return who.client_id == f"agent.{FILESTORE}"
        return who.role is Role.BRIDGE or not _is_private(levels, who.client_id)

    def _may_see(self, who: Identity, levels: list[str]) -> bool:
        """Whether a client has the permission that a topic of the instance needs; its own answers need none."""
        if levels[0] == "event" and not CONFIDENTIAL.isdisjoint(levels[1:2]):
            return self.people.may(who, Permission.ADMIN)
        return _owner(levels) == who.client_id or self.people.may(who, Permission.READ)

    def may_take_over(self, old: Identity, new: Identity, *, live: bool) -> bool:
        """Whether `new` may have the session of `old`, which has the same client id; `live` means still connected.

        The user name of an agent or bridge carries its boot id, so a second one cannot push out the first.
        """
        same = old.role is new.role and old.user == new.user
        return same or (not live and old.role is new.role and old.role in (Role.AGENT, Role.BRIDGE))

    def _bridge_may_publish(self, who: Identity, topic: str) -> bool:
        own, request = self._prefix, f"{self._prefix}moonraker/api/request"
        return (
            topic == f"{own}agent/bridge"
            or topic == request
            or topic.startswith(
                (
                    f"{request}/",
                    f"{own}rpc/{who.client_id}/",
                    f"{own}connection/{who.client_id}/",
                    f"{own}state/bridge/",
                    f"{own}klippy/tunnel/send/{who.client_id}/",
                    f"{own}klippy/tunnel/control/{who.client_id}/",
                    f"{own}files/upload/{who.client_id}/",
                    f"{own}files/download/{who.client_id}/",
                )
            )
        )

    def _agent_may_publish(self, who: Identity, topic: str) -> bool:
        own, name = self._prefix, who.client_id.removeprefix("agent.")
        if topic in (f"{own}agent/{name}", f"{own}agent/{name}/answer", f"{own}moonraker/klippy"):
            return True
        if name == "klippy" and topic.startswith(f"{own}agent/") and topic.endswith("/macro"):
            return True
        if name == FILESTORE and topic.startswith(f"{own}files/"):
            return True
        return topic.startswith(
            (
                f"{own}state/{name}/",
                f"{own}moonraker/notify/",
                f"{own}klipper/",
                f"{own}rpc/{who.client_id}/",
                f"{own}{name}/tunnel/",
            )
        )

    def _client_may_publish(self, who: Identity, topic: str) -> bool:
        own = self._prefix
        if not self.people.knows(who):
            return False
        if not topic.startswith(own):
            return topic != self.instance
        request, name = f"{own}{REQUEST}", who.client_id
        tunnel = f"{own}klippy/tunnel/"
        claim = f"{own}uplink/claim"
        own_topics = (request, claim, f"{request}/{name}", f"{tunnel}send/{name}", f"{tunnel}control/{name}")
        return topic in own_topics or topic.startswith(
            (f"{own}rpc/{name}/", f"{own}files/upload/{name}/", f"{own}files/download/{name}/")
        )


def _always(_who: Identity, _topic: str) -> bool:
    return True


def _is_private(levels: list[str], client_id: str) -> bool:
    """Whether a topic below the instance belongs to somebody else, or to nobody but the bus."""
    match levels:
        case ["moonraker", "api", "request", _, *_] | ["rpc", *_] | ["connection", *_]:
            return True
        case ["agent", _, "call" | "answer" | "macro", *_] | ["klipper", "delta", *_]:
            return True
    return _owner(levels) not in (None, client_id)


def _owner(levels: list[str]) -> str | None:
    """The client to whom a topic below the instance belongs."""
    match levels:
        case ["moonraker", "api", "response", owner, *_] | ["reply", owner, *_] | ["files", _, owner, *_]:
            return owner
        case ["klippy", "tunnel", "receive" | "state", owner, *_]:
            return owner
    return None


def _is_printers(who: Identity, topic: str) -> bool:
    """Whether a topic is that of the printer whose name the user has."""
    if is_unsafe(who.user):
        return False
    levels = topic.split("/")
    return levels[0] == who.user or (levels[0] == DISCOVERY and levels[2:3] == [who.user])
