"""The printer: what is asked of Klipper, and what it announces."""

from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, Field

from .base import DEFAULT, Arguments, Flags, Int, Method, Model, NoParams, Notification, Params, Permission

OWNER = "klippy"
OK = Literal["ok"]
CONTROL = Flags(changes=True)

P = TypeVar("P", bound=Params)


class Info(Model):
    """Klipper's identity and state."""

    state: Literal["ready", "startup", "error", "shutdown"]
    state_message: str = Field(description="The state in words, with the reason and what can be done about it.")
    hostname: str = Field(description="The machine that Klipper runs on.")
    klipper_path: str = Field(description="The folder of Klipper's sources.")
    python_path: str = Field(description="The interpreter that runs it.")
    process_id: int | None = None
    user_id: int | None = None
    group_id: int | None = None
    log_file: str | None = Field(description="The path of Klipper's log, null where it writes none.")
    config_file: str = Field(description="The path of Klipper's main configuration file.")
    software_version: str = Field(description="As git describes Klipper's sources.")
    cpu_info: str


class ObjectsList(Model):
    """Names that can be queried."""

    objects: list[str] = Field(description="Names with their sections, such as `heater_fan hotend`.")


ObjectFields = dict[str, list[str] | None]


class ObjectsParams(Params):
    """Which objects: null means all fields, a list only those."""

    objects: ObjectFields = Field(description="Fields by object: null means all, a list only those.")


class SubscribeParams(ObjectsParams):
    """Which objects to follow; `connection_id` names the websocket when asked over HTTP."""

    connection_id: Int | None = Field(None, description="The websocket that is to get the updates; over HTTP only.")


class ObjectsStatus(Model):
    """Values by object and field, at Klipper's monotonic `eventtime`."""

    eventtime: float = Field(description="Seconds of Klipper's own clock, which only goes forward; not a time of day.")
    status: dict[str, dict[str, Any]] = Field(description="Value by field, by object; an unknown field is null.")


class Subscription(ObjectsStatus):
    """The full first state; over MQTT also the topics that carry the changes."""

    topics: list[str] | None = Field(None, description="Over MQTT: where the changes are published.")
    revision: int | None = Field(None, description="The last change that the status contains; internal.")


class EndpointParams(Params):
    """Whatever Klipper's endpoint takes."""

    model_config = ConfigDict(extra="allow")


class ScriptParams(Params):
    """Gcode, one command a line."""

    script: str = Field(description="Commands, one a line.")


class PrintParams(Params):
    """A file relative to the gcodes root."""

    filename: str = Field(description="A path relative to the gcodes root.")


def _both(path: str) -> tuple[str, str]:
    return (f"GET {path}", f"POST {path}")


def _control(name: str, params: type[P], summary: str) -> Method[P, str]:
    """A command that answers `ok` when Klipper has done it, however long that takes."""
    path = "/" + name.replace(".", "/")
    return Method(
        name,
        params,
        str,
        OWNER,
        Permission.CONTROL,
        (f"POST {path}",),
        deadline=None,
        flags=CONTROL,
        summary=summary,
    )


INFO = Method(
    "printer.info",
    NoParams,
    Info,
    OWNER,
    Permission.READ,
    _both("/printer/info"),
    summary="Klipper's identity and state.",
)
EMERGENCY_STOP = Method(
    "printer.emergency_stop",
    NoParams,
    str,
    OWNER,
    Permission.CONTROL,
    _both("/printer/emergency_stop"),
    flags=Flags(changes=True, urgent=True),
    summary="Halts the printer at once.",
)
RESTART = _control("printer.restart", NoParams, "Restarts Klipper's host software.")
FIRMWARE_RESTART = _control("printer.firmware_restart", NoParams, "Restarts Klipper and its micro-controllers.")
OBJECTS_LIST = Method(
    "printer.objects.list",
    NoParams,
    ObjectsList,
    OWNER,
    Permission.READ,
    _both("/printer/objects/list"),
    summary="Names of all printer objects.",
)
OBJECTS_QUERY = Method(
    "printer.objects.query",
    ObjectsParams,
    ObjectsStatus,
    OWNER,
    Permission.READ,
    _both("/printer/objects/query"),
    flags=Flags(arguments=Arguments.OBJECTS),
    summary="Current values of printer objects.",
)
OBJECTS_SUBSCRIBE = Method(
    "printer.objects.subscribe",
    SubscribeParams,
    Subscription,
    OWNER,
    Permission.READ,
    _both("/printer/objects/subscribe"),
    flags=Flags(connection=True, arguments=Arguments.OBJECTS),
    summary="Replaces the caller's subscription and answers the full state.",
)
QUERY_ENDSTOPS = Method(
    "printer.query_endstops.status",
    NoParams,
    dict[str, str],
    OWNER,
    Permission.READ,
    _both("/printer/query_endstops/status"),
    deadline=None,
    flags=DEFAULT,
    summary="State of each end stop.",
)
GCODE_SCRIPT = Method(
    "printer.gcode.script",
    ScriptParams,
    str,
    OWNER,
    Permission.CONTROL,
    _both("/printer/gcode/script"),
    deadline=None,
    flags=CONTROL,
    summary="Runs gcode; answers when it has ended.",
)
GCODE_HELP = Method(
    "printer.gcode.help",
    NoParams,
    dict[str, str],
    OWNER,
    Permission.READ,
    _both("/printer/gcode/help"),
    summary="Help text by gcode command.",
)
PRINT_START = _control("printer.print.start", PrintParams, "Starts printing a file of the gcodes root.")
PRINT_PAUSE = _control("printer.print.pause", NoParams, "Pauses the print.")
PRINT_RESUME = _control("printer.print.resume", NoParams, "Resumes the print.")
PRINT_CANCEL = _control("printer.print.cancel", NoParams, "Cancels the print.")
DUMP_MESH = Method(
    "printer.bed_mesh.dump_mesh",
    EndpointParams,
    dict[str, Any],
    OWNER,
    Permission.READ,
    _both("/printer/bed_mesh/dump_mesh"),
    summary="The bed mesh with its points, as Klipper keeps it.",
)
ENDPOINT = Method(
    "printer.{klippy_endpoint}",
    EndpointParams,
    Any,
    OWNER,
    Permission.CONTROL,
    _both("/printer/{klippy_endpoint}"),
    deadline=None,
    flags=CONTROL,
    summary="Any other request that this Klipper knows, with dots for slashes; what goes on is for tunnels.",
)

KLIPPY_READY = Notification("notify_klippy_ready", "Klipper has become ready.")
KLIPPY_SHUTDOWN = Notification("notify_klippy_shutdown", "Klipper has shut down.")
KLIPPY_DISCONNECTED = Notification("notify_klippy_disconnected", "The link to Klipper is gone, with all subscriptions.")
GCODE_RESPONSE = Notification("notify_gcode_response", "Klipper has printed a line.", tuple[str])
STATUS_UPDATE = Notification(
    "notify_status_update",
    "Subscribed objects changed: their changed fields, and Klipper's clock; over MQTT it is `klipper/status`.",
    tuple[dict[str, dict[str, Any]], float],
    private=True,
)
