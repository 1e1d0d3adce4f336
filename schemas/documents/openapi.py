"""OpenAPI 3.1: the methods that have an HTTP form."""

from collections.abc import Iterator, Mapping
from re import findall

from .. import METHODS, AnyMethod, Arguments
from ..base import is_open
from ..errors import FAILURES, failures_of
from ..examples import EXAMPLES
from .definitions import Definitions, Json, info
from .openrpc import namespace, traits

KIND = (
    "Arguments come from the query string and the body, which may be JSON or a form; the body wins. Query values are "
    "text unless the key ends with a type: `?count:int=5`, `:bool`, `:float`, `:json`. A result is in `result`, an "
    "error in `error`."
)
JSON_BODY, FORM = "application/json", "application/x-www-form-urlencoded"
SCALARS = {"string", "integer", "number", "boolean", "null"}


def openapi(methods: Mapping[str, AnyMethod] = METHODS) -> Json:
    """The document of these methods."""
    rows = [methods[name] for name in sorted(methods) if methods[name].http]
    types = {f"{row.name} params": row.params for row in rows} | {f"{row.name} result": row.result for row in rows}
    known = Definitions(types)
    paths: Json = {}
    for row in rows:
        for route in row.http:
            verb, path = route.split(" ", 1)
            paths.setdefault(path, {})[verb.lower()] = _operation(row, verb.lower(), path, known)
    return {
        "openapi": "3.1.0",
        "info": info(KIND),
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({namespace(row) for row in rows})],
        "paths": paths,
        "components": {"schemas": {**known.models, "Error": ERROR}, "responses": dict(_responses())},
    }


ERROR: Json = {
    "title": "Error",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "message": {"type": "string", "description": "For people."},
                "data": {"description": "What the error brings along."},
            },
        }
    },
}


def _operation(row: AnyMethod, verb: str, path: str, known: Definitions) -> Json:
    members, required = known.members(f"{row.name} params")
    found: Json = {
        "operationId": f"{row.name}:{verb}",
        "summary": row.summary,
        "tags": [namespace(row)],
        "x-method": row.name,
        **traits(row),
        "x-arguments": row.flags.arguments.value,
    }
    if verb == "post" and members:
        found["requestBody"] = _body(row, known, bool(required))
    elif members:
        found["parameters"] = [_parameter(row, name, schema, name in required) for name, schema in members.items()]
    if is_open(path):
        found["parameters"] = [_place(name) for name in findall(r"{(\w+)}", path)]
    return found | {"responses": {"200": _result(row, known), **dict(_failures(row))}}


def _place(name: str) -> Json:
    """A parameter of a path that stands for many."""
    shown = {"description": "May hold slashes.", "schema": {"type": "string"}}
    return {"name": name, "in": "path", "required": True, **shown}


def _parameter(row: AnyMethod, name: str, schema: Json, required: bool) -> Json:
    """A value in the query; what is more than a word goes there as JSON, or as one key per printer object."""
    found: Json = {"name": name, "in": "query", "required": required}
    if "description" in schema:
        found["description"] = schema["description"]
    if row.flags.arguments is Arguments.OBJECTS and name == "objects":
        fields = {"type": "string", "description": "Fields with commas between; empty: all."}
        schema = {"type": "object", "additionalProperties": fields}
        return found | {"required": False, "style": "form", "explode": True, "schema": schema}
    if not _scalar(schema):
        return found | {"name": f"{name}:json", "content": {JSON_BODY: {"schema": schema}}}
    return found | {"schema": schema}


def _scalar(schema: Json) -> bool:
    return all(
        "enum" in kind or "const" in kind or kind.get("type") in SCALARS for kind in schema.get("anyOf", [schema])
    )


def _body(row: AnyMethod, known: Definitions, required: bool) -> Json:
    schema = known[f"{row.name} params"]
    example = EXAMPLES[row.name].params if row.name in EXAMPLES else None
    content: Json = {"schema": schema, **({"example": dict(example)} if example else {})}
    form = {FORM: {"schema": schema}} if row.flags.arguments is Arguments.NAMED else {}
    return {"required": required, "content": {JSON_BODY: content, **form}}


def _result(row: AnyMethod, known: Definitions) -> Json:
    result = known[f"{row.name} result"]
    schema = {"type": "object", "required": ["result"], "properties": {"result": result}}
    content: Json = {"schema": schema}
    if row.name in EXAMPLES:
        content["example"] = {"result": EXAMPLES[row.name].result}
    return {"description": "The result.", "content": {JSON_BODY: content}}


def _failures(row: AnyMethod) -> Iterator[tuple[str, Json]]:
    for status in sorted({failure.status for failure in failures_of(row)}):
        yield str(status), {"$ref": f"#/components/responses/{status}"}


def _responses() -> Iterator[tuple[str, Json]]:
    for status in sorted({failure.status for failure in FAILURES.values()}):
        same = [f"{failure.name}: {failure.meaning}" for failure in FAILURES.values() if failure.status == status]
        content = {JSON_BODY: {"schema": {"$ref": "#/components/schemas/Error"}}}
        yield str(status), {"description": " Or: ".join(same), "content": content}
