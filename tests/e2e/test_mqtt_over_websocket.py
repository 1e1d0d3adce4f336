"""MQTT over websocket on the bridge's port, with a client that people use."""

import json
import queue
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as paho

from tests.e2e.test_print import PATIENCE, fast_printer
from tests.program import running


def test_a_browsers_mqtt_client_asks_and_is_answered(tmp_path: Path) -> None:
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    with running(tmp_path / "data", *fast_printer(tmp_path)) as (_, where):
        url = urlsplit(where.http)
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="page", transport="websockets")
        client.ws_set_options(path="/mqtt")
        client.on_message = lambda _client, _data, message: heard.put((message.topic, message.payload))
        client.on_subscribe = lambda *_: client.publish(
            "test/moonraker/api/request/page",
            b'{"jsonrpc":"2.0","method":"server.info","id":"big' + b"x" * 70_000 + b'"}',
        )
        client.on_connect = lambda *_: client.subscribe("test/moonraker/api/response/page")
        client.connect(url.hostname or "", url.port or 0)
        client.loop_start()
        try:
            topic, payload = heard.get(timeout=PATIENCE)
        finally:
            client.disconnect()
            client.loop_stop()
    answer = json.loads(payload)
    assert (topic, len(answer["id"])) == ("test/moonraker/api/response/page", 70_003)
    assert "klippy_state" in answer["result"]
