"""The section `notifiers` of printer.yaml: each notifier by its name."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from bus.agent import Settings
from bus.options import TemplateText
from schemas.notifiers import Event


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

    @property
    def notifiers(self) -> dict[str, NotifierSettings]:
        """All of them."""
        return self.__pydantic_extra__
