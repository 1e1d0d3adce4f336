"""Makes values fit a model: what the model refuses is left out, with the reason."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Where = tuple[str | int, ...]
LISTS: Final = {"list_type", "tuple_type", "set_type"}  # errors about text where several lines are meant
GONE: Final = object()  # with what it was in


def fitted(model: type[BaseModel], values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Where, str]]:
    """What the model takes, as it writes it, and what it does not, by place."""
    rest = _copied(dict(values))
    refused: dict[Where, str] = {}
    while mistakes := _mistakes(model, rest):
        for place, error in reversed(mistakes.items()):  # of a list the last item first
            _mend(model, rest, place, error, refused)
        if not rest:
            return {}, refused
    return model.model_validate(rest).model_dump(mode="json", exclude_unset=True), refused


def reason(error: ValidationError) -> str:
    """The first of what a model refuses, and where that is."""
    first = error.errors(include_url=False)[0]
    where = ", ".join(map(str, first["loc"]))
    return f"{where}: {_reason(first, (), None)}" if where else _reason(first, (), None)


def _mistakes(model: type[BaseModel], values: dict[str, Any]) -> dict[Where, ErrorDetails]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        return {_place(values, each["loc"]): each for each in error.errors(include_url=False)}
    return {}


def _mend(
    model: type[BaseModel], rest: dict[str, Any], place: Where, error: ErrorDetails, refused: dict[Where, str]
) -> None:
    found = _at(rest, place)
    if error["type"] in LISTS and isinstance(found, str):
        _at(rest, place[:-1])[place[-1]] = [line for line in map(str.strip, found.splitlines()) if line]
    elif found is not GONE:
        place = _culprit(model, rest, place) if isinstance(found, dict) else place
        refused[place] = _reason(error, place, _at(rest, place))
        _remove(rest, place)


def _culprit(model: type[BaseModel], rest: dict[str, Any], place: Where) -> Where:
    """The member without which the others fit together, where there is one; else all of them."""
    for name in reversed(_at(rest, place)):
        without = _copied(rest)
        _remove(without, (*place, name))
        if without and place not in _mistakes(model, without):
            return *place, name
    return place


def _place(values: Any, loc: tuple[int | str, ...]) -> Where:
    """The innermost part that is there: of what is missing, what it is missing in."""
    for depth, part in enumerate(loc):
        inside = part in values if isinstance(values, dict) else isinstance(part, int) and isinstance(values, list)
        if not inside:
            return loc[:depth]
        values = values[part]
    return loc


def _reason(error: ErrorDetails, place: Where, found: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "printbus has no such option"
    if error["type"] == "missing":
        return f"'{error['loc'][-1]}' is required"
    text = error["msg"].removeprefix("Value error, ")
    item = f"'{found}': " if isinstance((None, *place)[-1], int) else ""
    return f"{item}{text[:1].lower()}{text[1:]}"


def _at(values: Any, place: Where) -> Any:
    try:
        for part in place:
            values = values[part]
    except (LookupError, TypeError):
        return GONE
    return values


def _remove(values: Any, place: Where) -> None:
    if place:
        del _at(values, place[:-1])[place[-1]]
    else:
        values.clear()


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value
