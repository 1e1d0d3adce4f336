"""The server itself: what it is, its connections and its event log."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .base import CHANGES, Bool, Flags, Float, Int, Method, Model, NoParams, Params, Permission, Text

OWNER = "core"
LAST = (1 << 63) - 1  # no log gets so far


class InfoParams(Params):
    """`raw` keeps line breaks in warnings, otherwise they are shown as `<br/>`."""

    raw: Bool = Field(False, description="Whether warnings keep their line breaks.")


class Info(Model):
    """What runs here, and how it is."""

    klippy_connected: bool = Field(description="Whether there is a link to Klipper, whatever its state.")
    klippy_state: Literal["disconnected", "startup", "ready", "error", "shutdown"] = Field(
        description="Ready once all objects are subscribed and printing is possible."
    )
    components: list[str] = Field(description="What runs.")
    failed_components: list[str] = Field(description="What is configured and could not start, or has failed since.")
    registered_directories: list[str] = Field(description="Roots of the file manager.")
    warnings: list[str] = Field(description="For people, in HTML unless `raw` was asked for.")
    websocket_count: int = Field(description="Open websockets that speak JSON-RPC.")
    moonraker_version: str = Field(description="The Moonraker release whose API this is.")
    missing_klippy_requirements: list[str] = Field(
        description="Sections that Klipper's configuration lacks, without which front ends cannot work fully."
    )
    api_version: list[int] = Field(description="Of Moonraker's API: major, minor, patch.")
    api_version_string: str
    plugins: list[str] = Field(description="The same as `components`, for older clients.")
    failed_plugins: list[str] = Field(description="The same as `failed_components`, for older clients.")


class ConfigFile(Model):
    """One file, and what it configures."""

    filename: str
    sections: list[str]


class Config(Model):
    """The configuration under Moonraker's section names; secrets are masked."""

    config: dict[str, dict[str, Any]] = Field(description="What is in force, defaults included.")
    orig: dict[str, dict[str, str]] = Field(description="What the files say, as text.")
    files: list[ConfigFile] = Field(description="The files that say anything.")


class RolloverParams(Params):
    """Which log; without it both."""

    application: Literal["moonraker", "klipper"] | None = Field(None, description="`moonraker` is this server.")


class RolledOver(Model):
    """What has a new log file, and what has not, with the reason."""

    rolled_over: list[str]
    failed: dict[str, str]


class WebsocketId(Model):
    """The caller's connection, 0 where it has none."""

    websocket_id: int = Field(description="Positive; 0 over the shared MQTT topic and HTTP, which have no connection.")


ClientType = Annotated[
    Literal["web", "mobile", "desktop", "display", "bot", "agent", "other"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]


class IdentifyParams(Params):
    """Who is calling; the credentials are optional."""

    client_name: Text
    version: Text
    type: ClientType = Field(description="In any case; an `agent` may call agent methods, and its name must be unique.")
    url: Text = Field(description="The client's home page.")
    access_token: str | None = Field(None, description="Logs the connection in.")
    api_key: str | None = Field(None, description="Logs the connection in.")


class Identified(Model):
    """The caller's connection, 0 where it has none."""

    connection_id: int = Field(description="As in `server.websocket.id`.")


Moment = Annotated[Float | None, Field(allow_inf_nan=False)]


class EventsParams(Params):
    """Events after `since` and from `since_time` on, up to `until_time`, at most `limit`, of one stream or of all."""

    since: Annotated[Int, Field(ge=0, le=LAST, description="A sequence number; 0 is the beginning.")] = 0
    limit: Annotated[Int, Field(ge=1, le=5000)] = 500
    stream: str | None = Field(
        None,
        description="Only this stream: `printer`, `print`, `devices`, `commands`. "
        "`access` and `logins` need the permission `admin`; without it they are left out.",
    )
    since_time: Annotated[Moment, Field(description="Unix seconds: from the first event at or after it.")] = None
    until_time: Annotated[Moment, Field(description="Unix seconds: ends before the first event after it.")] = None


class Event(Model):
    """One fact: `seq` orders, `time` (Unix) is only for showing."""

    seq: int = Field(description="The position in the log, from 1; the only order there is.")
    time: float = Field(description="Unix seconds; clocks can jump, so only for showing.")
    stream: str
    type: str = Field(description="What happened, with the version of its data, such as `print.started.1`.")
    actor: dict[str, Any] | None = Field(description="Who asked for it: user, transport, client; null: nobody did.")
    data: dict[str, Any] = Field(description="Depends on the type.")


class Events(Model):
    """Events in order, and the sequence number of the newest one in the log."""

    events: list[Event]
    head: int = Field(
        description="The sequence number of the newest event there is, read or not; without events, "
        "there is nothing to be read up to it."
    )


INFO = Method(
    "server.info",
    InfoParams,
    Info,
    OWNER,
    Permission.READ,
    ("GET /server/info",),
    summary="State, components, warnings and versions of the server.",
)
CONFIG = Method(
    "server.config",
    NoParams,
    Config,
    OWNER,
    Permission.READ,
    ("GET /server/config",),
    summary="The whole configuration, with defaults and without secrets.",
)
RESTART = Method(
    "server.restart",
    NoParams,
    str,
    OWNER,
    Permission.ADMIN,
    ("POST /server/restart",),
    flags=CHANGES,
    summary="Restarts the server with its configuration read anew; answers first, then all connections end.",
)
LOGS_ROLLOVER = Method(
    "server.logs.rollover",
    RolloverParams,
    RolledOver,
    OWNER,
    Permission.ADMIN,
    ("POST /server/logs/rollover",),
    flags=CHANGES,
    summary="Begins new log files of this server and of Klipper.",
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


class StateParams(Params):
    """Which fold, and when: after an event (`seq`), at a time (Unix seconds), or now."""

    fold: str
    seq: Annotated[Int | None, Field(ge=0, le=LAST)] = None
    time: Float | None = None


class PastState(Model):
    """The state that the events up to then give."""

    fold: str
    state: Any


class NewFact(Params):
    """One fact to record; `type` is explicit and versioned."""

    type: str
    data: dict[str, Any]
    actor: dict[str, Any] | None = None


class AppendParams(Params):
    """Facts of an agent in another process; a repeated `append_id` (UUID) records nothing twice."""

    stream: str
    events: list[NewFact]
    append_id: str = Field(description="A UUID of the caller's choice.")


class Appended(Model):
    """The position of the last fact."""

    seq: int


EVENTS_STATE = Method(
    "events.state",
    StateParams,
    PastState,
    OWNER,
    Permission.READ,
    ("GET /events/state",),
    summary="What the events up to a moment amount to.",
)
EVENTS_APPEND = Method(
    "events.append",
    AppendParams,
    Appended,
    OWNER,
    Permission.AGENT,
    summary="Records facts; for agents of this instance only.",
)
