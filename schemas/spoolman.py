"""Spoolman: the spool that is in use, what is reported of it, and requests that are passed on."""

from typing import Annotated, Any, Literal

from pydantic import Field

from .base import CHANGES, Bool, Int, Method, Model, NoParams, Notification, Params, Permission

OWNER = "spoolman"
MAX_ID = 2**63 - 1
SpoolId = Annotated[Int, Field(ge=0, le=MAX_ID)]


class Pending(Model):
    """Filament that Spoolman has not confirmed yet."""

    spool_id: int
    filament_used: float = Field(description="Millimetres.")


class Status(Model):
    """How the link to Spoolman is, and what waits for it."""

    spoolman_connected: bool
    pending_reports: list[Pending]
    spool_id: int | None = Field(description="The spool in use; null: none, or not known.")


class Active(Model):
    """The spool in use; null: none, or not known."""

    spool_id: int | None


class Connected(Model):
    """Whether the link to Spoolman is there."""

    spoolman_connected: bool


class SelectParams(Params):
    """Which spool is used from now on."""

    spool_id: SpoolId | None = Field(None, description="Null or nothing: none.")


class ProxyParams(Params):
    """A request for Spoolman."""

    request_method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str = Field(max_length=2048, description="Begins with `/v1/`, as below Spoolman's `/api`.")
    query: str | None = Field(None, max_length=8192, description="As in an address, without `?`.")
    body: dict[str, Any] | None = Field(None, description="Not with GET.")
    use_v2_response: Bool = Field(False, description="Whether the answer says how it went, instead of being an error.")


class Failure(Model):
    """What went wrong at Spoolman."""

    status_code: int = Field(description="Spoolman's own, or 503 where it cannot be reached.")
    message: str


class Proxied(Model):
    """Spoolman's answer, of version 2."""

    response: Any = Field(description="Its body; null where it went wrong.")
    response_headers: dict[str, str] = Field(description="Names in lower case; empty where it cannot be reached.")
    error: Failure | None


class PrintMoment(Model):
    """How far a print is, or was when it ended; its clock only goes forward."""

    filename: str
    total_duration: float = Field(description="Seconds.")


class Mark(Model):
    """Up to where the filament of an extruder has been counted."""

    extruder: str
    position: float = Field(description="Millimetres, as in `toolhead.position`.")
    print: PrintMoment | None = Field(description="The last one; null where Klipper does not know it any more.")


class Selected(Model):
    """Another spool is in use."""

    spool_id: int | None
    mark: Mark | None


class Used(Model):
    """Filament was drawn from a spool."""

    spool_id: int
    length: float = Field(description="Millimetres.")
    mark: Mark


class Sent(Model):
    """All that waits for a spool is about to be reported."""

    spool_id: int
    used_before: float = Field(
        description="`used_length` of the spool without it, which tells later whether it arrived."
    )


class Spool(Model):
    """Which spool."""

    spool_id: int


class Dropped(Model):
    """Nobody can be told any more."""

    spool_id: int
    length: float = Field(description="Millimetres.")
    reason: str


STATUS = Method(
    "server.spoolman.status",
    NoParams,
    Status,
    OWNER,
    Permission.READ,
    ("GET /server/spoolman/status",),
    summary="The link to Spoolman, the spool in use, and usage that is not reported yet.",
)
GET_SPOOL = Method(
    "server.spoolman.get_spool_id",
    NoParams,
    Active,
    OWNER,
    Permission.READ,
    ("GET /server/spoolman/spool_id",),
    summary="The spool in use.",
)
POST_SPOOL = Method(
    "server.spoolman.post_spool_id",
    SelectParams,
    Active,
    OWNER,
    Permission.CONTROL,
    ("POST /server/spoolman/spool_id",),
    flags=CHANGES,
    summary="Says which spool is in use, or that none is.",
)
PROXY = Method(
    "server.spoolman.proxy",
    ProxyParams,
    Any,
    OWNER,
    Permission.CONTROL,
    ("POST /server/spoolman/proxy",),
    summary="Passes a request on to the Spoolman server, and its answer back.",
)

SPOOL_SET = Notification("notify_active_spool_set", "Another spool is in use, or none.", tuple[Active])
STATUS_CHANGED = Notification("notify_spoolman_status_changed", "Spoolman was connected or lost.", tuple[Connected])
