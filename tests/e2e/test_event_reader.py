"""A reader of the log over MQTT that is away now and then: it reads what it missed, and sees no hole and no double."""

import asyncio
import json
import threading
import urllib.error
from pathlib import Path
from typing import Any

from tests.e2e.test_print import get
from tests.mqtt_wire import Published, WireClient, publish
from tests.program import Addresses, running

STAYS_SECONDS = 0.3
AWAY_SECONDS = 0.15
VISITS = 6
PAGE = 20  # less than what it misses
EVENTS, HEAD, ANSWERS = "test/event/#", "test/log/head", "test/moonraker/api/response/reader"


class Reader:
    """Takes events as they come while each is the next one; `{i}/log/head` and gaps make it read the rest."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.live = 0
        self._asked = False

    @property
    def last(self) -> int:
        return self.seen[-1] if self.seen else 0

    async def visit(self, where: Addresses, *, until: int | None = None) -> None:
        """Follow for a while, or up to an event, and leave without a word."""
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("reader")
        self._asked = False
        end = asyncio.get_running_loop().time() + STAYS_SECONDS
        await client.subscribe((EVENTS, 0), (ANSWERS, 0), (HEAD, 0))
        while self.last < until if until is not None else asyncio.get_running_loop().time() < end:
            self._take(client, await client.published())
        await client.drop()

    def _take(self, client: WireClient, message: Published) -> None:
        found: Any = json.loads(message.payload)
        if message.topic == ANSWERS:
            self._asked = False
            events = found["result"]["events"]
            self.seen += [event["seq"] for event in events if event["seq"] > self.last]
            head = found["result"]["head"]
        else:
            head = found["seq"]
            if message.topic != HEAD and head == self.last + 1:
                self.seen.append(head)
                self.live += 1
        if head > self.last and not self._asked:
            self._ask(client)

    def _ask(self, client: WireClient) -> None:
        self._asked = True
        request = {"jsonrpc": "2.0", "method": "events.read", "params": {"since": self.last, "limit": PAGE}, "id": 1}
        client.send(publish("test/moonraker/api/request/reader", json.dumps(request).encode()))


def keep_commanding(where: Addresses, over: threading.Event) -> None:
    """Commands that are recorded and come to nothing, for there is no printer."""
    while not over.is_set():
        try:
            get(where, "/printer/gcode/script?script=M117", post=True)
        except urllib.error.HTTPError as error:
            assert error.code == 503


def test_a_reader_that_was_away_sees_no_hole_and_no_double(tmp_path: Path) -> None:
    reader, over = Reader(), threading.Event()

    async def visits(where: Addresses) -> None:
        visits = 0
        while visits < VISITS or not 0 < reader.live < len(reader.seen):  # a slow one may not have caught up yet
            await reader.visit(where)
            await asyncio.sleep(AWAY_SECONDS)
            visits += 1
        over.set()

    with running(tmp_path, "--klippy", str(tmp_path / "none.sock")) as (_, where):
        commands = threading.Thread(target=keep_commanding, args=(where, over))
        commands.start()
        try:
            asyncio.run(visits(where))
        finally:
            over.set()
            commands.join()
        head = get(where, "/events/read?limit=1")["head"]
        asyncio.run(reader.visit(where, until=head))
    assert reader.seen[:head] == list(range(1, head + 1))
    assert 0 < reader.live < len(reader.seen)
