"""Who a caller is: a user, an API key, a trusted address, the owner of the host, or nobody."""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from schemas import Permission

KEY_PREFIX = "key:"
USER_NAME = re.compile(
    r"(?!\$)[^\s/+#*:\x00-\x1f\x7f-\x9f](?:[^/+#*:\x00-\x1f\x7f-\x9f]{0,62}[^\s/+#*:\x00-\x1f\x7f-\x9f])?"
)


class Kind(StrEnum):
    """By what a caller is known."""

    OWNER = "owner"  # whoever has the data folder: the shell, the unix socket, what is configured, our own parts
    TRUSTED = "trusted"  # an address that is trusted, for as long as no login is required
    USER = "user"
    KEY = "key"
    UPLINK = "uplink"  # a client of another broker, which has the rights of a role
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may do something; `name` is that of a user, or `key:NAME`, and None otherwise."""

    kind: Kind
    name: str | None = None


OWNER, TRUSTED, NOBODY = Principal(Kind.OWNER), Principal(Kind.TRUSTED), Principal(Kind.NOBODY)


class Scheme(StrEnum):
    """What a credential is."""

    TOKEN = "token"  # noqa: S105 - a name. An access token
    KEY = "key"
    ONESHOT = "oneshot"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller shows; its value is never shown to anybody else."""

    scheme: Scheme
    value: str = field(repr=False)


EVERYTHING = frozenset(Permission) - {Permission.AGENT}
ONLY_OPEN = frozenset({Permission.OPEN})
ADMIN = "admin"
ROLES: dict[str, frozenset[Permission]] = {
    "viewer": frozenset({Permission.READ}),
    "operator": frozenset({Permission.READ, Permission.CONTROL, Permission.FILES}),
    ADMIN: EVERYTHING,
    "printer": frozenset(),  # another host's, on a farm's broker: it has its own topics there
}
"""The roles there always are; others are configured."""


def user(name: str) -> Principal:
    """A user."""
    return Principal(Kind.USER, name)


def key(name: str) -> Principal:
    """An API key."""
    return Principal(Kind.KEY, KEY_PREFIX + name)
