"""What takes us for an OctoPrint: Cura's plugin from its first question to the end of a print, and what it sees."""

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.access_rig import STRANGER, access_rig
from tests.conftest import Run
from tests.contract.test_recorded_answers import misfits, recorded
from tests.e2e.test_print import fast_printer, get, until
from tests.file_client import Answer, field, file_part, form, request
from tests.program import Addresses, running

Json = dict[str, Any]

GCODE = b";Generated with Cura_SteamEngine 5.7.1\nG28\nG1 X10 F6000\n"
LONG = GCODE + b"G1 X10 F60\nG1 X100 F60\n" * 50
CURA = {"User_Agent": "cura/5.7.1 OctoPrintPlugin/3.7.3", "X_Api_Key": ""}
FLAGS = ("operational", "paused", "printing", "cancelling", "pausing", "error", "ready", "closedOrError")


class Cura:
    """The plugin: what it asks for and sends, in its form (OctoPrintOutputDevice)."""

    def __init__(self, where: Addresses) -> None:
        self._where = where

    def get(self, end_point: str) -> Json:
        answer = request(self._where, "GET", f"/api/{end_point}", None, Content_Type="application/json", **CURA)
        assert answer.status == 200, answer.body
        found: Json = answer.json
        return found

    def post(self, end_point: str, **members: Any) -> Answer:
        body = json.dumps(members).encode()
        return request(self._where, "POST", f"/api/{end_point}", body, Content_Type="application/json", **CURA)

    def connect(self) -> None:
        """It is connected once its first look at the printer is answered."""
        assert {"temperature", "state"} <= self.get("printer").keys()
        self.printer_state()
        self.job_state()
        settings = self.get("settings")
        assert not settings["feature"]["sdSupport"] and "streamUrl" in settings["webcam"]
        assert settings["plugins"]["UltimakerFormatPackage"]["installed_version"] >= "0.1.7"
        assert self.get("version")["server"] == "1.5.0"
        assert self.post("login", passive=True).json["name"] == "_api"
        (profile,) = [each for each in self.get("printerprofiles")["profiles"].values() if each["current"]]
        assert (profile["name"], profile["model"]) == ("Default", "Default")
        assert {axis: profile["axes"][axis]["speed"] for axis in "xyze"} == {"x": 6000, "y": 6000, "z": 6000, "e": 300}
        assert not any(profile["axes"][axis]["inverted"] for axis in "xyze")

    def printer_state(self) -> str:
        """What it makes of the flags."""
        flags = self.get("printer")["state"]["flags"]
        if flags["error"] or flags["closedOrError"]:
            return "error"
        if flags["paused"] or flags["pausing"]:
            return "paused"
        if flags["printing"]:
            return "printing"
        assert not flags["cancelling"]
        return "idle" if flags["ready"] or flags["operational"] else "offline"

    def job_state(self) -> str:
        """What it makes of the job."""
        found = self.get("job")
        assert found["job"]["file"]["name"] is found["progress"]["printTime"] is found["progress"]["completion"] is None
        words = {"Error": "error", "Paused": "paused", "Printing": "printing", "Operational": "ready"}
        return words.get(found["state"], "offline")

    def send(self, name: str, content: bytes, *fields: tuple[str, str]) -> str:
        """Uploads; answers the end point at which it then selects the file."""
        parts = (field("path", ""), file_part(name, content), *(field(*each) for each in fields))
        kind = "multipart/form-data; boundary=form-of-a-test"
        answer = request(self._where, "POST", "/api/files/local", form(*parts), Content_Type=kind, **CURA)
        assert answer.status == 201, answer.body
        end_point = answer.headers["location"].split("api/", 1)[1]
        return end_point[:-3] + "gcode" if end_point.endswith(".ufp") else end_point


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("octoprint")
    with running(folder / "data", *fast_printer(folder)) as (_, addresses):
        ready(addresses)
        yield addresses


@pytest.fixture
def cura(where: Addresses) -> Iterator[Cura]:
    yield Cura(where)
    if Cura(where).job_state() in ("printing", "paused"):
        get(where, "/printer/print/cancel", post=True)
        until(lambda: Cura(where).job_state() == "ready")


def ready(where: Addresses) -> None:
    until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))


def console(where: Addresses) -> list[str]:
    """What the printer has said."""
    lines = get(where, "/server/gcode_store")["gcode_store"]
    return [line["message"] for line in lines if line["type"] == "response"]


def printed(where: Addresses) -> list[str]:
    return [job["filename"] for job in get(where, "/server/history/list")["jobs"]]


@pytest.mark.parametrize("exchange", recorded("octoprint_http.jsonl"), ids=lambda each: str(each["request"]))
def test_answers_are_those_of_the_reference(where: Addresses, exchange: Json) -> None:
    answer = request(where, *exchange["request"].split())
    assert answer.status == exchange["status"]
    if answer.status == 200:
        assert misfits(exchange["request"], exchange["answer"], answer.json) == []


def test_cura_connects_uploads_prints_and_watches(where: Addresses, cura: Cura) -> None:
    """Without UFP, select and print come with the upload."""
    cura.connect()
    assert (cura.printer_state(), cura.job_state()) == ("idle", "ready")
    cura.send("watched.gcode", LONG, ("select", "true"), ("print", "true"))
    until(lambda: (cura.printer_state(), cura.job_state()) == ("printing", "printing"))
    assert cura.post("job", command="pause").status == 204
    until(lambda: (cura.printer_state(), cura.job_state()) == ("paused", "paused"))
    assert cura.post("job", command="pause", action="pause").status == 204
    assert cura.job_state() == "paused"
    assert cura.post("job", command="pause").status == 204
    until(lambda: cura.job_state() == "printing")
    assert cura.post("job", command="cancel").status == 204
    until(lambda: (cura.printer_state(), cura.job_state()) == ("idle", "ready"))
    assert "watched.gcode" in printed(where)


def test_cura_sends_its_own_format_and_selects_what_is_in_it(where: Addresses, cura: Cura) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("/3D/model.gcode", GCODE)
    cura.connect()
    end_point = cura.send("packed.ufp", packed.getvalue())
    assert end_point == "files/moonraker/gcodes/packed.gcode"
    selected = cura.post(end_point, command="select", print=True)
    assert (selected.status, selected.body) == (204, b"")
    until(lambda: "packed.gcode" in printed(where))


def test_what_cannot_be_printed_now_is_a_conflict(cura: Cura) -> None:
    busy = cura.send("busy.gcode", LONG, ("print", "true"))
    until(lambda: cura.job_state() == "printing")
    refused = cura.post(busy, command="select", print=True)
    assert (refused.status, refused.json["error"]["code"]) == (409, 409)
    assert cura.post("job", command="start").status == 409
    assert cura.post(busy, command="select").status == 204


@pytest.mark.parametrize("command", ["start", "restart", "cancel", "pause"])
def test_without_a_print_there_is_nothing_to_control(cura: Cura, command: str) -> None:
    assert cura.post("job", command=command).status == 409


@pytest.mark.parametrize(
    "asked", [{}, {"command": "explode"}, {"command": "pause", "action": "jump"}, {"command": ["x"]}]
)
def test_other_words_for_jobs_are_refused(cura: Cura, asked: Json) -> None:
    assert cura.post("job", **asked).status == 400


def test_gcode_is_run_in_order_and_refusals_stop_nothing(where: Addresses, cura: Cura) -> None:
    answer = cura.post("printer/command", commands=["M118 first", "NO_SUCH_COMMAND", "M118 last"])
    assert (answer.status, answer.json) == (200, {})
    until(lambda: "last" in " ".join(console(where)))
    heard = [word for line in console(where) for word in ("first", "NO_SUCH", "last") if word in line]
    assert list(dict.fromkeys(heard)) == ["first", "NO_SUCH", "last"]
    assert cura.post("printer/command", command="M118 single").json == {}
    until(lambda: "single" in " ".join(console(where)))
    assert cura.post("printer/command").json == {}


@pytest.mark.parametrize("commands", [{"G28": 1}, [1], None, True])
def test_commands_are_texts(cura: Cura, commands: Any) -> None:
    assert cura.post("printer/command", commands=commands).status == 400


def test_temperatures_are_those_of_tools_and_bed(where: Addresses, cura: Cura) -> None:
    get(where, "/printer/gcode/script?script=M104%20S50", post=True)
    until(lambda: bool(cura.get("printer")["temperature"]["tool0"]["target"] == 50))
    found = cura.get("printer")["temperature"]
    assert found.keys() == {"tool0", "bed"}
    assert all(each.keys() == {"actual", "offset", "target"} and each["offset"] == 0 for each in found.values())
    assert all(each["actual"] > 10 for each in found.values())
    get(where, "/printer/gcode/script?script=M104%20S0", post=True)


def test_a_halted_printer_is_an_error_and_a_missing_one_offline(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--virtual") as (_, where):
        ready(where)
        get(where, "/printer/emergency_stop", post=True)
        cura = Cura(where)
        until(lambda: (cura.printer_state(), cura.job_state()) == ("error", "error"))
    with running(tmp_path / "data", "--klippy", str(tmp_path / "nobody")) as (_, where):
        found = Cura(where).get("printer")
        assert (found["state"]["text"], found["temperature"]) == ("Offline", {})
        assert found["state"]["flags"] == dict.fromkeys(FLAGS, False) | {"closedOrError": True}
        assert Cura(where).get("job")["state"] == "Offline"
        assert Cura(where).post("printer/command", commands=["G28"]).json == {}
        assert Cura(where).post("job", command="cancel").status == 409


def test_keys_may_do_what_their_roles_say(run: Run[None], tmp_path: Path) -> None:
    async def main() -> None:
        async with access_rig(tmp_path) as rig:
            shown = {role: {"X-Api-Key": await rig.create_key(role, role)} for role in ("viewer", "operator")}
            for verb, path, nobody, viewer in (
                ("GET", "/api/printer", 401, 200),
                ("GET", "/api/job", 401, 200),
                ("GET", "/api/printerprofiles", 401, 200),
                ("POST", "/api/printer/command?commands=G28", 401, 403),
                ("POST", "/api/job?command=explode", 401, 400),
            ):
                assert (await rig.ask(verb, path, STRANGER)).status_code == nobody, path
                assert (await rig.ask(verb, path, STRANGER | shown["viewer"])).status_code == viewer, path
            command = await rig.ask("POST", "/api/printer/command?commands=G28", STRANGER | shown["operator"])
            assert (command.status_code, command.json()) == (200, {})

    run(main())
