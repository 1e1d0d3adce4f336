"""What can be configured about the bridge."""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bus.web_pages import Domain

PREFIX = re.compile(r"[A-Za-z0-9_.~-]+(/[A-Za-z0-9_.~-]+)*")


def _prefix(text: str) -> str:
    """`/name` of name, /name or /name/."""
    bare = text.strip("/")
    if not PREFIX.fullmatch(bare) or {".", ".."} & {*bare.split("/")}:
        raise ValueError("expected a path such as 'printer1', of letters, digits and . _ ~ -")
    return f"/{bare}"


class OctoPrintSettings(BaseModel):
    """What slicers that look for an OctoPrint are told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="Whether anything is answered below /api.")
    enable_ufp: bool = Field(True, description="Whether Cura may send its own format.")
    flip_h: bool = False
    flip_v: bool = False
    rotate_90: bool = False
    stream_url: str = "/webcam/?action=stream"
    webcam_enabled: bool = True


class BridgeSettings(BaseModel):
    """The defaults serve this machine and nobody else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(7125, ge=0, le=65535, description="0 picks a free port.")
    ssl_port: int = Field(7130, ge=0, le=65535, description="The same for HTTPS, where there is a certificate.")
    ssl_certificate_path: Path | None = Field(
        None, description="PEM, with the chain; default certs/moonraker.cert in the data folder, where that is there."
    )
    ssl_key_path: Path | None = Field(None, description="Its key without a password; default certs/moonraker.key.")
    route_prefix: Annotated[str, AfterValidator(_prefix)] | None = Field(
        None, description="The path below which everything is served, for several servers behind one proxy."
    )
    proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Reverse proxies whose forwarding headers are believed."
    )
    cors_domains: tuple[Domain, ...] = Field(
        (), description="Origins of other web pages, `*` matches anything but a top level; none is off."
    )
    hosts: tuple[str, ...] = Field((), description="More names under which this server is reached.")
    max_websockets: int = Field(500, ge=1, description="Open websockets in total.")
    max_websockets_per_address: int = Field(250, ge=1, description="Open websockets of one address.")
    max_connections_per_address: int = Field(
        1000, ge=1, description="HTTP connections of one address; one more ends the oldest that is idle."
    )
    max_strangers_per_address: int = Field(20, ge=1, description="Open websockets of one address without a login.")
    login_seconds: float = Field(60.0, gt=0, description="After which websockets without a login are ended.")
    max_requests: int = Field(10_000, ge=1, description="HTTP requests that wait for an answer; more are refused.")
    unix_socket: bool = Field(True, description="JSON-RPC on comms/moonraker.sock in the data folder, without a login.")
    octoprint: OctoPrintSettings = OctoPrintSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.ssl_certificate_path is None) != (self.ssl_key_path is None):
            raise ValueError("ssl_certificate_path and ssl_key_path belong together")
        return self

    @property
    def prefix(self) -> str:
        """What all paths begin with; empty where it is nothing."""
        return self.route_prefix or ""
