"""Kinds of options that several agents have: templates, topics, and options whose names their owner completes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails

from .agent import Settings
from .matching import filter_fault


def _topic(text: str) -> str:
    if fault := filter_fault(text):
        raise ValueError(fault)
    if "+" in text or "#" in text or text.startswith("$"):
        raise ValueError("expected one topic, without wildcards")
    return text


def _template(text: str) -> str:
    from .templates import check_syntax  # with jinja2, which takes its time and memory

    return check_syntax(text)


OneTopic = Annotated[str, AfterValidator(_topic)]
TemplateText = Annotated[str, AfterValidator(_template)]


class Families(Settings):
    """Settings with options such as `parameter_NAME`: how their names begin, and the model of what they hold."""

    model_config = ConfigDict(frozen=True, extra="allow")

    families: ClassVar[Mapping[str, type[Settings]]] = {}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        extra = self.__pydantic_extra__ or {}
        mistakes: list[InitErrorDetails] = []
        for key, value in extra.items():
            kind = next((kind for start, kind in self.families.items() if key.startswith(start) and key != start), None)
            if kind is None:
                mistakes.append({"type": "extra_forbidden", "loc": (key,), "input": value})
                continue
            try:
                extra[key] = kind.model_validate(value)
            except ValidationError as error:
                mistakes += [_inside(key, each) for each in error.errors(include_url=False)]
        if mistakes:
            raise ValidationError.from_exception_data(type(self).__name__, mistakes)
        return self

    def family(self, start: str) -> dict[str, Any]:
        """The options whose names begin like this, by the rest of their names."""
        extra = self.__pydantic_extra__ or {}
        return {key.removeprefix(start): value for key, value in extra.items() if key.startswith(start)}


def _inside(key: str, error: ErrorDetails) -> InitErrorDetails:
    """A mistake in what an option holds."""
    loc, context = (key, *error["loc"]), error.get("ctx", {})
    return {"type": error["type"], "loc": loc, "input": error["input"], "ctx": context}
