"""What Mainsail and Fluidd ask at their start, in the order and form in which they ask, and every field that they read.

`frontend_calls.json` says which calls and fields those are. FIELDS repeats the fields in a form that can be followed in
an answer, and a test holds the two together.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from schemas import METHODS
from tests.contract.test_catalogue import DATA
from tests.e2e.test_print import PATIENCE, get, until
from tests.feeds import printer_with_a_feed
from tests.file_client import request
from tests.program import Addresses, running

Json = dict[str, Any]

CALLS: dict[str, Json] = json.loads((DATA / "frontend_calls.json").read_text())
ABSENT: Any = object()  # no params at all
# Components that come later: front ends go on without methods that are not found.
LATER = {"machine.device_power.devices", "machine.update.status", "server.job_queue.status"} - set(METHODS)
NEW = {"mainsail", "maintenance", "reminders", "history_notes", "fluidd"}  # namespaces that nobody has written yet
EVERY_OBJECT = "@objects"  # stands for all objects of the printer, as both subscribe to them
EXTRUDERS = "@extruders"

IDENTITY = {"version": "2.14.0", "type": "web", "url": "https://github.com/mainsail-crew/mainsail"}
MAINSAIL: list[tuple[str, Any]] = [
    ("server.connection.identify", {"client_name": "mainsail", **IDENTITY}),
    ("server.info", {}),
    ("server.config", {}),
    ("machine.system_info", {}),
    ("machine.proc_stats", {}),
    ("server.database.list", {"root": "config"}),
    ("server.database.get_item", {"namespace": "mainsail"}),
    ("server.database.get_item", {"namespace": "maintenance"}),
    ("server.database.get_item", {"namespace": "reminders"}),
    ("server.webcams.list", {}),
    ("server.announcements.list", {}),
    ("machine.device_power.devices", {}),
    ("machine.update.status", {"refresh": False}),
    ("server.job_queue.status", {}),
    ("server.files.get_directory", {"path": "gcodes"}),
    ("server.files.get_directory", {"path": "config"}),
    ("server.files.get_directory", {"path": "logs"}),
    ("server.history.totals", {}),
    ("server.history.list", {"start": 0, "limit": 50}),
    ("server.history.list", {"start": 0, "limit": 50, "max": 100}),
    ("server.database.get_item", {"namespace": "history_notes"}),
    ("printer.info", {}),
    ("printer.objects.list", ABSENT),
    ("printer.objects.query", {"objects": {"gcode": ["commands"]}}),
    ("printer.objects.subscribe", {"objects": EVERY_OBJECT}),
    ("server.temperature_store", {"include_monitors": True}),
    ("server.gcode_store", {}),
    ("printer.objects.query", {"objects": EXTRUDERS}),
]
FLUIDD: list[tuple[str, Any]] = [
    ("server.connection.identify", {"client_name": "fluidd", **IDENTITY}),
    ("server.info", ABSENT),
    ("access.get_user", ABSENT),
    ("access.users.list", ABSENT),
    ("access.get_api_key", ABSENT),
    ("server.database.list", ABSENT),
    ("server.database.get_item", {"namespace": "fluidd"}),
    ("server.files.list", {"root": "gcodes"}),
    ("server.files.get_directory", {"path": "gcodes", "extended": True}),
    ("server.config", ABSENT),
    ("machine.system_info", ABSENT),
    ("machine.proc_stats", ABSENT),
    ("machine.device_power.devices", ABSENT),
    ("machine.update.status", {"refresh": False}),
    ("server.webcams.list", ABSENT),
    ("server.announcements.list", ABSENT),
    ("server.job_queue.status", ABSENT),
    ("server.history.list", {"limit": 50}),
    ("server.history.list", {"limit": 0}),
    ("server.history.totals", ABSENT),
    ("printer.info", ABSENT),
    ("printer.gcode.help", ABSENT),
    ("server.gcode_store", ABSENT),
    ("server.temperature_store", {"include_monitors": True}),
    ("printer.objects.list", ABSENT),
    ("printer.objects.subscribe", {"objects": EVERY_OBJECT}),
]
FILE = "modified size permissions"
JOB = "job_id exists filename status start_time end_time print_duration total_duration filament_used metadata"
TOTALS = "total_jobs total_time total_print_time total_filament_used longest_job longest_print"
ENTRY = "entry_id url title description priority date dismissed date_dismissed dismiss_wake source feed"
WEBCAM = (
    "name location service enabled icon target_fps target_fps_idle stream_url snapshot_url flip_horizontal "
    "flip_vertical rotation aspect_ratio extra_data source uid"
)
SYSTEM = (
    "cpu_info distribution virtualization python network canbus available_services service_state instance_ids sd_info"
)
# Where the fields of each answer are: a path, then the names there. `*` is every member of an object or a list, and
# there has to be one; `?` likewise, but there may be none on this machine.
FIELDS: dict[str, dict[str, str]] = {
    "access.get_api_key": {},
    "access.get_user": {"": "username source"},
    "access.users.list": {"": "users"},
    "machine.proc_stats": {
        "": "moonraker_stats throttled_state cpu_temp network system_cpu_usage system_uptime system_memory",
        "moonraker_stats *": "time cpu_usage memory mem_units",
        "network *": "rx_bytes tx_bytes bandwidth",
        "system_cpu_usage": "cpu",
    },
    "machine.system_info": {
        "system_info": SYSTEM,
        "system_info cpu_info": "cpu_count bits processor cpu_desc total_memory",
        "system_info distribution": "name version codename like release_info",
        "system_info python": "version_string",
        "system_info network ?": "ip_addresses",
        "system_info service_state ?": "active_state sub_state",
        "system_info instance_ids": "klipper moonraker",
    },
    "printer.gcode.help": {},
    "printer.info": {
        "": "state state_message hostname software_version cpu_info klipper_path config_file log_file process_id"
    },
    "printer.objects.list": {"": "objects"},
    "printer.objects.query": {"": "status eventtime"},
    "printer.objects.subscribe": {"": "status eventtime", "status": "toolhead extruder print_stats configfile"},
    "server.announcements.list": {"": "entries feeds", "entries *": ENTRY},
    "server.config": {
        "config": "server data_store history",
        "config server": "port ssl_port",
        "config data_store": "temperature_store_size",
        "": "orig",
    },
    "server.connection.identify": {"": "connection_id"},
    "server.database.get_item": {"": "value"},
    "server.database.list": {"": "namespaces backups"},
    "server.files.get_directory": {
        "": "dirs files disk_usage root_info",
        "dirs ?": f"dirname {FILE}",
        "files ?": f"filename {FILE}",
        "disk_usage": "total used free",
        "root_info": "name permissions",
    },
    "server.files.list": {"*": f"path {FILE}"},
    "server.gcode_store": {"gcode_store *": "message time type"},
    "server.history.list": {"": "count", "jobs *": f"{JOB} auxiliary_data user"},
    "server.history.totals": {"job_totals": TOTALS, "": "auxiliary_totals"},
    "server.info": {
        "": "klippy_connected klippy_state components failed_components registered_directories warnings "
        "moonraker_version api_version_string"
    },
    "server.job_queue.status": {
        "": "queued_jobs queue_state",
        "queued_jobs ?": "filename job_id time_added time_in_queue",
    },
    "server.temperature_store": {"extruder": "temperatures targets powers"},
    "server.webcams.list": {"webcams *": WEBCAM},
}
# Named in the file, and there only on some hosts or with components that come later.
ELSEWHERE = {"product_info", "bits", "flags", "speeds", "spoolman", "timelapse", "sensor"}
# Words of its descriptions that are no fields of an answer.
PROSE = {
    "access_token",
    "can_extrude",
    "command",
    "commands",
    "config",
    "extended",
    "extruder",
    "force_logins",
    "gcode",
}
PROSE |= {
    "history_notes",
    "if",
    "include_monitors",
    "metadata",
    "name",
    "null",
    "obj",
    "objects",
    "of",
    "response",
    "text",
}


def named(text: str) -> set[str]:
    """Fields that a description lists: within braces, and whatever is written with an underscore."""
    braces = " ".join(re.findall(r"\{([^{}]*)\}", text))
    return set(re.findall(r"[a-z]+(?:_[a-z]+)*", braces)) | set(re.findall(r"[a-z]+(?:_[a-z]+)+", text))


def started_by(client: str) -> set[str]:
    return {name for name, call in CALLS.items() if call["kind"] == "rpc" and call[f"startup_{client}"]}


def test_both_lists_hold_what_each_asks_at_its_start() -> None:
    assert {name for name, _ in MAINSAIL} == started_by("mainsail")
    assert {name for name, _ in FLUIDD} == started_by("fluidd")


@pytest.mark.parametrize("name", sorted((started_by("mainsail") | started_by("fluidd")) - LATER))
def test_no_field_that_they_read_is_left_out(name: str) -> None:
    ours = {word for path, names in FIELDS[name].items() for word in f"{path} {names}".split()}
    assert named(CALLS[name]["fields_read"]) <= ours | ELSEWHERE | PROSE


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """A printer that has printed, with a webcam and news, from which a browser elsewhere may read."""
    folder = tmp_path_factory.mktemp("frontends")
    options = printer_with_a_feed(folder)
    more = "webcams: {bed: {stream_url: /webcam}}\nbridge: {cors_domains: ['http://my.mainsail.test']}\n"
    Path(options[1]).write_text(Path(options[1]).read_text() + more)
    with running(folder / "data", *options) as (_, found):
        until(lambda: bool(get(found, "/server/info")["klippy_state"] == "ready"))
        get(found, "/printer/print/start?filename=demo.gcode", post=True)
        until(lambda: bool(get(found, "/server/history/totals")["job_totals"]["total_jobs"] == 1))
        get(found, "/server/announcements/update", post=True)
        until(lambda: bool(get(found, "/server/gcode_store")["gcode_store"]))
        until(lambda: bool(get(found, "/machine/proc_stats")["moonraker_stats"]))
        yield found


class FrontEnd:
    """A websocket that numbers its requests from 0 on, as Mainsail does."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = -1
        self.told: dict[str, Any] = {}
        self.objects: list[str] = []

    def ask(self, method: str, params: Any) -> Json:
        """The answer to one request."""
        self._number += 1
        message = {"jsonrpc": "2.0", "method": method, "id": self._number}
        if params is not ABSENT:
            message["params"] = self._filled(params)
        self._connection.send(json.dumps(message))
        answer: Json = self.hear(lambda heard: isinstance(heard, dict) and heard.get("id") == self._number)
        return answer

    def batch(self, messages: list[Json]) -> Any:
        """The answer to many at once."""
        self._connection.send(json.dumps(messages))
        return self.hear(lambda heard: isinstance(heard, list))

    def hear(self, wanted: Any) -> Any:
        """The next message that is wanted."""
        while True:
            message = json.loads(self._connection.recv(PATIENCE))
            if isinstance(message, dict) and "method" in message:
                self.told[message["method"]] = message.get("params")
            if wanted(message):
                return message

    def hear_told(self, method: str) -> Any:
        """The params of a notification, which may have come before."""
        while method not in self.told:
            self.hear(lambda _: True)
        return self.told[method]

    def _filled(self, params: Any) -> Any:
        objects = (params or {}).get("objects")
        if objects == EVERY_OBJECT:
            return {"objects": {name: None for name in self.objects if not name.startswith("menu")}}
        if objects == EXTRUDERS:
            return {"objects": {name: ["can_extrude"] for name in self.objects if name.startswith("extruder")}}
        return params


@pytest.fixture
def front_end(where: Addresses) -> Iterator[FrontEnd]:
    with connect(where.http.replace("http", "ws") + "/websocket", max_size=None) as connection:
        yield FrontEnd(connection)


def lacking(value: Any, path: list[str], names: list[str], at: str) -> Iterator[str]:
    """Where a field is not."""
    if not path:
        yield from (f"{at}/{name}" for name in names if name not in value)
    elif path[0] in "*?":
        found = list(value.values() if isinstance(value, dict) else value)
        if path[0] == "*" and not found:
            yield f"{at} is empty"
        for each in found:
            yield from lacking(each, path[1:], names, f"{at}/*")
    elif path[0] not in value:
        yield f"{at}/{path[0]}"
    else:
        yield from lacking(value[path[0]], path[1:], names, f"{at}/{path[0]}")


def wrong(front_end: FrontEnd, method: str, params: Any) -> Iterator[str]:
    """What is not as the front end needs it in the answer to a call of its start."""
    answer = front_end.ask(method, params)
    if method in LATER or is_first_time(params):
        if answer.get("error", {}).get("code") != -32601:
            yield f"{method}: {str(answer)[:200]}"
    elif "result" not in answer:
        yield f"{method}: {answer}"
    else:
        if method == "printer.objects.list":
            front_end.objects = answer["result"]["objects"]
        for path, names in FIELDS[method].items():
            yield from lacking(answer["result"], path.split(), names.split(), method)


def is_first_time(params: Any) -> bool:
    """Whether it asks for a namespace that has to be made: that it is not there is an error of its own."""
    return isinstance(params, dict) and params.get("namespace") in NEW


def test_mainsail_finds_everything_at_its_first_start(where: Addresses, front_end: FrontEnd) -> None:
    found = [each for method, params in MAINSAIL for each in wrong(front_end, method, params)]
    assert "\n".join(found) == ""
    statuses = front_end.ask("printer.objects.query", {"objects": EXTRUDERS})["result"]["status"]
    assert "can_extrude" in statuses["extruder"]
    files = get(where, "/server/files/list")
    metadata = [
        {"jsonrpc": "2.0", "method": "server.files.metadata", "params": {"filename": path}, "id": number}
        for number, path in enumerate([each["path"] for each in files] * 100)
    ][:100]
    answers = front_end.batch(metadata)
    assert [each["id"] for each in answers] == list(range(100))
    assert {each["result"]["filename"] for each in answers} == {each["path"] for each in files}
    diff, eventtime = front_end.hear_told("notify_status_update")
    assert (type(diff), type(eventtime)) == (dict, float)
    (proc_stats,) = front_end.hear_told("notify_proc_stat_update")
    assert {"time", "cpu_usage", "memory", "mem_units"} <= set(proc_stats["moonraker_stats"])


def test_fluidd_finds_everything_at_its_first_start(where: Addresses, front_end: FrontEnd) -> None:
    with connect(where.http.replace("http", "ws") + "/websocket"):
        pass  # it looks first whether anybody is there
    found = [each for method, params in FLUIDD for each in wrong(front_end, method, params)]
    assert "\n".join(found) == ""
    assert isinstance(front_end.ask("access.get_api_key", ABSENT)["result"], str)
    item = {"namespace": "fluidd_later", "key": ["uiSettings", "a.b"], "value": {"list": [None, 1.5]}}
    assert front_end.ask("server.database.post_item", item)["result"] == item
    whole = front_end.ask("server.database.get_item", {"namespace": "fluidd_later"})["result"]
    assert whole["value"] == {"uiSettings": {"a.b": {"list": [None, 1.5]}}}


def test_a_first_start_finds_no_theme_and_writes_when_it_was(where: Addresses) -> None:
    origin = {"Origin": "http://my.mainsail.test"}
    for name in ("default", "maintenance"):
        answer = request(where, "GET", f"/server/files/config/.theme/{name}.json?time=1760000000", None, **origin)
        assert (answer.status, answer.json["error"]["code"]) == (404, 404)
    asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    preflight = request(where, "OPTIONS", "/server/database/item", None, **origin, **asked)
    assert preflight.status in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == origin["Origin"]
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "content-type" in preflight.headers["access-control-allow-headers"].lower()
    body = json.dumps({"namespace": "written_first", "key": "initVersion", "value": "2.14.0"}).encode()
    written = request(where, "POST", "/server/database/item", body, Content_Type="application/json", **origin)
    assert (written.status, written.json["result"]["value"]) == (200, "2.14.0")
    assert get(where, "/server/database/item?namespace=written_first")["value"] == {"initVersion": "2.14.0"}
