"""The section `buttons` of printer.yaml: each button by its name."""

import re
from typing import Annotated, NamedTuple, Self

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from bus.agent import Settings
from bus.identity import EVERYTHING
from bus.mandate import Permissions
from bus.options import OneTopic, TemplateText
from schemas.buttons import Kind

DEFAULT_CHIP = "gpiochip0"
PIN = re.compile(r"(?P<marks>[\^~!]*)(?:(?P<chip>[\w-]+)/)?gpio(?P<line>\d{1,5})")


class Pin(NamedTuple):
    """A line of a GPIO chip; `pull` is `up`, `down` or nothing."""

    chip: str
    line: int
    inverted: bool
    pull: str

    def __str__(self) -> str:
        pull = {"up": "^", "down": "~"}.get(self.pull, "")
        return f"{pull}{'!' * self.inverted}{self.chip}/gpio{self.line}"


def _pin(text: object) -> object:
    found = PIN.fullmatch("".join(text.split())) if isinstance(text, str) else None
    if found is None or any(found["marks"].count(mark) > 1 for mark in "^~!") or {*"^~"} <= {*found["marks"]}:
        raise ValueError("expected CHIP/gpioNUMBER, before it '!' to invert and '^' or '~' to pull it up or down")
    pull = "up" if "^" in found["marks"] else "down" if "~" in found["marks"] else ""
    return Pin(found["chip"] or DEFAULT_CHIP, int(found["line"]), "!" in found["marks"], pull)


OF_KIND: dict[Kind, tuple[str, ...]] = {
    "gpio": ("pin", "debounce_period"),
    "mqtt": ("state_topic", "state_response_template", "pressed_payload", "released_payload"),
}


class ButtonSettings(Settings):
    """One button."""

    type: Kind = "gpio"
    pin: Annotated[Pin, BeforeValidator(_pin), PlainSerializer(str)] | None = None
    debounce_period: float = Field(0.05, ge=0.01, le=10, description="Seconds for which a pin must be steady.")
    state_topic: OneTopic | None = None
    state_response_template: TemplateText | None = Field(None, description="Makes one of the payloads of what comes.")
    pressed_payload: str = "pressed"
    released_payload: str | None = Field("released", description="null: it is never held, each press is one by itself.")
    minimum_event_time: float = Field(0, ge=0, description="Seconds before which no further press or release counts.")
    on_press: TemplateText | None = None
    on_release: TemplateText | None = None
    permissions: Permissions = Field(EVERYTHING, description="What its templates may do.")

    def templates(self) -> dict[str, str]:
        """The templates that are given, by option."""
        texts = {option: getattr(self, option) for option in ("on_press", "on_release", "state_response_template")}
        return {option: text for option, text in texts.items() if text is not None}

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        required = OF_KIND[self.type][0]
        if getattr(self, required) is None:
            raise ValueError(f"a button of type {self.type} needs '{required}'")
        for kind, options in OF_KIND.items():
            foreign = [option for option in options if option in self.model_fields_set and kind != self.type]
            if foreign:
                raise ValueError(f"'{foreign[0]}' is for buttons of type {kind}")
        return self

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.on_press is None and self.on_release is None:
            raise ValueError("needs on_press or on_release")
        if self.pressed_payload == self.released_payload:
            raise ValueError("pressed_payload and released_payload are the same")
        if self.released_payload is None and self.on_release is not None:
            raise ValueError("on_release needs a released_payload")
        return self


class ButtonsSettings(Settings):
    """Buttons by name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, ButtonSettings]

    @property
    def buttons(self) -> dict[str, ButtonSettings]:
        """All of them."""
        return self.__pydantic_extra__
