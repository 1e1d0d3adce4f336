"""What a websocket and an MQTT client hear when an emergency stop is followed by a restart at once."""

import asyncio
import json
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.test_print import PATIENCE, fast_printer, get, until
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running

READY = "notify_klippy_ready"
OTHERS = ("notify_proc_stat_update", "notify_filelist_changed")  # of no interest here
STORY = ["// Klipper state: Shutdown", "notify_klippy_shutdown", "// Klipper state: Disconnect"]
STORY += ["notify_klippy_disconnected", "// Klipper state: Ready", READY]


def brief(message: dict[str, Any]) -> str:
    """A console line itself, of other notifications the name."""
    return str(message["params"][0] if message["method"] == "notify_gcode_response" else message["method"])


async def stop_and_restart(websocket: ClientConnection) -> None:
    """Two requests in one breath."""
    for method in ("printer.emergency_stop", "printer.firmware_restart"):
        await websocket.send(json.dumps({"jsonrpc": "2.0", "method": method, "id": method}))


async def on_websocket(websocket: ClientConnection) -> tuple[list[str], list[str]]:
    """Notifications and answers up to ready."""
    heard: list[str] = []
    answers: list[str] = []
    while READY not in heard:
        message = json.loads(await asyncio.wait_for(websocket.recv(), PATIENCE))
        if "id" in message:
            assert message["result"] == "ok"
            answers.append(message["id"])
        elif message["method"] not in OTHERS:
            heard.append(brief(message))
    return heard, answers


async def over_mqtt(client: WireClient) -> tuple[list[str], list[str]]:
    """Notifications and states up to ready."""
    heard: list[str] = []
    states: list[str] = []
    while READY not in heard:
        message = await client.published(PATIENCE)
        content = json.loads(message.payload)
        if message.topic.endswith("/klippy"):
            states += [content["state"]] if content["state"] not in states[-1:] else []
        elif content["method"] not in OTHERS:
            heard.append(brief(content))
    return heard, states


async def listen(where: Addresses) -> None:
    client = await WireClient.open((where.mqtt_host, where.mqtt_port))
    await client.login("listener")
    await client.subscribe(("test/moonraker/notify/#", 0), ("test/moonraker/klippy", 0))
    async with connect(where.http.replace("http", "ws") + "/websocket") as websocket, asyncio.TaskGroup() as tasks:
        mqtt = tasks.create_task(over_mqtt(client))
        web = tasks.create_task(on_websocket(websocket))
        await stop_and_restart(websocket)
    await client.disconnect()
    assert web.result() == (STORY, ["printer.emergency_stop", "printer.firmware_restart"])
    assert mqtt.result() == (STORY, ["ready", "shutdown", "disconnected", "startup", "ready"])


def test_nothing_is_skipped_when_a_restart_follows_a_shutdown_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "data", *fast_printer(tmp_path)) as (_, where):
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        asyncio.run(listen(where))
