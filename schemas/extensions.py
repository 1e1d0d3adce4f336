"""Agents of somebody else's: clients that identify as `agent`, lend methods to macros and callers, and send events."""

from typing import Any, Literal

from pydantic import Field

from .base import Flags, Method, Model, NoParams, Notification, Params, Permission

OWNER = "extensions"
RESERVED = ("connected", "disconnected")
KLIPPERS_OWN = STATUS_UPDATE, CONSOLE_LINE = ("process_status_update", "process_gcode_response")
"""Methods that Klipper calls of its own accord, which are no remote methods."""


class Extension(Model):
    """A connected agent, as it has identified itself."""

    name: str
    version: str
    type: Literal["agent"]
    url: str


class ExtensionsList(Model):
    """All that are connected."""

    agents: list[Extension]


class RequestParams(Params):
    """A method of an agent."""

    agent: str = Field(description="The name under which the agent has identified itself.")
    method: str
    arguments: list[Any] | dict[str, Any] | None = Field(None, description="Becomes `params` of the request to it.")


class EventParams(Params):
    """Something that an agent wants to be known."""

    event: str = Field(description="Any name but `connected` and `disconnected`.")
    data: Any = None


class RegisterParams(Params):
    """A method for gcode macros."""

    method_name: str = Field(min_length=1, description="What a macro gives to `action_call_remote_method`.")


class AgentEvent(Model):
    """What an agent has said, or that it has come or gone."""

    agent: str
    event: str
    data: Any = Field(None, description="Left out where there is none; of `connected`, who the agent is.")


LIST = Method(
    "server.extensions.list",
    NoParams,
    ExtensionsList,
    OWNER,
    Permission.READ,
    ("GET /server/extensions/list",),
    summary="Agents of somebody else's that are connected.",
)
REQUEST = Method(
    "server.extensions.request",
    RequestParams,
    Any,
    OWNER,
    Permission.CONTROL,
    ("POST /server/extensions/request",),
    deadline=None,
    flags=Flags(changes=True),
    summary="Calls a method of such an agent and answers what it does.",
)
SEND_EVENT = Method(
    "connection.send_event",
    EventParams,
    str,
    OWNER,
    Permission.CONTROL,
    flags=Flags(connection=True),
    summary="Tells all other clients something; for agents.",
)
REGISTER = Method(
    "connection.register_remote_method",
    RegisterParams,
    str,
    OWNER,
    Permission.CONTROL,
    flags=Flags(connection=True),
    summary="Lets gcode macros call a method of the calling agent until it disconnects.",
)

AGENT_EVENT = Notification(
    "notify_agent_event",
    "An agent of somebody else's came, went or said something; its own websocket is not told.",
    tuple[AgentEvent],
)
