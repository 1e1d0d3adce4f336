"""JSON Schema 2020-12 of all models, by `{namespace}.{Model}`."""

from inspect import getmembers
from types import ModuleType
from typing import Any

from .. import NAMESPACES, Model, Params, events, state, topics
from .definitions import Definitions, Json, info


def models() -> Json:
    """The document; a tool picks what it wants by `$defs`."""
    found = [kind for module in (*NAMESPACES, events, state, topics) for kind in _of(module)]
    known = Definitions({f"{kind.__module__}.{kind.__name__}": kind for kind in found}, "#/$defs/{model}")
    about = info("The models of params, results, events and state documents.")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": about["title"],
        "description": about["description"],
        "$defs": known.models,
    }


def _of(module: ModuleType) -> list[Any]:
    def own(value: object) -> bool:
        return isinstance(value, type) and issubclass(value, (Model, Params)) and value.__module__ == module.__name__

    return [kind for _, kind in getmembers(module, own)]
