"""Moonraker's `[mqtt]` options on the running program: what is published, how often, with which QoS, and no API."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_print import get, until
from tests.mqtt_wire import Published, WireClient
from tests.program import Addresses, running
from tests.talkers import mqtt_talker, talker

KLIPPY = "klippy: {virtual: true, speed: 40}\n"
STATUS, FIELDS = "test/klipper/status", "test/klipper/state/#"
REQUESTS = ("test/moonraker/api/request", "test/moonraker/api/request/desk", "garage/moonraker/api/request")
RESPONSES = ("test/moonraker/api/response", "test/moonraker/api/response/desk", "test/reply/desk")


def with_options(folder: Path, options: str) -> list[str]:
    """Arguments for a quick virtual printer with a `mqtt` section."""
    config = folder / "printer.yaml"
    config.write_text(f"{KLIPPY}groups: [garage]\nmqtt:\n{options}")
    return ["--config", str(config)]


def on_mqtt(where: Addresses, work: Callable[[WireClient], Awaitable[None]]) -> None:
    """Does something as a connected MQTT client."""

    async def main() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("desk")
        async with asyncio.timeout(20):
            await work(client)
        await client.drop()

    asyncio.run(main())


async def collected(client: WireClient, seconds: float) -> list[Published]:
    """All that comes in a time."""
    found: list[Published] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            found.append(await client.published(left))
        except TimeoutError:
            break
    return found


def ready(where: Addresses) -> None:
    until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))


def test_the_configured_objects_come_merged_on_one_topic(tmp_path: Path) -> None:
    options = """
  status_objects: |
    print_stats=state,message
    extruder=temperature,target
    heater_bed
  status_interval: 1
  publish_split_status: false
"""
    with running(tmp_path / "data", *with_options(tmp_path, options)) as (_, where):

        async def follow(client: WireClient) -> None:
            await client.subscribe((STATUS, 0), (FIELDS, 0))
            first = json.loads((await client.published()).payload)["status"]
            while "heater_bed" not in first:  # what Klipper tells while it starts comes before
                first = json.loads((await client.published()).payload)["status"]
            assert set(first) == {"print_stats", "extruder", "heater_bed"}
            assert set(first["extruder"]) == {"temperature", "target"}
            assert set(first["print_stats"]) == {"state", "message"} and len(first["heater_bed"]) > 2
            started = time.monotonic()
            heat = {"method": "printer.gcode.script", "params": {"script": "M104 S200\nM140 S60"}}
            await client.publish("test/rpc/desk/printer/gcode/script", json.dumps(heat).encode())
            said = await collected(client, 3.5)
            assert 1 <= len(said) <= time.monotonic() - started + 2  # the first may be late
            assert {each.topic for each in said} == {STATUS}
            told = [json.loads(each.payload) for each in said]
            assert any(each["status"].get("extruder", {}).get("target") == 200 for each in told)
            assert {name for each in told for name in each["status"]} <= {"print_stats", "extruder", "heater_bed"}
            times = [each["eventtime"] for each in told]
            assert times == sorted(times)

        on_mqtt(where, follow)
        with mqtt_talker(where, "asker") as client:
            wanted = {"extruder": None, "toolhead": ["position"]}
            answer = client.ask("printer.objects.subscribe", objects=wanted)["result"]
            assert answer["topics"] == [STATUS] and "position" in answer["status"]["toolhead"]


def test_split_status_is_retained_per_field_and_nothing_comes_on_the_one_topic(tmp_path: Path) -> None:
    options = "  {publish_split_status: true, status_objects: {extruder: [temperature], webhooks: }, default_qos: 1}"
    with running(tmp_path / "data", *with_options(tmp_path, options)) as (_, where):
        ready(where)

        async def look(client: WireClient) -> None:
            await client.subscribe((STATUS, 2), (FIELDS, 2))
            said = await collected(client, 1.5)
            kept = {each.topic.removeprefix("test/klipper/state/"): each for each in said if each.retain}
            assert set(kept) == {"extruder/temperature", "webhooks/state", "webhooks/state_message"}
            assert {each.qos for each in said} == {1}
            assert set(json.loads(kept["webhooks/state"].payload)) == {"eventtime", "value"}

        on_mqtt(where, look)


@pytest.mark.parametrize(("options", "status", "answer"), [("default_qos: 1", 1, 1), ("api_qos: 2", 0, 2)])
def test_publications_and_answers_have_the_configured_quality(
    tmp_path: Path, options: str, status: int, answer: int
) -> None:
    with running(tmp_path / "data", *with_options(tmp_path, f"  {options}\n")) as (_, where):
        ready(where)

        async def ask(client: WireClient) -> None:
            await client.subscribe(*((topic, 2) for topic in RESPONSES))
            request = json.dumps({"jsonrpc": "2.0", "method": "server.info", "id": 1}).encode()
            for topic in (*REQUESTS, "test/rpc/desk/server/info"):
                await client.publish(topic, request)
                got = await client.published()
                assert (got.topic in RESPONSES, got.qos) == (True, answer)
                assert json.loads(got.payload)["result"]["klippy_state"] == "ready"
            await client.unsubscribe(*RESPONSES)
            online, state = "test/moonraker/status", "test/moonraker/klippy"
            await client.subscribe((STATUS, 2), (online, 2), (state, 2))
            said = await collected(client, 1.0)
            assert {STATUS, online, state} == {each.topic for each in said}
            assert {each.qos for each in said} == {status}

        on_mqtt(where, ask)


def test_without_the_api_requests_over_mqtt_are_refused_and_all_else_works(tmp_path: Path) -> None:
    with running(tmp_path / "data", *with_options(tmp_path, "  enable_moonraker_api: false\n")) as (_, where):
        ready(where)

        async def ask(client: WireClient) -> None:
            await client.subscribe(*((topic, 0) for topic in RESPONSES))
            for method in ("server.info", "printer.emergency_stop"):
                request = json.dumps({"jsonrpc": "2.0", "method": method, "id": 1}).encode()
                for topic in (*REQUESTS, f"test/rpc/desk/{method.replace('.', '/')}"):
                    await client.publish(topic, request)
                    error: dict[str, Any] = json.loads((await client.published()).payload)["error"]
                    assert error["code"] == -32601 and "enable_moonraker_api" in error["message"]
            await client.subscribe((STATUS, 0))
            assert (await client.published()).topic == STATUS

        on_mqtt(where, ask)
        assert get(where, "/printer/info")["state"] == "ready"
        with talker(where, "websocket", "web") as client:
            assert client.ask("server.info")["result"]["klippy_state"] == "ready"
