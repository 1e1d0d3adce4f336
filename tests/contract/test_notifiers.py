"""Notifiers on the running program, against a scripted service: prints, macros, tests, and no secret anywhere."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_sensors import PRINTER, document, state
from tests.e2e.test_print import get, until
from tests.http_script import Scripted, scripted
from tests.program import Addresses, Program, running
from tests.talkers import mqtt_talker, talker

Json = dict[str, Any]
SECRET = "hunter2token"  # noqa: S105
PICTURE = b"\xff\xd8 a picture \xff\xd9"
STATES = {
    "start?filename=demo.gcode": "printing",
    "pause": "paused",
    "resume": "printing",
    "cancel": "cancelled",
}


@dataclass
class House:
    """The program, and the service that its notifiers use."""

    where: Addresses
    program: Program
    service: Scripted

    def messages(self, path: str) -> list[Json]:
        """What came at a path."""
        return [json.loads(asked.body) for asked in self.service.heard if asked.path == path]

    def message(self, path: str, title: str) -> Json:
        """The first message with this title."""
        until(lambda: any(each["title"] == title for each in self.messages(path)))
        return next(each for each in self.messages(path) if each["title"] == title)

    def test(self, name: str) -> Json:
        """The answer to debug.notifiers.test."""
        with talker(self.where, "websocket", "tester") as client:
            return client.ask("debug.notifiers.test", name=name)


def section(service: str) -> Json:
    host = service.removeprefix("http://")
    return {
        "everything": {
            "url": f"json://{host}/{{secrets.house.path}}",
            "events": "*",
            "title": "{event_name}",
            "body": "{event_args[0].state} {event_args[1].state} {event_args[1].filename} {event_message}",
        },
        "ends": {"url": f"json://user:{SECRET}@{host}/ends", "events": ["complete", "cancelled", "error"]},
        "macro": {"url": f"json://{host}/macro", "events": "gcode", "title": "{event_name}", "body": "{event_message}"},
        "camera": {
            "url": f"json://{host}/camera",
            "events": "gcode",
            "title": "seen",
            "body_format": "html",
            "attach": f"{service}/snapshot.jpg\n/no/such/file\n",
        },
        "refused": {"url": f"json://{host}/refused/{SECRET}", "events": "gcode"},
        "nonsense": {"url": f"nosuch://{SECRET}", "events": "gcode"},
        "broken": {"url": f"json://{host}/x", "events": "gcode", "body": "{event_args[7].filename}"},
    }


@contextmanager
def house_in(folder: Path, notifiers: Json, service: Scripted) -> Iterator[House]:
    """A running program with these notifiers."""
    config = folder / "printer.yaml"
    config.write_text(f"{PRINTER}notifiers: {json.dumps(notifiers)}\n")
    data = folder / "data"
    data.mkdir(exist_ok=True)
    (data / "moonraker.secrets").write_text(f"[house]\npath: {SECRET}\n")
    with running(data, "--config", str(config)) as (program, where):
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        yield House(where, program, service)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with scripted() as service:
        for path in (f"/{SECRET}", "/ends", "/macro", "/camera", "/x"):
            service.say(path, b"")
        service.say("/snapshot.jpg", PICTURE)
        service.say(f"/refused/{SECRET}", b"no", status=403)
        with house_in(tmp_path_factory.mktemp("notifiers"), section(service.url), service) as made:
            yield made


def test_what_happens_to_a_print_is_told_to_those_who_want_it(house: House) -> None:
    everything = f"/{SECRET}"
    for action in ("start?filename=demo.gcode", "pause", "resume", "cancel"):
        get(house.where, f"/printer/print/{action}", post=True)
        until(lambda action=action: state(house.where) == STATES[action])  # type: ignore[misc]
    house.message(everything, "cancelled")
    messages = [each for each in house.messages(everything) if each["title"] != "test"]
    told = [(each["title"], each["type"], each["message"]) for each in messages]
    assert told == [
        ("started", "info", "standby printing demo.gcode"),
        ("paused", "warning", "printing paused demo.gcode"),
        ("resumed", "info", "paused printing demo.gcode"),
        ("cancelled", "warning", "printing cancelled demo.gcode"),
    ]
    until(lambda: bool(house.messages("/ends")))
    assert [each["message"] for each in house.messages("/ends")] == ["ends"]


def test_macros_notify(house: House) -> None:
    with talker(house.where, "websocket", "caller") as client:

        def run(arguments: str) -> None:
            client.ask("printer.gcode.script", script=f"CALL_REMOTE METHOD=notify {arguments}")

        run("NAME=macro MESSAGE=filament")
        assert house.message("/macro", "gcode")["message"] == "filament"
        for wrong, reason in (
            ("NAME=nosuch", "No notifier is called 'nosuch'"),
            ("MESSAGE=x", "Missing argument: name"),
        ):
            run(wrong)
            said = client.hear(lambda said: said.get("method") == "notify_gcode_response" and "!!" in said["params"][0])
            assert reason in said["params"][0]


def complains(reason: str, said: Json) -> bool:
    """Whether this is the console's complaint."""
    return said.get("method") == "notify_gcode_response" and "!! Remote" in said["params"][0] and reason in str(said)


def test_a_test_delivers_or_says_why_not(house: House) -> None:
    answer = house.test("everything")["result"]
    assert answer["status"] == "success" and "state" in answer["stats"]
    assert house.message(f"/{SECRET}", "test")["message"].split()[0] == answer["stats"]["state"]
    for name, code, reason in (
        ("refused", 503, "Notifier refused: "),
        ("nonsense", 503, "apprise knows no such service"),
        ("broken", 400, "notifier broken body, line 1: "),
        ("nosuch", -32601, "known: everything"),
    ):
        error = house.test(name)["error"]
        assert error["code"] == code and reason in error["message"] and SECRET not in error["message"]


def test_pictures_go_along_and_what_cannot_be_had_is_left_out(house: House) -> None:
    assert house.test("camera")["result"]["status"] == "success"
    (picture,) = house.message("/camera", "seen")["attachments"]
    assert base64.b64decode(picture["base64"]) == PICTURE
    warning = "Notifier camera: 1 attachments could not be had; the message was sent without them"
    assert warning in get(house.where, "/server/info")["warnings"]


def test_what_could_never_be_delivered_is_a_warning_at_the_start(house: House) -> None:
    warning = "Notifier nonsense: apprise knows no such service"
    until(lambda: any(text.startswith(warning) for text in get(house.where, "/server/info")["warnings"]))
    with mqtt_talker(house.where, "reader") as client:
        shown = document(client, "test/state/notifiers/notifiers")["notifiers"]
    assert shown["nonsense"]["fault"].startswith("apprise knows") and shown["macro"]["events"] == ["gcode"]


def test_no_secret_is_said_to_anybody(house: House) -> None:
    listed = get(house.where, "/server/notifiers/list")["notifiers"]
    assert [each["name"] for each in listed] == list(section(""))
    assert listed[0]["url"] == "json://***{secrets.house.path}" and listed[1]["url"] == "json://***"
    house.test("refused")
    with mqtt_talker(house.where, "reader") as client:
        shown = document(client, "test/state/notifiers/notifiers")
    everything = [listed, shown, get(house.where, "/server/config"), get(house.where, "/server/info")]
    assert SECRET not in json.dumps(everything)
    assert SECRET not in "".join(house.program.errors)
    assert SECRET not in (house.where.data / "logs" / "moonraker.log").read_text()


def test_a_section_that_is_wrong_disables_the_component_and_nothing_else(tmp_path: Path) -> None:
    wrong = {"phone": {"url": f"tgram://{SECRET}", "evnts": "*"}}
    with scripted() as service, house_in(tmp_path, wrong, service) as made:
        info = get(made.where, "/server/info")
        assert made.test("phone")["error"]["code"] == -32601
        assert SECRET not in json.dumps([info, get(made.where, "/server/config")]) + "".join(made.program.errors)
    assert "notifier" in info["failed_components"] and "notifier" not in info["components"]
    assert any("'notifiers.phone.evnts', did you mean 'events'?" in text for text in info["warnings"])
