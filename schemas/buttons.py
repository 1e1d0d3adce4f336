"""Buttons: what is told of them, and how they are."""

from typing import Any, Literal

from pydantic import Field

from .base import Model, Notification

OWNER = "buttons"

Kind = Literal["gpio", "mqtt"]


class Pressing(Model):
    """One press or release; times are seconds of the host's monotonic clock, not Unix time."""

    elapsed_time: float = Field(description="Seconds since the button's last press or release.")
    received_time: float = Field(description="When it happened.")
    render_time: float = Field(description="When its template began; an earlier run may have held it up.")
    pressed: bool


class ButtonEvent(Model):
    """What a button's template tells."""

    name: str
    type: Kind
    event: Pressing
    aux: Any = Field(description="What the template gave, or null.")


class Button(Model):
    """How a button is."""

    type: Kind
    pressed: bool | None = Field(description="Null while that is not known.")
    fault: str | None = Field(description="Why it cannot be used at the moment.")


class Buttons(Model):
    """All that are configured."""

    buttons: dict[str, Button] = Field(description="By name.")


BUTTON_EVENT = Notification(
    "notify_button_event", "The template of a button asked for it; at most once a run.", tuple[ButtonEvent]
)
