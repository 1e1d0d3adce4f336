"""OpenRPC 1.3: every method with params, result, errors and examples."""

from collections.abc import Iterator, Mapping

from .. import METHODS, AnyMethod
from ..errors import FAILURES, Failure, failures_of
from ..examples import EXAMPLES
from .definitions import Definitions, Json, info

KIND = "Methods over JSON-RPC: on the websocket, on MQTT topics and as a POST."


def openrpc(methods: Mapping[str, AnyMethod] = METHODS) -> Json:
    """The document of these methods."""
    rows = [methods[name] for name in sorted(methods)]
    types = {f"{row.name} params": row.params for row in rows} | {f"{row.name} result": row.result for row in rows}
    known = Definitions(types)
    return {
        "openrpc": "1.3.2",
        "info": info(KIND),
        "servers": [{"name": "websocket", "url": "/websocket"}, {"name": "http", "url": "/server/jsonrpc"}],
        "methods": [_method(row, known) for row in rows],
        "components": {"schemas": known.models, "errors": {str(code): error for code, error in _errors()}},
    }


def namespace(row: AnyMethod) -> str:
    """What a method is listed under: its name without the last part."""
    return row.name.rpartition(".")[0]


def traits(row: AnyMethod) -> Json:
    """What is ours about a method, in members that all documents allow."""
    flags = [name for name in ("changes", "secret", "urgent", "connection") if getattr(row.flags, name)]
    return {"x-permission": row.needs.value, "x-agent": row.owner, "x-deadline": row.deadline, "x-flags": flags}


def _method(row: AnyMethod, known: Definitions) -> Json:
    members, required = known.members(f"{row.name} params")
    params = [_descriptor(name, schema, name in required) for name, schema in members.items()]
    found: Json = {
        "name": row.name,
        "summary": row.summary,
        "tags": [{"name": namespace(row)}],
        "paramStructure": "by-name",
        "params": sorted(params, key=lambda param: not param["required"]),
        "result": {"name": "result", "schema": known[f"{row.name} result"]},
        "errors": [{"$ref": f"#/components/errors/{code}"} for code in _codes(row)],
        **traits(row),
        "x-http": list(row.http),
    }
    if row.name in EXAMPLES:
        found["examples"] = [_example(row)]
    return found


def _descriptor(name: str, schema: Json, required: bool) -> Json:
    found: Json = {"name": name, "required": required, "schema": schema}
    return found | ({"description": schema["description"]} if "description" in schema else {})


def _example(row: AnyMethod) -> Json:
    example = EXAMPLES[row.name]
    return {
        "name": row.name,
        "params": [{"name": name, "value": value} for name, value in example.params.items()],
        "result": {"name": "result", "value": example.result},
    }


def _codes(row: AnyMethod) -> list[int]:
    """OpenRPC wants codes only once, and a code is all that a caller sees of some errors."""
    return list(dict.fromkeys(failure.code for failure in failures_of(row)))


def _errors() -> Iterator[tuple[int, Json]]:
    for code in dict.fromkeys(failure.code for failure in FAILURES.values()):
        same = [failure for failure in FAILURES.values() if failure.code == code]
        yield code, {"code": code, "message": " Or: ".join(map(_text, same))}


def _text(failure: Failure) -> str:
    return f"{failure.name}: {failure.meaning}"
