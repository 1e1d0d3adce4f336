"""Spoolman on the running program, with a scripted server: what is counted, reported, passed on and told."""

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.spoolman import SPOOL_SET, STATUS_CHANGED
from tests.contract.test_catalogue import DATA
from tests.e2e.test_print import fast_printer, get, until
from tests.program import Addresses, Program, addresses, running, up_arguments
from tests.spoolman_script import SPOOLS, Spoolman, Trouble, said, spoolman
from tests.talkers import KINDS, Talker, talker

Json = dict[str, Any]
SHOWN = {row["name"]: row for row in json.loads((DATA / "notifications.json").read_text())}
STATUS = "/server/spoolman/status"
RATE = 0.1


class Desk:
    """The program and its Spoolman."""

    def __init__(self, folder: Path, server: Spoolman) -> None:
        self._folder = folder
        self._program: Program | None = None
        self.server = server
        self.where = Addresses("", "", 0)

    def start(self) -> None:
        arguments = fast_printer(self._folder)
        config = Path(arguments[1])
        config.write_text(f"{config.read_text()}spoolman: {{server: '{self.server.url}', sync_rate: {RATE}}}\n")
        self._program = Program(*up_arguments(self._folder / "data", *arguments))
        self.where = addresses(self._program.ready_line())
        until(lambda: bool(get(self.where, "/server/info")["klippy_state"] == "ready"))
        until(lambda: bool(self.status()["spoolman_connected"]))

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._program is not None:
            self._program.stop(number)

    def status(self) -> Json:
        found: Json = get(self.where, STATUS)
        return found

    def post(self, route: str, **body: Any) -> Json:
        """The whole answer."""
        data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        request = urllib.request.Request(self.where.http + route, data, headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                found: Json = json.load(answer)
        except urllib.error.HTTPError as error:
            found = json.load(error)
        return found

    def proxy(self, path: str, verb: str = "GET", **more: Any) -> Json:
        return self.post("/server/spoolman/proxy", request_method=verb, path=path, **more)

    def select(self, spool_id: int | None) -> None:
        assert self.post("/server/spoolman/spool_id", spool_id=spool_id) == {"result": {"spool_id": spool_id}}

    def gcode(self, script: str) -> None:
        assert self.post("/printer/gcode/script", script=script) == {"result": "ok"}

    def extrude(self, length: float) -> None:
        """Returns once Klipper has told of it, four times a second."""
        before = self.position()
        self.gcode(f"M83\nG1 E{length} F6000\nM400")
        until(lambda: abs(self.position() - before - length) < 1e-6)

    def position(self) -> float:
        found: float = get(self.where, "/printer/objects/query?toolhead")["status"]["toolhead"]["position"][3]
        return found

    def has_used(self, spool_id: int, length: float) -> None:
        """Waits until Spoolman knows so much, and nothing is left to be said."""
        until(lambda: abs(self.server.spools[spool_id] - length) < 1e-6)
        until(lambda: not self.status()["pending_reports"])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with ExitStack() as stack:
        server = stack.enter_context(spoolman({}))
        found = Desk(tmp_path_factory.mktemp("spoolman"), server)
        found.start()
        found.gcode("M109 S200")
        stack.callback(lambda: found.stop())
        yield found


@pytest.fixture
def desk(started: Desk) -> Desk:
    """With two new spools, of which the first is in use."""
    server = started.server
    server.down = False
    server.silent.clear()
    server.troubles.clear()
    server.spools.clear()
    server.spools.update({1: 100.0, 2: 200.0})
    server.heard.clear()
    server.answers.clear()
    until(lambda: bool(started.status()["spoolman_connected"]))
    started.select(1)
    return started


def told(client: Talker, name: str) -> Json:
    """The params of the next notification of a name, which are as the catalogue has them."""
    message = client.hear(lambda said: said.get("method") == name)
    found: Json = message["params"][0]
    Draft202012Validator(SHOWN[name]["params"][0]).validate(found)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_spool_is_chosen_and_everybody_is_told(desk: Desk, kind: str) -> None:
    with talker(desk.where, kind, "chooser") as client:
        assert client.ask("server.spoolman.post_spool_id", spool_id=2)["result"] == {"spool_id": 2}
        assert told(client, SPOOL_SET.name) == {"spool_id": 2}
        assert client.ask("server.spoolman.get_spool_id")["result"] == {"spool_id": 2}
        for cleared in ({"spool_id": None}, {}):
            assert client.ask("server.spoolman.post_spool_id", spool_id=1)["result"] == {"spool_id": 1}
            assert told(client, SPOOL_SET.name) == {"spool_id": 1}
            assert client.ask("server.spoolman.post_spool_id", **cleared)["result"] == {"spool_id": None}
            assert told(client, SPOOL_SET.name) == {"spool_id": None}
    desk.select(2)
    facts = get(desk.where, "/events/read?stream=spoolman&limit=5000")["events"]
    assert (facts[-1]["type"], facts[-1]["data"]["spool_id"]) == ("spool.selected.1", 2)
    assert facts[-1]["actor"]["transport"] == "http"


def test_a_spool_that_spoolman_has_not_is_refused(desk: Desk) -> None:
    assert desk.post("/server/spoolman/spool_id", spool_id=7)["error"]["message"] == "Spoolman has no spool 7"
    assert desk.status()["spool_id"] == 1


def test_a_macro_chooses_a_spool_and_what_is_wrong_is_said_on_the_console(desk: Desk) -> None:
    with talker(desk.where, "websocket", "listener") as client:
        client.ask("server.info")
        desk.gcode("CALL_REMOTE METHOD=spoolman_set_active_spool SPOOL_ID=2")
        assert told(client, SPOOL_SET.name) == {"spool_id": 2}
        for wrong in ("first", 9):
            desk.gcode(f"CALL_REMOTE METHOD=spoolman_set_active_spool SPOOL_ID={wrong}")
            client.hear(lambda said: "!! Remote method 'spoolman_set_active_spool'" in str(said.get("params")))
        desk.gcode("CALL_REMOTE METHOD=spoolman_set_active_spool")
        assert told(client, SPOOL_SET.name) == {"spool_id": None}


def test_what_is_drawn_is_reported_of_the_spool_in_use(desk: Desk) -> None:
    desk.extrude(10)
    desk.has_used(1, 110)
    desk.extrude(-5)
    desk.extrude(5)
    desk.extrude(2.5)
    desk.has_used(1, 112.5)
    desk.select(2)
    desk.extrude(4)
    desk.has_used(2, 204)
    desk.select(None)
    desk.extrude(4)
    desk.select(2)
    desk.extrude(1)
    desk.has_used(2, 205)
    assert desk.server.spools == pytest.approx({1: 112.5, 2: 205})


@pytest.mark.parametrize("counts", [True, False])
def test_a_report_whose_answer_is_lost_counts_once(desk: Desk, counts: bool) -> None:
    desk.server.troubles.append(Trouble(counts))
    desk.extrude(10)
    until(lambda: not desk.server.troubles)
    desk.extrude(3)
    desk.has_used(1, 113)


def test_what_is_drawn_without_spoolman_or_before_a_kill_is_reported_later(desk: Desk) -> None:
    with talker(desk.where, "mqtt", "listener") as client:
        client.ask("server.info")
        desk.server.down = True
        desk.server.disconnect()
        assert told(client, STATUS_CHANGED.name) == {"spoolman_connected": False}
        desk.extrude(10)
        until(lambda: bool(desk.status()["pending_reports"]))
        assert desk.status() == {
            "spoolman_connected": False,
            "pending_reports": [{"spool_id": 1, "filament_used": pytest.approx(10)}],
            "spool_id": 1,
        }
        desk.select(2)  # it is believed
        desk.extrude(5)
        until(lambda: len(desk.status()["pending_reports"]) == 2)
    desk.stop(signal.SIGKILL)
    desk.server.down = False
    desk.start()
    desk.has_used(1, 110)
    desk.has_used(2, 205)
    assert desk.status()["spool_id"] == 2
    desk.gcode("M109 S200")


def test_a_spool_that_is_deleted_is_not_in_use_any_more(desk: Desk) -> None:
    with talker(desk.where, "websocket", "listener") as client:
        client.ask("server.info")
        desk.server.delete(1)
        assert told(client, SPOOL_SET.name) == {"spool_id": None}
        desk.select(2)
        del desk.server.spools[2]  # nobody says so
        desk.extrude(5)
        until(lambda: desk.status()["spool_id"] is None)
    until(lambda: not desk.status()["pending_reports"])
    facts = get(desk.where, "/events/read?stream=spoolman&limit=5000")["events"]
    dropped = [fact["data"] for fact in facts if fact["type"] == "report.dropped.1"][-1]
    assert (dropped["spool_id"], dropped["length"]) == (2, pytest.approx(5))


def test_a_spool_that_was_deleted_while_nobody_listened_is_not_in_use_any_more(desk: Desk) -> None:
    del desk.server.spools[1]
    desk.server.disconnect()
    until(lambda: desk.status()["spool_id"] is None)


def test_a_404_that_is_not_spoolmans_takes_nothing_away(desk: Desk) -> None:
    desk.server.answers[f"GET {SPOOLS}/1"] = said(404, {"detail": "Not Found"})
    desk.server.disconnect()
    until(lambda: not desk.status()["spoolman_connected"])
    desk.extrude(5)
    until(lambda: bool(desk.status()["spoolman_connected"]))
    until(lambda: bool(desk.status()["pending_reports"]))
    assert desk.status()["spool_id"] == 1
    desk.server.answers.clear()
    desk.has_used(1, 105)


@pytest.mark.parametrize("nonsense", [b"", b"[", b"[]", b"5", b'{"type":"deleted"}', b'{"resource":"spool"}'])
def test_what_spoolman_should_never_say_changes_nothing(desk: Desk, nonsense: bytes) -> None:
    desk.server.say(nonsense)
    desk.server.say({"type": "deleted", "resource": "filament", "payload": {"id": 1}})
    desk.server.say({"type": "deleted", "resource": "spool", "payload": {"id": [1]}})
    desk.server.delete(2)
    assert desk.proxy("/v1/spool/1")["result"]["id"] == 1
    assert (desk.status()["spool_id"], desk.status()["spoolman_connected"]) == (1, True)


def test_requests_are_passed_on_as_they_are(desk: Desk) -> None:
    desk.server.answers["GET /api/v1/vendor?limit=1&name=a%20b"] = said(200, [{"id": 1}])
    assert desk.proxy("/v1/vendor", query="limit=1&name=a b") == {"result": [{"id": 1}]}
    for verb in ("POST", "PUT", "PATCH", "DELETE"):
        desk.server.answers[f"{verb} /api/v1/vendor"] = said(200, {"did": verb})
        assert desk.proxy("/v1/vendor", verb, body={"name": "Ä", "more": [1, None]}) == {"result": {"did": verb}}
        assert desk.server.heard[-1] == (f"{verb} /api/v1/vendor", {"name": "Ä", "more": [1, None]})
    desk.server.answers["DELETE /api/v1/vendor"] = 204, {}, b""
    assert desk.proxy("/v1/vendor", "DELETE") == {"result": None}
    assert desk.server.heard[-1] == ("DELETE /api/v1/vendor", None)
    desk.server.answers["GET /api/v1/export"] = 200, {"content-type": "text/csv"}, b"id,name\n"
    assert desk.proxy("/v1/export") == {"result": "id,name\n"}


def test_version_2_says_how_it_went(desk: Desk) -> None:
    desk.server.answers["GET /api/v1/vendor"] = said(200, [], **{"X-Total-Count": "4", "Set-Cookie": "a=b"})
    found = desk.proxy("/v1/vendor", use_v2_response=True)["result"]
    assert (found["response"], found["error"]) == ([], None)
    assert found["response_headers"]["x-total-count"] == "4" and "set-cookie" not in found["response_headers"]
    found = desk.proxy("/v1/spool/7", use_v2_response=True)["result"]
    assert found["response"] is None and found["response_headers"]["content-type"] == "application/json"
    assert found["error"] == {"status_code": 404, "message": "Spoolman: No spool with ID 7 found."}


@pytest.mark.parametrize(("status", "code"), [(400, 400), (401, 401), (404, 404), (409, 409), (422, 422), (500, 500)])
def test_version_1_passes_spoolmans_errors_on(desk: Desk, status: int, code: int) -> None:
    desk.server.answers["GET /api/v1/vendor"] = said(status, {"message": "no"})
    assert desk.proxy("/v1/vendor")["error"] == {"code": code, "message": "Spoolman: no"}


def test_what_is_wrong_with_a_request_is_told_in_words(desk: Desk) -> None:
    problems = [{"loc": ["query", "limit"], "msg": "too large"}, {"loc": ["query", "x"], "msg": "unknown"}]
    desk.server.answers["GET /api/v1/vendor"] = said(422, {"detail": problems})
    assert desk.proxy("/v1/vendor")["error"]["message"] == "Spoolman: too large; unknown"


def test_nothing_but_spoolman_is_ever_asked(desk: Desk, tmp_path: Path) -> None:
    with spoolman({}) as other:
        leads_away = {"location": f"{other.url}/api/v1/spool/1"}
        desk.server.answers["GET /api/v1/moved"] = 307, leads_away, b""
        assert desk.proxy("/v1/moved")["error"]["code"] == 503
        moved = desk.proxy("/v1/moved", use_v2_response=True)["result"]
        assert moved["error"] == {"status_code": 307, "message": "Spoolman answered with status 307"}
        desk.server.heard.clear()
        for path in (f"{other.url}/v1/spool", "//x/v1/spool", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/a\r\nHost: x"):
            for version_2 in (False, True):
                assert desk.proxy(path, use_v2_response=version_2)["error"]["code"] == 400
        assert other.heard == [] == desk.server.heard


def test_an_answer_that_is_too_large_or_cut_off_is_none(desk: Desk) -> None:
    large = b'"' + b"x" * (9 << 20) + b'"'
    desk.server.answers["GET /api/v1/large"] = 200, {}, large
    error = desk.proxy("/v1/large")["error"]
    assert error["code"] == 503 and "larger than" in error["message"]
    desk.server.answers["GET /api/v1/vendor"] = said(200, [1], **{"Content-Length": "50"})
    assert desk.proxy("/v1/vendor", use_v2_response=True)["result"]["error"]["status_code"] == 503


def test_without_spoolman_a_request_is_an_error_or_says_so(desk: Desk) -> None:
    desk.server.down = True
    try:
        assert desk.proxy("/v1/info")["error"]["code"] == 503
        found = desk.proxy("/v1/info", use_v2_response=True)["result"]
        assert (found["response"], found["response_headers"]) == (None, {})
        assert found["error"]["status_code"] == 503 and "cannot be reached" in found["error"]["message"]
    finally:
        desk.server.down = False


def test_a_silent_spoolman_holds_up_nobody_else(desk: Desk) -> None:
    desk.server.silent.set()
    try:
        desk.extrude(5)
        until(lambda: bool(desk.status()["pending_reports"]))
        desk.select(2)
        assert desk.status()["spool_id"] == 2
    finally:
        desk.server.silent.clear()
    desk.has_used(1, 105)


def test_it_is_a_component_when_it_is_configured(desk: Desk, tmp_path: Path) -> None:
    assert "spoolman" in get(desk.where, "/server/info")["components"]
    assert get(desk.where, "/server/config")["config"]["spoolman"] == {"server": desk.server.url, "sync_rate": RATE}
    with running(tmp_path / "data", *fast_printer(tmp_path)) as (_, where):
        assert "spoolman" not in get(where, "/server/info")["components"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(where, STATUS)
