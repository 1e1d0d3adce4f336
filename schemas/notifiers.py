"""Notifiers: messages to people, through the services that they use."""

from typing import Any, Literal

from pydantic import Field

from .base import Method, Model, NoParams, Params, Permission

OWNER = "notifiers"

Event = Literal["started", "complete", "error", "cancelled", "paused", "resumed", "gcode", "*"]


class Notifier(Model):
    """One notifier, as it is configured."""

    name: str
    url: str = Field(description="Its address without what could be a secret.")
    events: list[Event] = Field(description="What it tells of; `*` is everything.")
    body: str | None = Field(description="A template; null: the notifier's name.")
    title: str | None = Field(description="A template.")
    attach: str | None = Field(description="A template that gives paths and addresses, one a line.")


class Notifiers(Model):
    """All of them."""

    notifiers: list[Notifier]


class NameParams(Params):
    """Which notifier."""

    name: str


class Tested(Model):
    """The message was delivered."""

    status: Literal["success"]
    stats: dict[str, Any] = Field(description="Klipper's `print_stats`, which the templates were given; may be empty.")


class MacroParams(Params):
    """What a gcode macro gives to `notify`."""

    name: str = Field(description="Of a notifier.")
    message: str = Field("", description="`event_message` of its templates.")


class Outcome(Model):
    """How a notifier does."""

    events: list[Event]
    waiting: int = Field(description="Messages that are not delivered yet.")
    fault: str | None = Field(description="Why the last message was not delivered.")


class Outcomes(Model):
    """How all of them do."""

    notifiers: dict[str, Outcome] = Field(description="By name.")


LIST = Method(
    "server.notifiers.list",
    NoParams,
    Notifiers,
    OWNER,
    Permission.READ,
    ("GET /server/notifiers/list",),
    summary="All notifiers.",
)
TEST = Method(
    "debug.notifiers.test",
    NameParams,
    Tested,
    OWNER,
    Permission.CONTROL,
    ("POST /debug/notifiers/test",),
    deadline=60.0,
    summary="Has a notifier send a message now, and answers whether that was delivered.",
)
