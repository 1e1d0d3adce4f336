"""What `broker.yaml` may hold: `listeners`, `limits` and, as it stands there, `access`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .limits import Limits
from .uplink_settings import UplinkName, UplinkSettings
from .web_pages import Domain


class Listener(BaseModel):
    """One address the broker listens on; TLS when it has a certificate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["tcp", "ws", "unix"] = "tcp"
    host: str = "127.0.0.1"
    port: int = Field(1883, ge=0, le=65_535, description="0 picks a free one")
    path: Path | None = Field(None, description="of a unix socket")
    certfile: Path | None = None
    keyfile: Path | None = None
    cafile: Path | None = Field(None, description="authorities of client certificates, which are then asked for")
    require_certificate: bool = False
    origins: tuple[Domain, ...] = Field((), description="of web pages from elsewhere that may open websockets")
    hosts: tuple[str, ...] = Field((), description="more names under which a websocket listener is reached")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.certfile is None) != (self.keyfile is None):
            raise ValueError("certfile and keyfile belong together")
        if self.require_certificate and (self.cafile is None or self.certfile is None):
            raise ValueError("require_certificate needs cafile, certfile and keyfile")
        if self.type != "ws" and (self.origins or self.hosts):
            raise ValueError("origins and hosts belong to listeners of type ws")
        if (self.path is not None) != (self.type == "unix"):
            raise ValueError("path belongs to listeners of type unix, which need it")
        return self


def _default_listeners() -> dict[str, Listener]:
    return {"default": Listener()}


def _not_empty(section: object) -> object:
    if not section:
        raise ValueError("expected 'rules'; without the whole section the default set is in force")
    return section


class BrokerSettings(BaseModel):
    """What the broker reads of `broker.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listeners: dict[str, Listener] = Field(default_factory=_default_listeners, min_length=1)
    limits: Limits = Limits()
    uplinks: dict[UplinkName, UplinkSettings] = {}
    access: Annotated[dict[str, object] | None, BeforeValidator(_not_empty)] = Field(
        None, description="access rules, which `rule_file` reads; without the section the default set is in force"
    )
