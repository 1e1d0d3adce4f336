"""What a reference server answered, against our answers: codes, shapes and types."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.contract.test_catalogue import TRANSPORTS, Ask
from tests.contract.test_virtual_printer import differences
from tests.e2e.test_print import PATIENCE, fast_printer, get, until
from tests.program import Addresses, running

Json = dict[str, Any]

FOLDER = Path(__file__).parents[1] / "data" / "recorded"
SHORTENED = re.compile(r"\.\.\. \(\d+ items\)")
NO_BODY = {"_raw": "", "_len": 0}


def recorded(name: str) -> list[Json]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("recorded")
    with running(folder / "data", *fast_printer(folder)) as (_, found):
        until(lambda: bool(get(found, "/server/info")["klippy_state"] == "ready"))
        get(found, "/printer/gcode/script?script=M118%20an%20empty%20console%20has%20no%20shape", post=True)
        until(lambda: bool(get(found, "/server/gcode_store")["gcode_store"]))
        get(found, "/printer/print/start?filename=demo.gcode", post=True)
        until(lambda: bool(get(found, "/server/history/totals")["job_totals"]["total_jobs"] == 1))
        yield found


def whole(value: Any) -> Any:
    """A recorded value without the marks of what was left out."""
    if isinstance(value, dict):
        return {key: whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value if not (isinstance(each, str) and SHORTENED.fullmatch(each))]
    return value


def misfits(method: str, expected: Any, actual: Any) -> list[str]:
    """Where a result lacks something or has another type; we may add to it."""
    found = differences(whole(expected), actual, f"/{method.rpartition('.')[2]}")
    return [each for each in found if "unexpected" not in each]


def test_what_is_missing_or_of_another_kind_is_a_misfit() -> None:
    like = {"a": 1.5, "b": [{"c": "x"}, "... (7 items)"]}
    assert misfits("", like, {"a": 2.5, "b": [{"c": "y"}, {"c": "z"}], "more": 1}) == []
    wrongs: list[Any] = [{"a": 1.5}, {"a": "1.5", "b": []}, {"a": 1.5, "b": [{"d": "x"}]}, []]
    for wrong in wrongs:
        assert misfits("", like, wrong)


def over_websocket(where: Addresses) -> Iterator[Ask]:
    """Whatever kind of value the params are."""
    with connect(where.http.replace("http", "ws") + "/websocket") as connection:

        def ask(method: str, params: Any) -> Json:
            connection.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": method}))
            while "id" not in (answer := json.loads(connection.recv(PATIENCE))):
                continue
            found: Json = answer
            return found

        yield ask


BY = TRANSPORTS | {"websocket": over_websocket}


@pytest.mark.parametrize("area", ["printer", "history", "database", "job_queue"])
@pytest.mark.parametrize("transport", ["websocket", "mqtt", "unix"])
def test_requests_are_answered_as_recorded(where: Addresses, transport: str, area: str) -> None:
    with contextmanager(BY[transport])(where) as ask:
        for exchange in recorded(f"{area}_rpc.jsonl"):
            answer = ask(exchange["method"], exchange["params"])
            if "error" in exchange:
                assert answer.get("error", {}).get("code") == exchange["error"]["code"], (exchange, answer)
            else:
                assert misfits(exchange["method"], exchange["result"], answer.get("result")) == [], exchange["method"]


def sent(where: Addresses, exchange: Json) -> tuple[int, bytes]:
    """Status and body."""
    verb, path = exchange["request"].split()
    body = None if exchange["body"] is None else exchange["body"].encode()
    request = urllib.request.Request(where.http + path, body, dict(exchange["headers"]), method=verb)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


HTTP = recorded("printer_http.jsonl")


@pytest.mark.parametrize("exchange", HTTP, ids=[f"{each['request']} {each['body'] or ''}" for each in HTTP])
def test_http_is_answered_as_recorded(where: Addresses, exchange: Json) -> None:
    status, body = sent(where, exchange)
    assert status == exchange["status"]
    if exchange["answer"] == NO_BODY:
        assert body == b""
        return
    expected, actual = exchange["answer"], json.loads(body)
    assert type(actual) is type(expected)
    for one, other in zip(*(each if isinstance(each, list) else [each] for each in (expected, actual)), strict=True):
        assert one.get("error", {}).get("code") == other.get("error", {}).get("code")
        name = exchange["request"].split("?")[0].replace("/", ".")
        assert misfits(name, one.get("result"), other.get("result")) == []
