"""Every topic: its address, what is said on it, who speaks, and whether it is retained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field

from . import (
    announcements,
    buttons,
    files,
    history,
    job_queue,
    klippy,
    machine,
    notifiers,
    peripherals,
    printer,
    sensors,
    services,
    spoolman,
    state,
    webcams,
)
from .base import Model


class Request(Model):
    """A JSON-RPC 2.0 request; the topic also takes an array of them."""

    jsonrpc: Literal["2.0"]
    method: str = Field(description="One of those that `rpc.discover` lists.")
    params: dict[str, Any] = Field({}, description="Named arguments; `mqtt_timestamp` marks re-delivered messages.")
    id: str | int | float | None = Field(
        None, description="Without one nothing is answered; a UUID makes a repeated request run only once."
    )


class Call(Model):
    """A request whose topic names the method; an empty message is one without params."""

    params: dict[str, Any] = Field({})
    id: str | int | float | None = None


class Success(Model):
    """A JSON-RPC 2.0 result."""

    jsonrpc: Literal["2.0"]
    result: Any
    id: str | int | float | None


class Fault(Model):
    """What went wrong."""

    code: int
    message: str = Field(description="For people.")
    data: Any = None


class Failure(Model):
    """A JSON-RPC 2.0 error."""

    jsonrpc: Literal["2.0"]
    error: Fault
    id: str | int | float | None


class Actor(Model):
    """Who asks."""

    user: str | None
    transport: str
    client: str = Field(description="An address or a client id.")
    address: str = Field("", description="That of a client which is not called by it.")


class Caller(Model):
    """The connection of a request."""

    id: int
    client: str


class AgentCall(Request):
    """A request that the router hands to an agent in another process."""

    actor: Actor
    connection: Caller | None = None
    client: str = Field("", description="The client id of the session that it came through.")


class MacroCall(Model):
    """A gcode macro's call of a remote method."""

    method: str
    params: dict[str, Any] = Field(description="The arguments, as they stand in the macro.")


class Opened(Model):
    """A websocket has opened."""

    open: Literal[True]
    actor: Actor


class Closed(Model):
    """A websocket has closed."""

    open: Literal[False]


Messages = Mapping[str, type[BaseModel]]
REQUEST: Messages = {"Request": Request}
ANSWER: Messages = {"Success": Success, "Failure": Failure}
PARAMETERS = {
    "instance": "The instance: letters, digits, `_` and `-`; the host name unless configured otherwise.",
    "group": "A group of instances that printer.yaml names.",
    "client": "The caller's MQTT client id.",
    "method": "The method with slashes for dots, so that access rules can name methods.",
    "notification": "The notification's name.",
    "object": "A printer object; `%`, `+`, `#` and `/` in names are percent-encoded.",
    "field": "One of its fields, encoded alike.",
    "agent": "An agent's name.",
    "document": "The document's name.",
    "stream": "The stream of events.",
    "type": "The type of event, with its version.",
    "transfer": "The id of a file transfer.",
    "connection": "The bridge's client id and the websocket's number, with a slash between.",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, or all that differ only in their `{parameters}`; `messages` are types by name.

    `taken`: clients publish, we listen, and answer on the topic named `reply`. `internal`: only for our own parts.
    """

    name: str
    address: str
    summary: str
    messages: Messages = field(default_factory=dict)
    retained: bool = False
    taken: bool = False
    reply: str | None = None
    internal: bool = False


EVENT, NOTIFICATION = "event", "notification"  # what is said there is in the tables of events and notifications
TOPICS = {
    topic.name: topic
    for topic in (
        Topic(
            "request",
            "{instance}/moonraker/api/request",
            "Requests; anybody may read them and the answers, so methods with secrets are refused.",
            REQUEST,
            taken=True,
            reply="response",
        ),
        Topic("response", "{instance}/moonraker/api/response", "Answers to requests on the shared topic.", ANSWER),
        Topic(
            "privateRequest",
            "{instance}/moonraker/api/request/{client}",
            "Requests that only their client and the server see.",
            REQUEST,
            taken=True,
            reply="privateResponse",
        ),
        Topic("privateResponse", "{instance}/moonraker/api/response/{client}", "Answers to private requests.", ANSWER),
        Topic(
            "call",
            "{instance}/rpc/{client}/{method}",
            "Requests with a topic per method.",
            {"Call": Call},
            taken=True,
            reply="reply",
        ),
        Topic("reply", "{instance}/reply/{client}", "Answers to requests on the topic of a method.", ANSWER),
        Topic(
            "groupRequest",
            "{group}/moonraker/api/request",
            "Requests to all instances of a group; each answers on its own topic.",
            REQUEST,
            taken=True,
            reply="response",
        ),
        Topic("status", "{instance}/moonraker/status", "Whether the server is there.", {"Server": state.Server}, True),
        Topic(
            "klippy",
            "{instance}/moonraker/klippy",
            "Whether the printer can be used.",
            {"Availability": state.Availability},
            True,
        ),
        Topic(NOTIFICATION, "{instance}/moonraker/notify/{notification}", "What all websocket clients are told, too."),
        Topic(
            "klipperStatus",
            "{instance}/klipper/status",
            "Changes of printer objects, as they come.",
            {"ObjectsStatus": printer.ObjectsStatus},
        ),
        Topic(
            "klipperGcode",
            "{instance}/klipper/gcode",
            "Gcode that somebody has asked for, as it is handed to Klipper.",
            {"Gcode": state.Gcode},
        ),
        Topic(
            "klipperField",
            "{instance}/klipper/state/{object}/{field}",
            "A field's value, at most one a second; cleared when Klipper goes.",
            {"FieldValue": state.FieldValue},
            True,
        ),
        Topic(
            "state",
            "{instance}/state/{agent}/{document}",
            "An agent's state, or what the log tells about its subject.",
            {
                "klippy/server": state.Klippy,
                "klippy/last_print": state.LastPrint,
                "extensions/remote_methods": state.RemoteMethods,
                "procstats/usage": machine.Usage,
                "procstats/throttled": machine.Throttled,
                "peripherals/usb": peripherals.UsbDevices,
                "peripherals/serial": peripherals.SerialDevices,
                "peripherals/video": peripherals.VideoDevices,
                "sysinfo/system_info": machine.SystemInfo,
                "machine/services": machine.Services,
                "machine/abilities": services.Abilities,
                "machine/remote_methods": state.RemoteMethods,
                "mqttgate/remote_methods": state.RemoteMethods,
                "buttons/buttons": buttons.Buttons,
                "sensors/sensors": sensors.Readings,
                "sensors/job_data": history.JobData,
                "notifiers/notifiers": notifiers.Outcomes,
                "notifiers/remote_methods": state.RemoteMethods,
                "filestore/roots": state.Roots,
                "filestore/uploads": state.Uploads,
                "job_queue/queue": job_queue.Queue,
                "job_queue/remote_methods": state.RemoteMethods,
                "webcams/webcams": webcams.Webcams,
                "announcements/announcements": announcements.Board,
                "spoolman/spoolman": spoolman.Status,
                "spoolman/remote_methods": state.RemoteMethods,
                "spoolman/job_data": history.JobData,
            },
            True,
        ),
        Topic(EVENT, "{instance}/event/{stream}/{type}", "Facts, once they are durable, in order."),
        Topic(
            "agent",
            "{instance}/agent/{agent}",
            "Who an agent is, and what it answers.",
            {"Presence": state.Presence, "Absence": state.Absence},
            True,
        ),
        Topic(
            "uplinkClaim",
            "{instance}/uplink/claim",
            "On a shared broker: which host has the instance's name.",
            {"UplinkClaim": state.UplinkClaim},
            taken=True,
        ),
        Topic(
            "uplinkResend",
            "{instance}/uplink/resend",
            "On a broker that replays no retained state: any message has the state sent again.",
            taken=True,
        ),
        Topic("logHead", "{instance}/log/head", "The newest event's number.", {"LogHead": state.LogHead}, True),
        Topic(
            "tunnelSend",
            "{instance}/klippy/tunnel/send/{client}",
            "Messages of a client for Klipper, through the tunnel that `klippy.tunnel.open` has opened.",
            {"KlipperRequest": klippy.Passed},
            taken=True,
        ),
        Topic(
            "tunnelReceive",
            "{instance}/klippy/tunnel/receive/{client}",
            "Klipper's messages for the client of a tunnel.",
            {"KlipperMessage": klippy.Passed},
        ),
        Topic(
            "tunnelControl",
            "{instance}/klippy/tunnel/control/{client}",
            "What a client says about its tunnel.",
            {"TunnelControl": klippy.TunnelControl},
            taken=True,
        ),
        Topic(
            "tunnelState",
            "{instance}/klippy/tunnel/state/{client}",
            "What the server says about a tunnel.",
            {"TunnelState": klippy.TunnelState},
        ),
        Topic(
            "uploadData",
            "{instance}/files/upload/{client}/{transfer}/data",
            "Chunks of an upload, each with its offset; no more than was asked for.",
            {"Chunk": files.Chunk},
            taken=True,
        ),
        Topic(
            "uploadWant",
            "{instance}/files/upload/{client}/{transfer}/want",
            "How far the client may go on.",
            {"Want": files.Want},
        ),
        Topic(
            "uploadFailed",
            "{instance}/files/upload/{client}/{transfer}/failed",
            "Why an upload is given up.",
            {"Fault": Fault},
        ),
        Topic(
            "downloadData",
            "{instance}/files/download/{client}/{transfer}/data",
            "Chunks of a download, each with its offset.",
            {"Chunk": files.Chunk},
        ),
        Topic(
            "downloadWant",
            "{instance}/files/download/{client}/{transfer}/want",
            "What the client has room for.",
            {"Want": files.Want},
            taken=True,
        ),
        Topic(
            "downloadFailed",
            "{instance}/files/download/{client}/{transfer}/failed",
            "Why a download is given up.",
            {"Fault": Fault},
        ),
        Topic(
            "klipperDelta",
            "{instance}/klipper/delta",
            "Every changed field with a revision; the bridge filters it per websocket.",
            {"Change": state.Change},
            internal=True,
        ),
        Topic(
            "agentCall",
            "{instance}/agent/{agent}/call",
            "Requests for an agent in another process.",
            {"AgentCall": AgentCall},
            internal=True,
        ),
        Topic(
            "agentMacro",
            "{instance}/agent/{agent}/macro",
            "Calls of gcode macros to what an agent offers them in its document `remote_methods`.",
            {"MacroCall": MacroCall},
            internal=True,
        ),
        Topic(
            "agentAnswer",
            "{instance}/agent/{agent}/answer",
            "Its answers.",
            ANSWER,
            taken=True,
            internal=True,
        ),
        Topic(
            "connection",
            "{instance}/connection/{connection}",
            "A bridge says that one of its websockets has opened or closed.",
            {"Opened": Opened, "Closed": Closed},
            taken=True,
            internal=True,
        ),
    )
}
