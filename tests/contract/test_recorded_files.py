"""What a reference server answered about files, against our answers, in the order of the recording.

Where we answer better, `reference` in a row is the status that the reference server gave.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_recorded_answers import BY, misfits, recorded
from tests.e2e.test_print import get, until
from tests.file_client import request, upload
from tests.program import Addresses, running

Json = dict[str, Any]

SLICED = Path(__file__).parents[1] / "data" / "gcode" / "prusaslicer.gcode"
SESSION = 66  # bytes of the file that the session is about


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    data = tmp_path_factory.mktemp("recorded") / "data"
    (data / "config").mkdir(parents=True)
    (data / "logs").mkdir()
    (data / "logs" / "klippy.log").write_text("Start\n")
    for name in ("macros.cfg", "saved_vars.cfg"):
        (data / "config" / name).write_text("[gcode_macro X]\n")
    with running(data, "--virtual") as (_, found):
        until(lambda: bool(get(found, "/server/info")["klippy_state"] == "ready"))
        upload(found, "short.gcode", SLICED.read_bytes())
        yield found


@pytest.mark.parametrize("transport", ["websocket", "mqtt", "unix"])
def test_requests_are_answered_as_recorded(where: Addresses, transport: str) -> None:
    upload(where, "ws.gcode", b";" + b"x" * (SESSION - 13) + b"\nG28\nG1 X1 E1\n"[:12], path="up")
    with contextmanager(BY[transport])(where) as ask:
        for exchange in recorded("files_rpc.jsonl"):
            answer = ask(exchange["method"], exchange["params"])
            if "error" in exchange:
                assert answer.get("error", {}).get("code") == exchange["error"]["code"], (exchange, answer)
            else:
                assert misfits(exchange["method"], exchange["result"], answer.get("result")) == [], exchange


def wrong(where: Addresses, exchange: Json) -> Iterator[object]:
    """In what an answer differs."""
    verb, path = exchange["request"].split()
    body = None if exchange["body"] is None else exchange["body"].encode("latin-1")
    headers = {name.replace("-", "_"): value for name, value in exchange["headers"]}
    answer = request(where, verb, path, body, **headers)
    if answer.status != exchange["status"]:
        yield answer.status, answer.body[:200]
    elif isinstance(exchange["answer"], dict) and "_raw" not in exchange["answer"]:
        expected, actual = exchange["answer"], answer.json
        if "error" in expected:
            if actual["error"]["code"] != expected["error"]["code"]:
                yield actual
        else:
            yield from misfits(exchange["request"].split("?")[0].replace("/", "."), expected, actual)
    if "location" in exchange and answer.headers.get("location") != where.http + exchange["location"]:
        yield answer.headers


def test_an_extended_listing_has_what_the_metadata_has(where: Addresses) -> None:
    files = {
        each["filename"]: each for each in get(where, "/server/files/directory?path=gcodes&extended=true")["files"]
    }
    metadata = get(where, "/server/files/metadata?filename=short.gcode")
    assert files["short.gcode"].keys() - {"permissions"} == metadata.keys()


def test_http_is_answered_as_recorded(where: Addresses) -> None:
    found = {
        each["request"] + str(each["body"])[-80:]: list(wrong(where, each)) for each in recorded("files_http.jsonl")
    }
    assert {request: wrongs for request, wrongs in found.items() if wrongs} == {}
