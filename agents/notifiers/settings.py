"""The section `notifiers` of printer.yaml: each notifier by its name."""

from importlib.util import find_spec
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from bus.agent import Settings
from bus.options import TemplateText
from schemas.notifiers import Event

LIBRARY = "apprise"
NO_LIBRARY = "messaging services need the package apprise: install printbus with its extra 'notify'"


def _split(value: object) -> object:
    return (
        [part.strip() for part in value.replace("\n", ",").split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _lines(value: object) -> object:
    return "\n".join(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value


class NotifierSettings(Settings):
    """One notifier."""

    url: TemplateText = Field(min_length=1, description="Where messages go, as apprise knows it.")
    events: Annotated[list[Event], BeforeValidator(_split), Field(min_length=1)]
    body: TemplateText | None = Field(None, description="Without it, the notifier's name.")
    body_format: Literal["text", "html", "markdown"] = "text"
    title: TemplateText | None = None
    attach: Annotated[TemplateText | None, BeforeValidator(_lines)] = Field(
        None, description="Gives files and addresses, one a line."
    )

    def wants(self, event: Event) -> bool:
        """Whether it tells of an event."""
        return event in self.events or "*" in self.events


class NotifiersSettings(Settings):
    """Notifiers by name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    __pydantic_extra__: dict[str, NotifierSettings]

    @model_validator(mode="after")
    def _can_send(self) -> Self:
        if find_spec(LIBRARY) is None:
            raise ValueError(NO_LIBRARY)
        return self

    @property
    def notifiers(self) -> dict[str, NotifierSettings]:
        """All of them."""
        return self.__pydantic_extra__
