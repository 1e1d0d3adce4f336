"""Klipper itself: its objects as they are now, the file it prints, and tunnels, one client's own connections to it."""

from pydantic import ConfigDict, Field

from .base import Flags, Method, Model, NoParams, Permission
from .printer import ObjectsParams, ObjectsStatus

OWNER = "klippy"
OPEN_DEADLINE = 10.0  # seconds


class LoadedFile(Model):
    """What must not be changed while it is printed."""

    filename: str | None = Field(
        description="A path in the gcodes root; null where nothing is being printed or paused, and without Klipper."
    )


class Tunnel(Model):
    """The topics of a tunnel."""

    send: str = Field(description="Takes one message for Klipper at a time, without the byte 0x03.")
    receive: str = Field(description="What Klipper says, one message at a time.")
    control: str = Field(description="What the client says about the tunnel, at least once a minute.")
    state: str = Field(description="What the server says about it.")


class Passed(Model):
    """A message as Klipper's API describes it; nobody looks into it on its way."""

    model_config = ConfigDict(extra="allow")


class TunnelControl(Model):
    """What a client says about its tunnel; an empty object says that the client is there."""

    open: bool = Field(True, description="False closes the tunnel.")
    paused: bool | None = Field(None, description="Whether the client wants nothing more for now.")


class TunnelState(Model):
    """What the server says about a tunnel."""

    open: bool = Field(description="False once it has ended.")
    paused: bool = Field(False, description="Klipper does not keep up: nothing should be sent for now.")
    reason: str = Field("", description="Why it has ended.")


OBJECTS_NOW = Method(
    "klippy.objects.now",
    ObjectsParams,
    ObjectsStatus,
    OWNER,
    Permission.READ,
    summary="Values of printer objects as Klipper has them on its next tick, which takes up to a quarter of a second.",
)
LOADED_FILE = Method(
    "klippy.loaded_file",
    NoParams,
    LoadedFile,
    OWNER,
    Permission.READ,
    summary="The file that is being printed or paused; unavailable for as long as that is not known.",
)
TUNNEL_OPEN = Method(
    "klippy.tunnel.open",
    NoParams,
    Tunnel,
    OWNER,
    Permission.CONTROL,
    deadline=OPEN_DEADLINE,
    flags=Flags(changes=True, connection=True),
    summary="Opens a connection of the caller's own to Klipper's socket; one that is open is closed first.",
)
