"""Buttons on the running program: at topics, and at pins where the kernel simulates a chip."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.buttons import BUTTON_EVENT
from tests.contract.test_catalogue import DATA
from tests.e2e.test_print import fast_printer, get, until
from tests.e2e.test_processes import Parts
from tests.gpio_sim import Chip, chip, missing
from tests.mqtt_wire import Published, WireClient, subscribe
from tests.program import Addresses, Program, running
from tests.talkers import MqttTalker, Talker, mqtt_talker, talker

Json = dict[str, Any]
KINDS = ["mqtt"] if missing() else ["gpio", "mqtt"]
SHOWN = next(row for row in json.loads((DATA / "notifications.json").read_text()) if row["name"] == BUTTON_EVENT.name)
PUBLISH = 3  # the type of the packet
ASK = '{% do send_notification(call_method("printer.objects.query", objects={"toolhead": ["position"]})) %}'
OPTIONS: Json = {
    "teller": {"on_press": ASK, "on_release": "{% do send_notification() %}"},
    "worker": {
        "on_press": '{% do call_method("printer.gcode.script", script="M117 " ~ secrets.desk.word) %}',
        "on_release": '{% do send_notification("released") %}',
    },
    "reader": {
        "permissions": ["read"],
        "on_press": '{% do call_method("printer.gcode.script", script="M117 forbidden") %}',
        "on_release": ASK,
    },
    "intruder": {
        "on_press": '{% do call_method("events.append", stream="print", events=[], append_id="x") %}',
        "on_release": '{% do call_method("server.websocket.id") %}',
    },
    "publisher": {
        "permissions": ["control"],
        "on_press": '{% do call_method("server.mqtt.publish", topic="desk/said", payload="Pressed", retain=true) %}',
    },
    "stopper": {"on_press": '{% do call_method("printer.emergency_stop") %}'},
}


@dataclass
class Desk:
    """The program with buttons of one kind."""

    where: Addresses
    program: Program
    press: Callable[[str, bool], None]

    def log(self) -> str:
        return "".join(self.program.errors)

    def commands(self, method: str) -> list[Json]:
        """Who had a method run."""
        events = get(self.where, "/events/read?stream=commands&limit=5000")["events"]
        accepted = [each for each in events if each["type"] == "command.accepted.1"]
        return [each["actor"] for each in accepted if each["data"]["method"] == method]


def section(kind: str, chip_name: str = "") -> Json:
    """The section `buttons`, all of one kind."""
    if kind == "gpio":
        places: list[Json] = [
            {"pin": f"{chip_name}/gpio{line}", "debounce_period": 0.01} for line in range(len(OPTIONS))
        ]
    else:
        places = [{"type": "mqtt", "state_topic": f"desk/{name}"} for name in OPTIONS]
    return {name: {**place, **options} for place, (name, options) in zip(places, OPTIONS.items(), strict=True)}


def configured(folder: Path, buttons: Json) -> list[str]:
    """The options of a fast printer with buttons."""
    arguments = fast_printer(folder)
    config = Path(arguments[1])
    config.write_text(config.read_text() + "buttons: " + json.dumps(buttons) + "\n")
    return arguments


@pytest.fixture(scope="module", params=KINDS)
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("buttons")
    (folder / "data").mkdir()
    write_secrets(folder / "data")
    with ExitStack() as stack:
        pins = stack.enter_context(chip()) if request.param == "gpio" else None
        arguments = configured(folder, section(request.param, pins.name if pins else ""))
        program, where = stack.enter_context(running(folder / "data", *arguments))
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        finger = stack.enter_context(mqtt_talker(where, "finger"))
        press = partial(press_pin, pins) if pins else partial(press_topic, finger)
        until(partial(all_released, where, press))
        yield Desk(where, program, press)


def all_released(where: Addresses, press: Callable[[str, bool], None]) -> bool:
    """Whether all buttons are known to be released; whoever is not there yet has missed it."""
    for name in OPTIONS:
        press(name, False)
    return all(button["pressed"] is False for button in found(where).values())


def write_secrets(data: Path) -> None:
    (data / "moonraker.secrets").write_text("[desk]\nword: whisper\n")


def press_pin(pins: Chip, name: str, down: bool) -> None:
    pins.drive(list(OPTIONS).index(name), down)


def press_topic(finger: MqttTalker, name: str, down: bool) -> None:
    finger.publish(f"desk/{name}", b"pressed" if down else b"released")


def retain(where: Addresses, topic: str, payload: bytes) -> None:
    """Leaves a message on a topic."""

    async def leave() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("leaver")
        await client.publish(topic, payload, qos=1, retain=True)
        await client.disconnect()

    asyncio.run(leave())


def found(where: Addresses) -> dict[str, Json]:
    """The buttons as their state document has them."""

    async def read() -> bytes:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("reader")
        client.send(subscribe(("test/state/buttons/buttons", 0)))
        while (packet := await client.receive())[0] >> 4 != PUBLISH:
            pass
        await client.disconnect()
        return Published.read(*packet).payload

    return dict(json.loads(asyncio.run(read()))["buttons"])


def told(client: Talker, name: str) -> Json:
    """What the next notification of a button says."""
    found = client.hear(lambda said: said.get("method") == "notify_button_event" and said["params"][0]["name"] == name)
    return dict(found["params"][0])


@pytest.mark.parametrize("listener", ["mqtt", "websocket"])
def test_a_press_and_a_release_are_told(desk: Desk, listener: str) -> None:
    with talker(desk.where, listener, "listener") as client:
        client.ask("server.info")
        desk.press("teller", True)
        pressed = told(client, "teller")
        desk.press("teller", False)
        released = told(client, "teller")
    assert len(pressed["aux"]["status"]["toolhead"]["position"]) == 4 and released["aux"] is None
    for said, down in ((pressed, True), (released, False)):
        Draft202012Validator(SHOWN["params"][0]).validate({**said, "type": "gpio"})  # the only type of the reference
        assert said["event"]["pressed"] is down and said["event"]["render_time"] >= said["event"]["received_time"]
    passed = released["event"]["received_time"] - pressed["event"]["received_time"]
    assert released["event"]["elapsed_time"] == pytest.approx(passed) and passed >= 0


def test_commands_bear_the_name_of_the_template(desk: Desk) -> None:
    with talker(desk.where, "websocket", "listener") as client:
        client.ask("server.info")
        desk.press("worker", True)
        until(lambda: bool(desk.commands("printer.gcode.script")))
        desk.press("worker", False)
        assert told(client, "worker")["aux"] == "released"
    assert desk.commands("printer.gcode.script") == [
        {"user": None, "transport": "template", "client": "agent.buttons/button worker on_press"}
    ]
    store = get(desk.where, "/server/gcode_store")["gcode_store"]
    assert "M117 whisper" in [line["message"] for line in store]


def test_what_the_configuration_does_not_permit_is_refused(desk: Desk) -> None:
    with talker(desk.where, "websocket", "listener") as client:
        client.ask("server.info")
        desk.press("reader", True)
        until(lambda: "button reader on_press" in desk.log())
        assert "line 1: printer.gcode.script: printer.gcode.script needs the permission 'control'" in desk.log()
        desk.press("reader", False)
        assert told(client, "reader")["aux"]["status"]
    assert "agent.buttons/button reader on_press" not in [
        actor["client"] for actor in desk.commands("printer.gcode.script")
    ]


def test_no_template_has_the_rights_of_an_agent_or_a_connection(desk: Desk) -> None:
    desk.press("intruder", True)
    until(lambda: "button intruder on_press, line 1: events.append: Method not found" in desk.log())
    desk.press("intruder", False)
    until(lambda: "server.websocket.id needs a connection that stays" in desk.log())
    assert "button" in get(desk.where, "/server/info")["components"]


def test_a_button_publishes(desk: Desk) -> None:
    desk.press("publisher", True)
    assert get(desk.where, "/server/mqtt/subscribe?topic=desk/said&timeout=10", post=True)["payload"] == "Pressed"


def test_a_button_stops_the_printer(desk: Desk) -> None:
    desk.press("stopper", True)
    until(lambda: bool(get(desk.where, "/server/info")["klippy_state"] == "shutdown"))
    desk.press("stopper", False)
    get(desk.where, "/printer/firmware_restart", post=True)
    until(lambda: bool(get(desk.where, "/server/info")["klippy_state"] == "ready"))


def test_what_a_topic_retains_is_how_a_button_is_found_at_the_start(tmp_path: Path) -> None:
    arguments = configured(tmp_path, section("mqtt"))
    with running(tmp_path / "data", *arguments) as (_, where):
        retain(where, "desk/teller", b"pressed")
    with running(tmp_path / "data", *arguments) as (program, where), mqtt_talker(where, "listener") as client:
        until(lambda: bool(found(where)["teller"]["pressed"]))
        client.publish("desk/teller", b"released")
        said = told(client, "teller")
        assert said["event"]["pressed"] is False and "button" not in "".join(program.errors)


def test_a_section_that_is_wrong_disables_the_component_and_nothing_else(tmp_path: Path) -> None:
    wrong = {"door": {"pin": "gpio1", "on_press": "\n{% do call_method( %}"}}
    with running(tmp_path / "data", *configured(tmp_path, wrong)) as (_, where):
        info = get(where, "/server/info")
    assert "button" in info["failed_components"] and "button" not in info["components"]
    assert any("'buttons.door.on_press': not a template: line 2" in text for text in info["warnings"])


def test_a_chip_that_is_not_there_is_a_warning_of_its_button(tmp_path: Path) -> None:
    buttons = {**section("mqtt"), "door": {"pin": "gpiochip99/gpio1", "on_press": ASK}}
    with (
        running(tmp_path / "data", *configured(tmp_path, buttons)) as (program, where),
        mqtt_talker(where, "listener") as client,
    ):
        warning = "Button door: gpiochip99/gpio1: No such file or directory"
        until(lambda: warning in get(where, "/server/info")["warnings"])
        client.publish("desk/worker", b"pressed")
        client.publish("desk/worker", b"released")
        assert told(client, "worker")["aux"] == "released"
        assert "".join(program.errors).count("gpiochip99") == 1


def test_buttons_of_another_host_have_the_same_rights(tmp_path: Path) -> None:
    with ExitStack() as stack:
        parts = Parts(tmp_path, stack)
        configured(tmp_path, section("mqtt"))
        write_secrets(parts.data)
        last = [*OPTIONS][-1]
        retain(parts.mqtt, f"desk/{last}", b"pressed")
        agent = parts.agent("buttons")
        until(lambda: bool(found(parts.mqtt)[last]["pressed"]))
        with mqtt_talker(parts.mqtt, "finger") as client:
            client.publish("desk/reader", b"pressed")
            until(lambda: "needs the permission 'control'" in "".join(agent.errors))
            client.publish("desk/intruder", b"pressed")
            until(lambda: "events.append: Method not found" in "".join(agent.errors))
            client.publish("desk/worker", b"pressed")
            client.publish("desk/worker", b"released")
            assert told(client, "worker")["aux"] == "released"
            events = client.ask("events.read", stream="commands")["result"]["events"]
    assert [event["actor"]["client"] for event in events if event["type"] == "command.accepted.1"] == [
        "agent.buttons/button worker on_press"
    ]
