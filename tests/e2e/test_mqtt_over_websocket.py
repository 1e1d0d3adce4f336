"""MQTT over websocket on the bridge's port, with a client that people use."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt

from tests.e2e.test_print import PATIENCE, fast_printer
from tests.program import Addresses, running


async def asked(where: Addresses, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request of the client `page`."""
    url = urlsplit(where.http)
    async with aiomqtt.Client(
        url.hostname or "", url.port or 0, identifier="page", transport="websockets", websocket_path="/mqtt"
    ) as client:
        await client.subscribe("test/moonraker/api/response/page")
        await client.publish("test/moonraker/api/request/page", json.dumps(request))
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            answer: dict[str, Any] = json.loads(message.payload)
            return answer
    raise AssertionError("no answer")


def test_a_browsers_mqtt_client_asks_and_is_answered(tmp_path: Path) -> None:
    request = {
        "jsonrpc": "2.0",
        "method": "server.info",
        "id": "x" * 70_000,
    }  # longer than a small frame's length field
    with running(tmp_path / "data", *fast_printer(tmp_path)) as (_, where):
        answer = asyncio.run(asyncio.wait_for(asked(where, request), PATIENCE))
    assert answer["id"] == request["id"]
    assert "klippy_state" in answer["result"]
