"""JSON Schema of the types in the tables, as pydantic describes them."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from ..base import Params

Json = dict[str, Any]
COMPONENTS = "#/components/schemas/{model}"
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
ABOUT = "The API of a 3D printer: the same methods over HTTP, websocket and MQTT."


def info(kind: str) -> Json:
    """The head of a document."""
    return {
        "title": "printbus",
        "version": version("printbus"),
        "description": f"{ABOUT} {kind}",
        "license": {"name": "MIT", "url": "https://spdx.org/licenses/MIT.html"},
    }


class _ByNamespace(GenerateJsonSchema):
    """Names definitions `{namespace}.{Model}`: a new model never renames another."""

    def get_defs_ref(self, core_mode_ref: Any) -> Any:
        """The reference with dashes for dots, so that pydantic takes all of it for the class's name."""
        name, mode = core_mode_ref
        return super().get_defs_ref((name.removeprefix("schemas.").replace(".", "-"), mode))

    def normalize_name(self, name: str) -> str:
        """The dots come back."""
        return super().normalize_name(name).replace("-", ".")

    def field_title_should_be_set(self, schema: Any) -> bool:
        """A member's title would repeat its name."""
        return False

    def default_schema(self, schema: Any) -> Json:
        """Null as a default says only that the member may be left out, which is said already."""
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]
        return found


class Definitions:
    """The schemas of some types, and the definitions of the models that they refer to."""

    def __init__(self, types: Mapping[str, Any], refs: str = COMPONENTS) -> None:
        adapters = [(name, _mode(kind), TypeAdapter(kind)) for name, kind in types.items()]
        found, rest = TypeAdapter.json_schemas(adapters, ref_template=refs, schema_generator=_ByNamespace)
        self._schemas = {name: _bounded(schema) for (name, _), schema in found.items()}
        self.models: Json = _bounded(rest.get("$defs", {}))

    def __getitem__(self, name: str) -> Json:
        """The schema of a type."""
        schema: Json = self._schemas[name]
        return schema

    def members(self, name: str) -> tuple[dict[str, Json], list[str]]:
        """Schemas of the members of a type that is a model, and the names of those that are required."""
        schema = self._schemas[name]
        model = self.models[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        return model.get("properties", {}), model.get("required", [])


def _bounded(value: Any) -> Any:
    """Bounds of numbers that may come as text under their names in JSON Schema; pydantic leaves them under its own."""
    if isinstance(value, list):
        return [_bounded(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {BOUNDS.get(key, key) if isinstance(part, int) else key: _bounded(part) for key, part in value.items()}


def _mode(kind: Any) -> Literal["validation", "serialization"]:
    """What we accept is described as it comes in, everything else as it goes out."""
    return "validation" if isinstance(kind, type) and issubclass(kind, Params) else "serialization"
