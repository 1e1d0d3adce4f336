"""Every example of docs/clients.md, in its order, over websocket, MQTT and HTTP; the test holds no copy of them."""

import asyncio
import json
import re
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from schemas import METHODS, server
from schemas.base import AnyMethod
from schemas.printer import OBJECTS_SUBSCRIBE, STATUS_UPDATE
from tests.e2e.test_print import PATIENCE, fast_printer, get, until
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running

Json = dict[str, Any]
Ask = Callable[[Json], Json]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text()
INSTANCE, CLIENT = "printer", "desk"
BLOCKS = [
    (kind, textwrap.dedent(text))
    for kind, text in re.findall(r"^ *```(\w+)\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
]
BED = {  # of three columns and four rows
    "mesh_min": [10.0, 20.0],
    "mesh_max": [210.0, 170.0],
    "probed_matrix": [[0.0, 0.1, 0.2], [0.3, 0.4, 0.5], [0.6, 0.7, 0.8], [0.9, 1.0, 1.1]],
}


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("clients")
    with running(folder / "data", *fast_printer(folder), "--instance", INSTANCE) as (_, found):
        until(lambda: bool(get(found, "/server/info")["klippy_state"] == "ready"))
        yield found


def named(pattern: str) -> str:
    """What the page gives for something, always the same."""
    (found,) = set(re.findall(pattern, PAGE))
    return str(found)


def row_of(request: Json) -> AnyMethod:
    row = METHODS.find(request["method"])
    assert row is not None, request
    return row


@contextmanager
def websocket(where: Addresses) -> Iterator[Ask]:
    path = named(r"ws://127\.0\.0\.1:7125(/\w+)`")
    with connect(where.http.replace("http", "ws") + path) as connection:

        def ask(request: Json) -> Json:
            connection.send(json.dumps(request))
            while True:
                answer: Json = json.loads(connection.recv(PATIENCE))
                if "id" in answer:
                    return answer

        yield ask


@contextmanager
def mqtt(where: Addresses) -> Iterator[Ask]:
    to, back = (named(rf"`({INSTANCE}/moonraker/api/{way}/{CLIENT})`") for way in ("request", "response"))
    with asyncio.Runner() as runner:

        async def login() -> WireClient:
            client = await WireClient.open((where.mqtt_host, where.mqtt_port))
            await client.login(CLIENT)
            await client.subscribe((back, 0))
            return client

        client = runner.run(login())

        async def asked(request: Json) -> Json:
            await client.publish(to, json.dumps(request).encode())
            answer: Json = json.loads((await client.published()).payload)
            return answer

        yield lambda request: runner.run(asked(request))
        runner.run(client.disconnect())


@contextmanager
def http(where: Addresses) -> Iterator[Ask]:
    verb, path = named(r"`(POST /server/\w+)`").split()

    def ask(request: Json) -> Json:
        body, kind = json.dumps(request).encode(), {"Content-Type": "application/json"}
        made = urllib.request.Request(where.http + path, body, kind, method=verb)  # noqa: S310
        with urllib.request.urlopen(made, timeout=PATIENCE) as answer:  # noqa: S310
            found: Json = json.load(answer)
        return found

    yield ask


def at_path(where: Addresses, line: str) -> Json:
    """The body of the answer to a line like `GET /path`."""
    verb, path = line.split()
    request = urllib.request.Request(where.http + path, method=verb)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            found: Json = json.load(answer)
    except urllib.error.HTTPError as error:
        found = json.load(error)
    return found


def at_rest(where: Addresses) -> None:
    """No print is on, and all its moves have ended."""
    get(where, "/printer/print/cancel", post=True)
    until(lambda: printing(where)["state"] not in ("printing", "paused"))


def extruding(where: Addresses) -> bool:
    now = printing(where)
    return bool(now["state"] == "printing" and now["print_duration"] > 0)


def printing(where: Addresses) -> Json:
    found: Json = get(where, "/printer/objects/query?print_stats")["status"]["print_stats"]
    return found


def follow(where: Addresses, ask: Ask, *, paths: bool) -> Json:
    """Goes through the page as a reader would; what its code has found out. `paths`: at the paths that it shows."""
    known: Json = {}
    request: Json = {}
    for (kind, text), (following, _) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if kind == "python":
            exec(compile(text, "docs/clients.md", "exec"), known)  # noqa: S102
            continue
        request = json.loads(text) if kind == "json" else request
        if kind != (way := "http" if paths and "http" in (kind, following) else "json"):
            continue
        answer = at_path(where, text.strip()) if way == "http" else ask(request)
        known["result"] = answered(request, answer, known)
        if request["method"] == "printer.print.start":
            until(lambda: extruding(where))
    return known


def answered(request: Json, answer: Json, known: Json) -> Any:
    """The result; over HTTP, what concerns a connection is refused, and the reader goes on without it."""
    if "result" in answer:
        return answer["result"]
    assert row_of(request).flags.connection, (request, answer)
    return {"status": {}, **known.get("result", {})}


def test_the_page_has_something_of_each_kind_and_names_only_what_is_there() -> None:
    assert {kind for kind, _ in BLOCKS} == {"json", "http", "python"}
    for kind, text in BLOCKS:
        if kind == "json":
            assert row_of(json.loads(text)).name in METHODS
    numbers = [json.loads(text)["id"] for kind, text in BLOCKS if kind == "json"]
    assert numbers == list(range(1, len(numbers) + 1))


WAYS = {"websocket": (websocket, False), "mqtt": (mqtt, False), "http": (http, False), "http paths": (http, True)}


@pytest.mark.parametrize("way", WAYS)
def test_the_examples_do_what_the_page_says(where: Addresses, way: str) -> None:
    transport, paths = WAYS[way]
    try:
        with transport(where) as ask:
            known = follow(where, ask, paths=paths)
    finally:
        at_rest(where)
    assert known["ready"] is True and known["reason"] == "Printer is ready"
    assert known["file"] == "demo.gcode" and known["available"]
    assert known["left"] > 0
    assert known["seconds_left"](known["status"], 100.0) < 100
    assert known["mesh_points"] == []  # the virtual printer has not probed its bed
    at, line = known["lines"][-1]
    assert line and abs(datetime.now(UTC).astimezone() - at.astimezone()) < timedelta(minutes=1)


@pytest.fixture(scope="module")
def code() -> Json:
    """The functions of the page, without the lines that use an answer."""
    made: Json = {}
    for kind, text in BLOCKS:
        if kind == "python" and "def " in text:
            exec(text[: text.rindex("\n\n")] if "\n\n" in text else text, made)  # noqa: S102
    return made


def test_what_the_page_says_comes_by_itself_does(where: Addresses) -> None:
    topics = set(re.findall(rf"`({INSTANCE}/[\w/]+(?:/#)?)`", PAGE)) - {*re.findall(rf"{INSTANCE}/\S+/{CLIENT}", PAGE)}
    heard: set[str] = set()

    async def listen() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("listener")
        await client.subscribe(*((topic, 0) for topic in topics))
        get(where, "/printer/firmware_restart", post=True)
        while "notify_klippy_ready" not in {topic.rpartition("/")[2] for topic in heard}:
            heard.add((await client.published()).topic)
        await client.disconnect()

    asyncio.run(listen())
    for topic in topics:
        assert any(name.startswith(topic.removesuffix("#")) for name in heard), topic
    assert {"notify_klippy_disconnected", "notify_klippy_ready"} <= {name.rpartition("/")[2] for name in heard}


def test_a_websocket_hears_what_the_page_names(where: Addresses) -> None:
    subscribe = next(request for request in map(json.loads, requests()) if request["method"] == OBJECTS_SUBSCRIBE.name)
    named_here = set(re.findall(r"`(notify_\w+)`", PAGE))
    heard: set[str] = set()
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:
        connection.send(json.dumps(subscribe))
        get(where, "/printer/gcode/script?script=M104%20S50", post=True)
        while STATUS_UPDATE.name not in heard:
            heard.add(json.loads(connection.recv(PATIENCE)).get("method"))
        get(where, "/printer/emergency_stop", post=True)
        get(where, "/printer/firmware_restart", post=True)
        while not named_here <= heard:
            heard.add(json.loads(connection.recv(PATIENCE)).get("method"))


def test_a_mesh_spans_its_corners_row_by_row(code: Json) -> None:
    points = code["points"](BED)
    assert len(points) == 12
    assert (points[0], points[2], points[3]) == ((10.0, 20.0, 0.0), (210.0, 20.0, 0.2), (10.0, 70.0, 0.3))
    assert points[-1] == (210.0, 170.0, 1.1)
    assert code["points"]({"probed_matrix": [[]]}) == code["points"]({}) == []


def test_the_end_is_not_estimated_before_there_is_anything_to_go_by(code: Json) -> None:
    def status(progress: float, duration: float) -> Json:
        return {"virtual_sdcard": {"progress": progress}, "print_stats": {"print_duration": duration}}

    assert code["seconds_left"](status(0.25, 30.0)) == 90.0
    assert code["seconds_left"](status(0.0, 0.0)) is None
    assert code["seconds_left"](status(0.01, 0.0)) is None
    assert code["seconds_left"](status(0.25, 30.0), 100.0) == 75.0


def test_changes_are_merged_field_by_field(code: Json) -> None:
    known = {"extruder": {"temperature": 20.0, "target": 0.0}}
    code["merge"](known, {"extruder": {"target": 200.0}, "fan": {"speed": 1.0}})
    assert known == {"extruder": {"temperature": 20.0, "target": 200.0}, "fan": {"speed": 1.0}}


def test_an_identified_connection_is_one_of_the_websockets(where: Addresses) -> None:
    identify = next(request for request in map(json.loads, requests()) if request["method"] == server.IDENTIFY.name)
    with websocket(where) as ask:
        assert ask(identify)["result"]["connection_id"] > 0
        assert get(where, "/server/info")["websocket_count"] == 1


def requests() -> list[str]:
    return [text for kind, text in BLOCKS if kind == "json"]
