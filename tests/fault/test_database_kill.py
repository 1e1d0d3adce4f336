"""The program is killed while front ends write: what was answered is there, and nothing is there in part."""

import json
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.e2e.test_print import get
from tests.program import Addresses, Program, addresses, up_arguments

TRIALS = 40 if os.environ.get("PRINTBUS_CAMPAIGN") else 1
IN_FLIGHT = 20
PADDING = "x" * 2000


def call(number: int) -> str:
    """A write of one of some keys, which are also written as a whole now and then."""
    key = ["view", f"part{number % 7}", f"item{number}"] if number % 11 else ["view", f"part{number % 7}"]
    value: Any = {"number": number, "padding": PADDING} if number % 11 else {}
    params = {"namespace": "mainsail", "key": key, "value": value}
    return json.dumps({"jsonrpc": "2.0", "method": "server.database.post_item", "params": params, "id": number})


def write_until_the_end(connection: Connection, answered: set[int]) -> None:
    """Keeps so many writes under way until the connection breaks; notes what was answered."""
    number = 0
    for number in range(IN_FLIGHT):
        connection.send(call(number))
    try:
        while True:
            message = json.loads(connection.recv(30))
            if "id" in message:
                assert "result" in message, message
                answered.add(message["id"])
                number += 1
                connection.send(call(number))
    except ConnectionClosed:
        pass


def expected(events: list[Any]) -> dict[str, Any]:
    """What the facts of the log amount to."""
    parts: dict[str, Any] = {}
    for event in events:
        _, part, *item = event["data"]["key"]
        if item:
            parts.setdefault(part, {})[item[0]] = event["data"]["value"]
        else:
            parts[part] = event["data"]["value"]
    return parts


def written(where: Addresses) -> list[Any]:
    """All facts about the namespace."""
    events: list[Any] = []
    since = 0
    while page := get(where, f"/events/read?stream=database&limit=500&since={since}")["events"]:
        events += page
        since = page[-1]["seq"]
    return [event for event in events if event["data"].get("namespace") == "mainsail"]


def started(folder: Path) -> tuple[Program, Addresses]:
    program = Program(*up_arguments(folder, "--klippy", str(folder / "nobody.sock")))
    return program, addresses(program.ready_line())


def test_what_was_answered_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    for trial in range(TRIALS):
        program, where = started(tmp_path / str(trial))
        answered: set[int] = set()
        with connect(where.http.replace("http", "ws") + "/websocket", close_timeout=0.1) as connection:
            writer = threading.Thread(target=write_until_the_end, args=(connection, answered), name="writer")
            killer = threading.Timer(random.uniform(0.05, 0.6), program.process.send_signal, (signal.SIGKILL,))  # noqa: S311
            killer.start()
            writer.start()
            writer.join()
        program.stop(signal.SIGKILL)
        program, where = started(tmp_path / str(trial))
        facts = written(where)
        numbers = {event["data"]["value"]["number"] for event in facts if event["data"]["value"]}
        assert {number for number in answered if number % 11} <= numbers
        found = get(where, "/server/database/item?namespace=mainsail&key=view")["value"] if facts else {}
        assert found == expected(facts)
        program.stop()
