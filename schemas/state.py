"""What retained topics hold: one model per document."""

from typing import Any, Literal

from pydantic import Field

from .base import Model

KlippyState = Literal["disconnected", "startup", "ready", "error", "shutdown"]


class Server(Model):
    """Whether the server is there; `offline` is also its last will."""

    server: Literal["online", "offline"]


class RemoteMethods(Model):
    """What an agent lets gcode macros call."""

    methods: list[str] = Field(description="Names for `action_call_remote_method`.")


class Roots(Model):
    """The roots of the file manager."""

    roots: list[str]


class UploadProgress(Model):
    """How far an upload is."""

    client: str
    name: str
    size: int | None = Field(description="Bytes, or a little more; null where that is not known.")
    received: int = Field(description="Bytes that are on the disk.")


class Uploads(Model):
    """The uploads under way, twice a second."""

    uploads: list[UploadProgress]


class Availability(Model):
    """Whether the printer can be used, for home automation."""

    state: KlippyState
    message: str = Field(description="The state in words.")


class Klippy(Model):
    """What server.info says about Klipper."""

    klippy_connected: bool
    klippy_state: KlippyState
    missing_klippy_requirements: list[str] = Field(description="Sections that Klipper's configuration lacks.")
    state_message: str


class LastPrint(Model):
    """The last print as the log tells it; empty before any."""

    filename: str | None = None
    state: Literal["printing", "paused", "completed", "cancelled", "error", "interrupted"] | None = None
    by: dict[str, Any] | None = Field(None, description="Who started it: user, transport, client.")
    started: float | None = Field(None, description="Unix seconds, as `ended`.")
    ended: float | None = None
    print_duration: float | None = Field(None, description="Seconds, without pauses.")
    total_duration: float | None = None
    filament_used: float | None = Field(None, description="Millimetres.")
    message: str | None = Field(None, description="Why it did not end well.")
    cause: Literal["shutdown", "disconnected"] | None = Field(None, description="What interrupted it.")


class FieldValue(Model):
    """The latest value of one field of one printer object."""

    eventtime: float = Field(description="Seconds of Klipper's own clock.")
    value: Any


class Gcode(Model):
    """Gcode on its way to Klipper."""

    script: str = Field(description="Commands, one a line.")


class Change(Model):
    """Every changed field, in order."""

    revision: int = Field(description="Counts changes; a subscribe answer names the last one it contains.")
    eventtime: float
    status: dict[str, dict[str, Any]] = Field(description="Value by field, by object.")


class Presence(Model):
    """An agent that runs: who it is and what it answers."""

    alive: Literal[True]
    name: str
    boot: str = Field(description="Another one means that it was started anew.")
    version: str
    methods: list[str]


class Absence(Model):
    """An agent that is gone; also its last will."""

    alive: Literal[False]
    boot: str


class LogHead(Model):
    """The newest event, so that a reader sees what it has missed."""

    epoch: str = Field(description="Names the log; another one means that it was begun anew.")
    seq: int


class UplinkClaim(Model):
    """A host asks for an instance's name on a broker, or says that it has it."""

    boot: str = Field(description="A random id of the host's run.")
    link: str = Field(description="The name of its uplink.")
    asks: bool
