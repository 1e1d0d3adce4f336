"""The `uplinks` of `broker.yaml`: which other brokers this instance joins, and what goes there and back."""

import os
import ssl
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .access import Role
from .broker_url import BrokerUrl
from .config import Section
from .dialects import Kind
from .matching import filter_fault
from .topics import INSTANCE

PLACE = "{i}"
DEFAULT_UP = (
    "{i}/moonraker/klippy",
    "{i}/moonraker/notify/+",
    "{i}/klipper/status",
    "{i}/klipper/state/#",
    "{i}/state/#",
    "{i}/event/#",
    "{i}/agent/+",
    "{i}/log/head",
    "homeassistant/+/{i}/#",
)


def _filter(text: str) -> str:
    plain = text.replace(PLACE, "i")
    if "{" in plain or "}" in plain:
        raise ValueError(f"the only name in braces is {PLACE}, the instance")
    if plain.startswith("$"):
        raise ValueError("topics that start with '$' belong to their broker")
    if fault := filter_fault(plain):
        raise ValueError(fault)
    return text


def _name(text: str) -> str:
    if not INSTANCE.fullmatch(text):
        raise ValueError("expected letters, digits, '_' and '-'")
    return text


def _role(text: str) -> str:
    if text in {*Role}:
        raise ValueError(f"the role '{text}' is built in")
    return text


def _url(text: str) -> str:
    if BrokerUrl.parse(text).password is not None:
        raise ValueError("a password does not stand in the URL; name a file or variable under 'password'")
    return text


class Secret(Section):
    """Where a secret is: a file (its first line counts) or an environment variable."""

    file: Path | None = None
    env: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.env is None):
            raise ValueError("expected either file or env")
        return self

    def read(self) -> str:
        """The secret; raises OSError or ValueError, which name the place and never the content."""
        if self.file is not None:
            return self.file.read_text().partition("\n")[0].rstrip("\r")
        value = os.environ.get(self.env or "")
        if value is None:
            raise ValueError(f"the environment variable {self.env} is not set")
        return value


class UplinkSettings(Section):
    """One other broker."""

    url: Annotated[str, AfterValidator(_url)] = Field(description="mqtt://HOST[:PORT], or mqtts:// for TLS")
    kind: Kind | Literal["auto"] = Field("auto", description="what the broker is; auto finds out")
    user: str | None = None
    password: Secret | None = None
    ca: Path | None = Field(None, description="authorities of the broker's certificate; default those of the system")
    certfile: Path | None = None
    keyfile: Path | None = None
    up: tuple[Annotated[str, AfterValidator(_filter)], ...] = Field(
        DEFAULT_UP, description="filters of what is mirrored there; {i} is the instance"
    )
    down: bool = Field(True, description="whether requests are taken from there")
    role: Annotated[str, AfterValidator(_role)] | None = Field(
        None, description="the role of the access rules whose rights the clients of that broker have"
    )
    qos: Literal[0, 1] = 0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.certfile is None) != (self.keyfile is None):
            raise ValueError("certfile and keyfile belong together")
        if (self.ca or self.certfile) and not BrokerUrl.parse(self.url).tls:
            raise ValueError("ca, certfile and keyfile need an mqtts:// URL")
        if self.password is not None and self.user is None and BrokerUrl.parse(self.url).user is None:
            raise ValueError("a password needs a user")
        return self

    def address(self) -> BrokerUrl:
        """The broker with the credentials as they are now; raises OSError or ValueError. Reads a file."""
        url = BrokerUrl.parse(self.url)
        password = self.password.read() if self.password is not None else None
        return BrokerUrl(url.host, url.port, self.user or url.user, password, url.tls)

    def tls(self) -> ssl.SSLContext | None:
        """How the connection is protected, None when it is not; raises OSError. Reads files."""
        if not BrokerUrl.parse(self.url).tls:
            return None
        context = ssl.create_default_context(cafile=self.ca)
        if self.certfile is not None:
            context.load_cert_chain(self.certfile, self.keyfile)
        return context


UplinkName = Annotated[str, AfterValidator(_name)]
