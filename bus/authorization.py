"""The section `authorization` of printer.yaml: whom to trust, when to insist on a login, and own roles."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from .identity import ROLES
from .mandate import Permissions

HOST_NAME = re.compile(r"(?=.{1,253}$)(?!.*\.\d+$)(?!\d+$)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?)+")
ROLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


def _client(given: object) -> object:
    """An address, a range or a name of clients; ValueError for a text that is none."""
    if isinstance(given, IPv4Network | IPv6Network):
        return given
    text = given if isinstance(given, str) else ""
    try:
        return ip_network(text)
    except ValueError:
        pass
    if HOST_NAME.fullmatch(text):
        return text.lower().rstrip(".")
    try:
        whole = ip_network(text, strict=False)
    except ValueError:
        raise ValueError("expected an address, a range such as 192.168.1.0/24, or a host name") from None
    raise ValueError(f"host bits are set: the range is {whole}, the address alone {text.partition('/')[0]}")


def _role(name: str) -> str:
    if name in ROLES:
        raise ValueError(f"the role '{name}' is built in")
    if not ROLE_NAME.fullmatch(name):
        raise ValueError("a role has at most 32 letters, digits, '_' and '-'")
    return name


Client = Annotated[IPv4Network | IPv6Network | str, BeforeValidator(_client)]
RoleName = Annotated[str, AfterValidator(_role)]


class Authorization(BaseModel):
    """The defaults let this machine in and nobody else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trusted_clients: tuple[Client, ...] = Field(
        (), description="Addresses, ranges and host names with full rights, besides this machine."
    )
    force_logins: bool = Field(False, description="Once there is a user, addresses are not trusted any more.")
    login_timeout: int = Field(90, ge=1, le=3650, description="Days that a refresh token lives.")
    enable_api_key: bool = Field(True, description="Whether API keys let anybody in.")
    max_login_attempts: int | None = Field(
        None, ge=1, description="Failed logins of an address until it is locked out, until a restart."
    )
    roles: dict[RoleName, Permissions] = Field(
        {}, description="Own roles: sets of read, control, files, admin and host."
    )
