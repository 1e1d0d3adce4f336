"""Kinds of options that several agents have: templates, topics, and options whose names their owner completes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
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

    @model_validator(mode="wrap")
    @classmethod
    def _complete(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """All mistakes at once: a key that is unknown may be the one that is missing."""
        mistakes: list[InitErrorDetails] = []
        options: dict[str, Settings] = {}
        for key, value in given.items() if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                options |= cls._option(str(key), value, mistakes)
        try:
            made = handler(given)
        except ValidationError as error:
            mistakes += [_detail(each) for each in error.errors(include_url=False)]
        if mistakes:
            raise ValidationError.from_exception_data(cls.__name__, mistakes)
        (made.__pydantic_extra__ or {}).update(options)
        return made

    @classmethod
    def _option(cls, key: str, value: Any, mistakes: list[InitErrorDetails]) -> dict[str, Settings]:
        kind = next((kind for start, kind in cls.families.items() if key.startswith(start) and key != start), None)
        if kind is None:
            mistakes.append({"type": "extra_forbidden", "loc": (key,), "input": value})
            return {}
        try:
            return {key: kind.model_validate(value)}
        except ValidationError as error:
            mistakes += [_detail(each, key) for each in error.errors(include_url=False)]
            return {}

    def family(self, start: str) -> dict[str, Any]:
        """The options whose names begin like this, by the rest of their names."""
        extra = self.__pydantic_extra__ or {}
        return {key.removeprefix(start): value for key, value in extra.items() if key.startswith(start)}


def _detail(error: ErrorDetails, *option: str) -> InitErrorDetails:
    """A mistake, maybe in what an option holds."""
    return {
        "type": error["type"],
        "loc": (*option, *error["loc"]),
        "input": error["input"],
        "ctx": error.get("ctx", {}),
    }
