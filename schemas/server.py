"""The server itself: what it is, its connections and its event log."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .base import Bool, Flags, Int, Method, Model, NoParams, Params, Permission

OWNER = "core"


class InfoParams(Params):
    """`raw` keeps line breaks in warnings, otherwise they are shown as `<br/>`."""

    raw: Bool = False


class Info(Model):
    """What runs here, and how it is."""

    klippy_connected: bool
    klippy_state: Literal["disconnected", "startup", "ready", "error", "shutdown"]
    components: list[str]
    failed_components: list[str]
    registered_directories: list[str]
    warnings: list[str]
    websocket_count: int
    moonraker_version: str
    missing_klippy_requirements: list[str]
    api_version: list[int]
    api_version_string: str
    plugins: list[str]
    failed_plugins: list[str]


class WebsocketId(Model):
    """The caller's connection, 0 where it has none."""

    websocket_id: int


ClientType = Annotated[
    Literal["web", "mobile", "desktop", "display", "bot", "agent", "other"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]


class IdentifyParams(Params):
    """Who is calling; the credentials are optional."""

    client_name: str
    version: str
    type: ClientType
    url: str
    access_token: str | None = None
    api_key: str | None = None


class Identified(Model):
    """The caller's connection, 0 where it has none."""

    connection_id: int


class EventsParams(Params):
    """Events after `since`, at most `limit`, of one stream or of all."""

    since: Annotated[Int, Field(ge=0)] = 0
    limit: Annotated[Int, Field(ge=1, le=5000)] = 500
    stream: str | None = None


class Event(Model):
    """One fact: `seq` orders, `time` (Unix) is only for showing."""

    seq: int
    time: float
    stream: str
    type: str
    actor: dict[str, Any] | None
    data: dict[str, Any]


class Events(Model):
    """Events in order, and the sequence number of the newest one in the log."""

    events: list[Event]
    head: int


INFO = Method(
    "server.info",
    InfoParams,
    Info,
    OWNER,
    Permission.READ,
    ("GET /server/info",),
    summary="State, components, warnings and versions of the server.",
)
WEBSOCKET_ID = Method(
    "server.websocket.id",
    NoParams,
    WebsocketId,
    OWNER,
    Permission.READ,
    flags=Flags(connection=True),
    summary="The id of the calling connection.",
)
IDENTIFY = Method(
    "server.connection.identify",
    IdentifyParams,
    Identified,
    OWNER,
    Permission.OPEN,
    flags=Flags(connection=True),
    summary="Names the calling connection; once per connection.",
)
EVENTS_READ = Method(
    "events.read",
    EventsParams,
    Events,
    OWNER,
    Permission.READ,
    ("GET /events/read",),
    summary="Facts from the event log, in order.",
)


class NewFact(Params):
    """One fact to record; `type` is explicit and versioned."""

    type: str
    data: dict[str, Any]
    actor: dict[str, Any] | None = None


class AppendParams(Params):
    """Facts of an agent in another process; a repeated `append_id` (UUID) records nothing twice."""

    stream: str
    events: list[NewFact]
    append_id: str


class Appended(Model):
    """The position of the last fact."""

    seq: int


EVENTS_APPEND = Method(
    "events.append",
    AppendParams,
    Appended,
    OWNER,
    Permission.AGENT,
    summary="Records facts; for agents of this instance only.",
)
