"""The generated documents: up to date, sound in themselves, and true of the code and of a running program."""

import asyncio
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter
from websockets.sync.client import connect

from bus import errors
from bus.topics import Topics, is_own
from schemas import METHODS
from schemas.documents import DOCUMENTS, GENERATED, text_of
from schemas.errors import FAILURES
from schemas.events import EVENTS
from schemas.examples import EXAMPLES
from schemas.topics import TOPICS
from tests.e2e.test_print import Socket, fast_printer, get, until
from tests.mqtt_wire import Published, WireClient
from tests.program import Addresses, running

Json = dict[str, Any]
NAMES = sorted(DOCUMENTS)
OF_A_PRINT = {"printer", "print", "commands"}  # streams
BY_REQUEST = {"events", "state", "topics", "errors", "examples", "documents"}


@cache
def document(name: str) -> Json:
    found: Json = json.loads((GENERATED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def found_at(tree: Any, pointer: str) -> Any:
    for part in pointer.removeprefix("#/").split("/"):
        tree = tree[part.replace("~1", "/").replace("~0", "~")]
    return tree


def schema_in(whole: Json, schema: Json) -> Draft202012Validator:
    """A validator for a schema that refers to the components of its document."""
    return Draft202012Validator({**schema, "components": whole["components"]})


# ---- in themselves


@pytest.mark.parametrize("name", NAMES)
def test_what_is_checked_in_is_what_the_tables_say(name: str) -> None:
    written = (GENERATED / f"{name}.json").read_text(encoding="utf-8")
    assert written == text_of(name), "run: python -m schemas.documents"


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_leads_somewhere(name: str) -> None:
    whole = document(name)
    found = set(references(whole))
    assert found
    for reference in found:
        assert found_at(whole, reference) is not None


@pytest.mark.parametrize("name", NAMES)
def test_models_are_valid_json_schemas(name: str) -> None:
    whole = document(name)
    models = whole["$defs"] if name == "schemas" else whole["components"]["schemas"]
    assert models
    for schema in models.values():
        Draft202012Validator.check_schema(schema)


def test_openapi_is_what_its_specification_asks_for() -> None:
    OpenAPIV31SpecValidator(document("openapi")).validate()


def test_models_keep_their_names_when_another_namespace_has_the_same() -> None:
    assert {"printer.Info", "server.Info"} <= set(document("schemas")["$defs"])


def test_a_bound_is_called_what_json_schema_calls_it() -> None:
    limit = document("schemas")["$defs"]["server.EventsParams"]["properties"]["limit"]
    assert (limit["minimum"], limit["maximum"], "ge" in limit) == (1, 5000, False)


# ---- of the code


def test_every_method_is_in_openrpc_and_every_route_in_openapi() -> None:
    assert [method["name"] for method in document("openrpc")["methods"]] == sorted(METHODS)
    paths = document("openapi")["paths"]
    routes = {
        f"{verb.upper()} {path}": found["x-method"] for path, verbs in paths.items() for verb, found in verbs.items()
    }
    assert routes == {route: row.name for row in METHODS.values() for route in row.http}


def test_methods_tell_what_their_rows_say() -> None:
    for method in document("openrpc")["methods"]:
        row = METHODS[method["name"]]
        assert (method["x-permission"], method["x-agent"], method["x-deadline"]) == (row.needs, row.owner, row.deadline)
        assert {param["name"] for param in method["params"]} == set(row.params.model_fields)
        assert ("changes" in method["x-flags"]) == row.flags.changes
        codes = [found_at(document("openrpc"), error["$ref"])["code"] for error in method["errors"]]
        assert len(codes) == len(set(codes))
        assert (400 in codes) == (bool(row.params.model_fields) or row.owner in ("klippy", "machine"))


def test_errors_are_those_that_the_bus_raises() -> None:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.BusError)]
    raised = {
        kind.__name__: (kind.code, kind.status, kind.retryable, kind.__doc__)
        for kind in kinds
        if kind is not errors.BusError
    }
    told = {name: (each.code, each.status, each.retryable, each.meaning) for name, each in FAILURES.items()}
    assert told == raised


def test_topics_are_those_that_the_bus_uses() -> None:
    """Every name that `Topics` makes, with words for its parameters, is an address of the table."""
    topics = Topics("i")
    methods = inspect.getmembers(topics, inspect.ismethod)
    made = {
        make(*["x"] * len(inspect.signature(make).parameters)) for name, make in methods if not name.startswith("_")
    }
    made |= {value for key, value in vars(topics).items() if key != "instance" and not re.search("[+#]", value)}
    addresses = [pattern_of(topic.address) for topic in TOPICS.values()]
    assert len(made) >= 14
    assert [topic for topic in made if not any(address.fullmatch(topic) for address in addresses)] == []


def test_all_topics_of_the_instance_are_known_as_its_own() -> None:
    """Nobody else may have something published there in his place."""
    own = [topic.address for topic in TOPICS.values() if topic.address.startswith("{instance}/")]
    assert [address for address in own if not is_own("{instance}", address)] == []
    assert [topic for topic in ("i2/klipper/status", "home/i", "i/lamp/set") if is_own("i", topic)] == []
    assert is_own("i", "i") and is_own("i", "$SYS/broker/uptime")


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_fit_their_methods(name: str) -> None:
    row, example = METHODS[name], EXAMPLES[name]
    row.params.model_validate(example.params)
    TypeAdapter(row.result).validate_python(example.result)
    (method,) = (each for each in document("openrpc")["methods"] if each["name"] == name)
    schema_in(document("openrpc"), method["result"]["schema"]).validate(example.result)
    for param in method["params"]:
        if param["name"] in example.params:
            schema_in(document("openrpc"), param["schema"]).validate(example.params[param["name"]])


def test_nothing_of_this_is_loaded_before_somebody_asks() -> None:
    script = (
        "import sys, bus.commands, bridge, agents.core, agents.klippy\n"
        f"assert not {{f'schemas.{{name}}' for name in {BY_REQUEST}}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# ---- of a running program


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("documents")
    with running(folder / "data", *fast_printer(folder)) as (_, addresses):
        until(lambda: bool(get(addresses, "/server/info")["klippy_state"] == "ready"))
        yield addresses


@pytest.fixture(scope="module")
def heard(where: Addresses) -> list[Published]:
    return asyncio.run(hear_a_print(where))


def pattern_of(address: str) -> re.Pattern[str]:
    words = {"{method}": ".+", "{connection}": ".+"}
    parts = re.split(r"({\w+})", address)
    return re.compile("".join(words.get(part, "[^/]+") if part.startswith("{") else re.escape(part) for part in parts))


def test_everything_that_a_print_puts_on_the_bus_is_as_described(heard: list[Published]) -> None:
    whole = document("asyncapi")
    channels = {name: pattern_of(found["address"]) for name, found in whole["channels"].items()}
    validators = {
        name: schema_in(whole, message["payload"]) for name, message in whole["components"]["messages"].items()
    }
    seen: set[str] = set()
    for message in heard:
        channel = next(name for name, pattern in channels.items() if pattern.fullmatch(message.topic))
        found = whole["channels"][channel]
        assert not found["x-internal"]
        seen.add(channel)
        if not message.payload:
            assert found["x-retained"]
            continue
        payload = json.loads(message.payload)
        names = [each["$ref"].rpartition("/")[2].replace("~1", "/") for each in found["messages"].values()]
        fitting = [name for name in names if validators[name].is_valid(payload)]
        assert fitting, (message.topic, payload)
    sent = {name for name, topic in TOPICS.items() if not (topic.internal or topic.taken or "/files/" in topic.address)}
    assert seen >= sent - {"reply", "privateResponse", "tunnelReceive", "tunnelState"}


async def hear_a_print(where: Addresses) -> list[Published]:
    """All messages that any client may read while a file is printed, stopped and the printer restarted."""
    client = await WireClient.open((where.mqtt_host, where.mqtt_port))
    await client.login("listener")
    await client.subscribe(("test/#", 0))
    heard: list[Published] = []

    async def until_event(kind: str) -> None:
        while not heard or not heard[-1].topic.endswith(kind):
            heard.append(await client.published(20))

    async def order(method: str, **params: Any) -> None:
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": method}
        await client.publish("test/moonraker/api/request", json.dumps(request).encode())

    await order("printer.print.start", filename="demo.gcode")
    await until_event("print.started.1")
    await order("printer.print.pause")
    await until_event("print.paused.1")
    await order("printer.print.resume")
    await until_event("print.resumed.1")
    await order("printer.emergency_stop")
    await until_event("print.ended.1")
    await order("printer.firmware_restart")
    await until_event("printer.ready.1")
    await client.disconnect()
    return heard


def test_events_of_a_print_are_of_the_types_that_are_described(where: Addresses, heard: list[Published]) -> None:
    events = get(where, "/events/read?limit=5000")["events"]
    rare = {"printer.failed.1"}
    described = {name for name, row in EVENTS.items() if row.stream in OF_A_PRINT}
    assert {event["type"] for event in events if event["stream"] in OF_A_PRINT} == described - rare
    for event in events:
        row = EVENTS[event["type"]]
        assert row.stream in (None, event["stream"])
        row.data.model_validate(event["data"])


def test_discover_answers_the_document_over_http(where: Addresses) -> None:
    assert get(where, "/rpc/discover") == document("openrpc")


def test_discover_answers_the_document_over_websocket(where: Addresses) -> None:
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        assert Socket(connection).ask("rpc.discover")["result"] == document("openrpc")


def test_discover_answers_the_document_over_mqtt(where: Addresses) -> None:
    async def ask() -> Json:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("discoverer")
        await client.subscribe(("test/reply/discoverer", 0))
        await client.publish("test/rpc/discoverer/rpc/discover", b'{"id":1}')
        answer: Json = json.loads((await client.published()).payload)
        await client.disconnect()
        return answer

    assert asyncio.run(ask())["result"] == document("openrpc")
