"""The database on the running program: as recorded, in bursts, as it was, as files, and after a kill."""

import asyncio
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.sync.client import connect

from tests.contract.test_recorded_answers import misfits, recorded, sent
from tests.e2e.test_print import Socket, fast_printer, get, until
from tests.file_client import request
from tests.mqtt_wire import WireClient
from tests.program import Addresses, Program, addresses, up_arguments

Json = dict[str, Any]

BURST = 60  # keys that a front end writes at its first start, without waiting for an answer


class Runs:
    """The program, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program: Program | None = None
        self.where = Addresses("", "", 0)

    def start(self) -> None:
        self.program = Program(*up_arguments(self.folder / "data", *fast_printer(self.folder)))
        self.where = addresses(self.program.ready_line())

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.program is not None
        self.program.stop(number)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    found = Runs(tmp_path_factory.mktemp("database"))
    found.start()
    yield found
    found.stop()


@contextmanager
def client(runs: Runs) -> Iterator[Socket]:
    with connect(runs.where.http.replace("http", "ws") + "/websocket", max_size=None) as connection:
        yield Socket(connection)


def ask(socket: Socket, name: str, **params: Any) -> Any:
    """The result, or the code of the error."""
    answer = socket.ask(f"server.database.{name}", **params)
    return answer["result"] if "result" in answer else answer["error"]["code"]


def value(socket: Socket, namespace: str, key: Any = None, **more: Any) -> Any:
    found = ask(socket, "get_item", namespace=namespace, key=key, **more)
    return found["value"] if isinstance(found, dict) else found


def test_http_is_answered_as_recorded(runs: Runs) -> None:
    """Without what Moonraker notes for itself in its namespace."""
    for exchange in recorded("database_http.jsonl"):
        status, body = sent(runs.where, exchange)
        assert status == exchange["status"], exchange
        expected, actual = exchange["answer"], json.loads(body)
        if "error" in expected:
            assert actual["error"]["code"] == expected["error"]["code"]
        else:
            assert misfits(exchange["request"].split("?")[0], expected["result"], actual["result"]) == [], exchange


def test_a_key_is_dotted_or_a_list_and_is_answered_in_the_form_it_came(runs: Runs) -> None:
    with client(runs) as socket:
        written = ask(socket, "post_item", namespace="keys", key=["file.gcode", "a"], value={"b": None})
        assert written == {"namespace": "keys", "key": ["file.gcode", "a"], "value": {"b": None}}
        assert ask(socket, "post_item", namespace="keys", key="x.y.z", value=[1, {"q": 2}])["key"] == "x.y.z"
        assert value(socket, "keys") == {"file.gcode": {"a": {"b": None}}, "x": {"y": {"z": [1, {"q": 2}]}}}
        assert value(socket, "keys", ["file.gcode", "a", "b"]) is None
        assert value(socket, "keys", "file.gcode") == -32601
        assert value(socket, "keys", "x.y") == {"z": [1, {"q": 2}]}
        assert value(socket, "keys", "x.y.z.0") == -32601
        assert ask(socket, "post_item", namespace="keys", key="x.y.z.deep.er", value=1) == 400  # z is a list
        assert ask(socket, "post_item", namespace="keys", key="plain", value=1)["value"] == 1
        assert ask(socket, "post_item", namespace="keys", key="plain.now", value=2)["value"] == 2
        assert value(socket, "keys", "plain") == {"now": 2}  # a value of the first level makes room
        for key, old in (("x", {"y": {"z": [1, {"q": 2}]}}), ("plain", {"now": 2}), (["file.gcode"], ...)):
            found = ask(socket, "delete_item", namespace="keys", key=key)
            assert old is ... or found == {"namespace": "keys", "key": key, "value": old}
        assert value(socket, "keys") == -32601
        assert "keys" not in ask(socket, "list")["namespaces"]


def test_a_query_string_says_what_is_not_text(runs: Runs) -> None:
    place = f"namespace=typed&key:json={quote(json.dumps(['a.b', 'c']))}"
    posted = request(runs.where, "POST", f"/server/database/item?{place}&value:json=%7B%22n%22:[1.5]%7D")
    assert posted.json["result"] == {"namespace": "typed", "key": ["a.b", "c"], "value": {"n": [1.5]}}
    assert get(runs.where, f"/server/database/item?{place}")["value"] == {"n": [1.5]}
    assert (
        request(runs.where, "POST", "/server/database/item?namespace=typed&key=n&value=5").json["result"]["value"]
        == "5"
    )
    deleted = request(runs.where, "DELETE", f"/server/database/item?{place}")
    assert deleted.json["result"]["value"] == {"n": [1.5]}
    missing = request(runs.where, "GET", "/server/database/item?namespace=mainsail_is_new")
    assert (missing.status, missing.json["error"]["code"]) == (404, 404)


def test_a_burst_shares_commits_and_is_answered_in_order_and_durable(runs: Runs) -> None:
    head = get(runs.where, "/events/read?limit=1")["head"]
    calls: list[Json] = [
        {"jsonrpc": "2.0", "method": "server.database.post_item", "id": number, "params": params}
        for number in range(BURST)
        for params in [{"namespace": "mainsail", "key": f"view.part{number}", "value": {"on": number}}]
    ]
    with connect(runs.where.http.replace("http", "ws") + "/websocket") as connection:
        for call in calls:
            connection.send(json.dumps(call))
        answers: list[Json] = []
        while len(answers) < BURST:
            message = json.loads(connection.recv(30))
            if "id" in message:
                answers.append(message)
    assert {each["id"] for each in answers} == set(range(BURST))
    assert all(each["result"]["value"] == {"on": each["id"]} for each in answers)
    runs.stop(signal.SIGKILL)
    runs.start()
    facts = get(runs.where, f"/events/read?stream=database&since={head}&limit=500")["events"]
    written = [each for each in facts if each["data"].get("namespace") == "mainsail"]
    assert len(written) == BURST
    assert len({each["time"] for each in written}) < BURST / 2  # events of one commit have its time
    commands = get(runs.where, f"/events/read?stream=commands&since={head}&limit=500")["events"]
    asked = [each["data"]["params"] for each in commands if each["type"] == "command.accepted.1"]
    assert asked == [
        {key: call["params"][key] for key in ("namespace", "key")} for call in calls
    ]  # values are not told twice
    with client(runs) as socket:
        assert value(socket, "mainsail", "view") == {f"part{number}": {"on": number} for number in range(BURST)}


def test_a_batch_of_a_hundred_is_answered_as_a_batch(runs: Runs) -> None:
    batch = [
        {"jsonrpc": "2.0", "method": "server.database.post_item", "id": number, "params": params}
        for number in range(100)
        for params in [{"namespace": "batch", "key": f"k{number % 7}", "value": number}]
    ]
    with connect(runs.where.http.replace("http", "ws") + "/websocket") as connection:
        connection.send(json.dumps(batch))
        answers: Any = None
        while not isinstance(answers, list):
            answers = json.loads(connection.recv(30))
    assert sorted(each["id"] for each in answers) == list(range(100))
    with client(runs) as socket:
        assert value(socket, "batch") == {f"k{number % 7}": number for number in range(93, 100)}  # the last one counts


def test_clients_follow_each_other_over_mqtt(runs: Runs) -> None:
    async def follow() -> list[tuple[str, Json]]:
        watcher = await WireClient.open((runs.where.mqtt_host, runs.where.mqtt_port))
        await watcher.login("watcher")
        await watcher.subscribe(("test/event/database/+", 0))
        writer = await WireClient.open((runs.where.mqtt_host, runs.where.mqtt_port))
        await writer.login("writer")
        for name, params in (("post_item", {"key": "a.b", "value": 5}), ("delete_item", {"key": ["a", "b"]})):
            call = {"jsonrpc": "2.0", "method": f"server.database.{name}", "params": {"namespace": "live", **params}}
            await writer.publish("test/moonraker/api/request/writer", json.dumps({**call, "id": 1}).encode())
        told: list[tuple[str, Json]] = []
        while len(told) < 2:
            message = await watcher.published()
            event = json.loads(message.payload)
            if event["data"].get("namespace") == "live":
                told.append((message.topic, event))
        for each in (watcher, writer):
            await each.disconnect()
        return told

    (set_on, set_told), (deleted_on, deleted_told) = asyncio.run(follow())
    assert (set_on, deleted_on) == ("test/event/database/database.set.1", "test/event/database/database.deleted.1")
    assert set_told["data"] == {"namespace": "live", "key": ["a", "b"], "value": 5}
    assert deleted_told["data"] == {"namespace": "live", "key": ["a", "b"]}
    assert (set_told["actor"]["client"], set_told["actor"]["transport"]) == ("writer", "mqtt")


def test_a_key_has_a_history_and_everything_can_be_read_as_it_was(runs: Runs) -> None:
    with client(runs) as socket:
        for number in range(3):
            ask(socket, "post_item", namespace="past", key="a.b", value=number)
        ask(socket, "delete_item", namespace="past", key="a")
        ask(socket, "post_item", namespace="past", key="a", value={"b": "back", "c": 1})
        found = ask(socket, "history", namespace="past", key="a.b")
        assert [change.get("value", ...) for change in found["changes"]] == ["back", ..., 2, 1, 0]
        assert (found["namespace"], found["key"], found["more"]) == ("past", "a.b", False)
        assert {change["actor"]["transport"] for change in found["changes"]} == {"websocket"}
        back, gone, *others = found["changes"]
        assert value(socket, "past", at=back["seq"]) == {"a": {"b": "back", "c": 1}}
        assert value(socket, "past", "a.b", at=gone["seq"]) == -32601
        assert [value(socket, "past", "a.b", at=each["seq"]) for each in others] == [2, 1, 0]
        assert value(socket, "past", "a.b", at=others[1]["time"]) in (1, 2)  # both may have one time
        page = ask(socket, "history", namespace="past", key=["a", "b"], limit=2)
        assert (len(page["changes"]), page["more"], page["key"]) == (2, True, ["a", "b"])
        rest = ask(socket, "history", namespace="past", key="a.b", before=page["changes"][-1]["seq"])
        assert [*page["changes"], *rest["changes"]] == found["changes"]


def test_what_is_known_of_gcode_files_is_a_namespace_that_nobody_writes(runs: Runs) -> None:
    with client(runs) as socket:
        until(lambda: isinstance(value(socket, "gcode_metadata", ["demo.gcode"]), dict))
        found = value(socket, "gcode_metadata", ["demo.gcode"])
        metadata = socket.ask("server.files.metadata", filename="demo.gcode")["result"]
        assert {"filename": "demo.gcode", **found} == metadata
        assert value(socket, "gcode_metadata", ["demo.gcode", "size"]) == metadata["size"]
        assert value(socket, "gcode_metadata", "nosuch") == -32601
        assert value(socket, "gcode_metadata", ["demo.gcode", "size"], at=4e9) == metadata["size"]


def test_webcams_are_a_namespace_in_the_form_that_moonraker_keeps(runs: Runs) -> None:
    with client(runs) as socket:
        assert value(socket, "webcams") == {}
        given = {"name": "bed", "stream_url": "/w", "snapshot_url": "/s", "rotation": 90, "flip_vertical": True}
        webcam = socket.ask("server.webcams.post_item", **given)["result"]["webcam"]
        found = value(socket, "webcams", webcam["uid"])
        assert found.pop("extra_data") == {}
        assert found == {
            "name": "bed",
            "enabled": True,
            "icon": "mdiWebcam",
            "aspectRatio": "4:3",
            "targetFps": 15,
            "targetFpsIdle": 5,
            "location": "printer",
            "service": "mjpegstreamer",
            "urlStream": "/w",
            "urlSnapshot": "/s",
            "flipX": False,
            "flipY": True,
            "rotation": 90,
        }
        socket.ask("server.webcams.delete_item", uid=webcam["uid"])
        assert value(socket, "webcams") == {}


def webcam(socket: Socket, uid: str) -> Any:
    found = socket.ask("server.webcams.get_item", uid=uid)
    return found["result"]["webcam"] if "result" in found else found["error"]["code"]


def test_what_is_written_into_the_namespace_of_webcams_is_a_webcam(runs: Runs) -> None:
    with client(runs) as socket:
        stored = {"name": "rig", "urlStream": "/w", "targetFps": 30, "urlSnapshot": None, "rotate": 90, "colour": "red"}
        assert ask(socket, "post_item", namespace="webcams", key="mine", value=stored)["value"] == stored
        added = webcam(socket, "mine")
        assert [added[name] for name in ("name", "stream_url", "target_fps", "rotation")] == ["rig", "/w", 30, 90]
        assert added["extra_data"] == {"colour": "red"}
        assert ask(socket, "post_item", namespace="webcams", key="mine.urlStream", value="/x")["value"] == "/x"
        assert webcam(socket, "mine") == added | {"stream_url": "/x"}
        assert value(socket, "webcams", "mine.urlStream") == "/x"
        assert ask(socket, "delete_item", namespace="webcams", key="mine.targetFps")["value"] == 30
        assert webcam(socket, "mine")["target_fps"] == 15
        for key, refused in (
            ("other", {"name": "x"}),
            ("other", {"name": "rig", "urlStream": "/w"}),
            ("other", None),
            ("other", 7),
            ("other.name", "x"),
            ("mine.name.first", "x"),
            ("mine.name", None),
        ):
            assert ask(socket, "post_item", namespace="webcams", key=key, value=refused) == 400
        assert ask(socket, "delete_item", namespace="webcams", key="mine.name") == 400
        assert ask(socket, "delete_item", namespace="webcams", key="other") == -32601
        assert ask(socket, "delete_item", namespace="webcams", key="mine")["value"]["name"] == "rig"
        assert webcam(socket, "mine") == -32601
        assert value(socket, "webcams") == {}


def test_requests_that_do_not_wait_for_each_other_see_each_other(runs: Runs) -> None:
    with connect(runs.where.http.replace("http", "ws") + "/websocket") as connection:
        place = {"namespace": "pipelined", "key": "k"}
        asked = [
            ("post_item", {**place, "value": 1}),
            ("get_item", place),
            ("get_item", {"namespace": "pipelined"}),
            ("post_item", {**place, "value": 2}),
            ("post_item", {"namespace": "webcams", "key": "now", "value": {"name": "now", "urlStream": "/w"}}),
            ("get_item", {"namespace": "webcams", "key": "now.name"}),
            ("delete_item", {"namespace": "webcams", "key": "now"}),
        ]
        for number, (method, params) in enumerate(asked):
            one = {"jsonrpc": "2.0", "method": f"server.database.{method}", "params": params, "id": number}
            connection.send(json.dumps(one))
        found: dict[int, Any] = {}
        while len(found) < len(asked):
            answer = json.loads(connection.recv(20))
            found |= {answer["id"]: answer["result"]["value"]} if "id" in answer else {}  # else it is a notice
        assert [found[number] for number in (1, 2, 3, 5)] == [1, {"k": 1}, 2, "now"]


def test_a_webcam_that_is_too_large_is_refused_and_holds_nothing_up(runs: Runs) -> None:
    with client(runs) as socket:
        webcam = {"name": "large", "urlStream": "/w", "extra_data": {"x": "x" * 1_048_300}}
        assert ask(socket, "post_item", namespace="webcams", key="u", value=webcam) == 413
        assert ask(socket, "post_item", namespace="small", key="a", value=1)["value"] == 1
        assert value(socket, "webcams") == {}


def test_both_ways_to_change_a_webcam_lose_nothing(runs: Runs) -> None:
    with client(runs) as one, client(runs) as two:
        ask(one, "post_item", namespace="webcams", key="both", value={"name": "both", "urlStream": "/w"})
        keys = ["both", "rotation"], ["both", "extra_data", "n"]

        def write(number: int) -> None:
            for key in keys:
                ask(one, "post_item", namespace="webcams", key=key, value=90 * (number % 4))

        for number in range(30):
            with ThreadPoolExecutor(1) as thread:
                written = thread.submit(write, number)
                assert "result" in two.ask("server.webcams.post_item", uid="both", target_fps=20 + number)
                written.result()
            found = webcam(one, "both")
            assert found["target_fps"] == 20 + number
            assert (found["rotation"], found["extra_data"]) == (90 * (number % 4), {"n": 90 * (number % 4)})
        ask(one, "delete_item", namespace="webcams", key="both")


def test_webcams_come_back_with_a_backup(runs: Runs) -> None:
    with client(runs) as socket:
        for uid in ("kept", "gone"):
            stored = {"name": uid, "urlStream": "/w"}
            assert ask(socket, "post_item", namespace="webcams", key=uid, value=stored)["value"] == stored
        ask(socket, "post_backup", filename="webcams.db")
        ask(socket, "delete_item", namespace="webcams", key="gone")
        ask(socket, "post_item", namespace="webcams", key="newer", value={"name": "newer", "urlStream": "/w"})
        assert "webcams" in ask(socket, "restore", filename="webcams.db")["restored_namespaces"]
    assert runs.program is not None
    runs.where = addresses(runs.program.ready_line())  # it has restarted
    with client(runs) as socket:
        assert sorted(value(socket, "webcams")) == ["gone", "kept"]
        assert webcam(socket, "gone")["stream_url"] == "/w"
        for uid in ("gone", "kept"):
            ask(socket, "delete_item", namespace="webcams", key=uid)
        ask(socket, "delete_backup", filename="webcams.db")


def test_backups_of_one_second_have_names_of_their_own(runs: Runs) -> None:
    with client(runs) as socket:
        names = {Path(ask(socket, "post_backup")["backup_path"]).name for _ in range(3)}
        assert len(names) == 3
        assert names <= set(ask(socket, "list")["backups"])
        for name in names:
            ask(socket, "delete_backup", filename=name)


def test_a_copy_brings_everything_back_by_facts_and_a_restart(runs: Runs) -> None:
    with client(runs) as socket:
        large = {f"k{number}": "x" * 100 for number in range(3000)}
        ask(socket, "post_item", namespace="saved", key="large", value=large)
        ask(socket, "post_item", namespace="saved", key=["a.b"], value=[1])
        path = Path(ask(socket, "post_backup", filename="mine.db")["backup_path"])
        assert (path.parent, path.name) == (runs.folder / "data/backup/database", "mine.db")
        assert ask(socket, "post_backup", filename="mine.db") == 400  # never over another one
        other = Path(ask(socket, "post_backup")["backup_path"]).name
        assert ask(socket, "list")["backups"] == ["mine.db", other]
        assert ask(socket, "delete_backup", filename=other)["backup_path"] == str(path.with_name(other))
        ask(socket, "post_item", namespace="saved", key="large.k7", value="changed")
        ask(socket, "post_item", namespace="newer", key="a", value=1)
        path.with_name("damaged.db").write_bytes(path.read_bytes().replace(b"k8", b"k9", 1))
        assert ask(socket, "restore", filename="damaged.db") == 400
        assert value(socket, "newer", "a") == 1
        restored = ask(socket, "restore", filename="mine.db")
        assert restored["restored_tables"] == []
        assert {"saved", "moonraker"} <= set(restored["restored_namespaces"])
        assert "newer" not in restored["restored_namespaces"]
    assert runs.program is not None
    runs.where = addresses(runs.program.ready_line())  # it has restarted
    with client(runs) as socket:
        assert value(socket, "saved") == {"large": large, "a.b": [1]}
        assert value(socket, "newer") == -32601
        assert [change.get("value") for change in ask(socket, "history", namespace="newer", key="a")["changes"]] == [
            None,
            1,
        ]


def test_compacting_forgets_what_was_and_keeps_what_is(runs: Runs) -> None:
    with client(runs) as socket:
        for number in range(20):
            ask(socket, "post_item", namespace="compacted", key="a", value="x" * 1000 + str(number))
        before = get(runs.where, "/events/read?limit=1")["head"]
        found = ask(socket, "compact")
        assert found["previous_size"] > found["new_size"] + 19_000
        assert value(socket, "compacted", "a").endswith("19")
        assert len(ask(socket, "history", namespace="compacted", key="a")["changes"]) == 1
        assert value(socket, "compacted", "a", at=before) == -32601
    runs.stop(signal.SIGKILL)
    runs.start()
    with client(runs) as socket:
        assert value(socket, "compacted", "a").endswith("19")


def state(runs: Runs) -> str:
    return str(get(runs.where, "/printer/objects/query?print_stats=state")["status"]["print_stats"]["state"])


def test_during_a_print_the_house_is_not_kept(runs: Runs) -> None:
    until(lambda: get(runs.where, "/server/info")["klippy_state"] == "ready")
    with client(runs) as socket:
        ask(socket, "post_backup", filename="printing.db")
        assert "result" in socket.ask("printer.print.start", filename="demo.gcode")
        assert "result" in socket.ask("printer.print.pause")
        until(lambda: state(runs) == "paused")
        assert ask(socket, "compact") == 400
        assert ask(socket, "post_backup", filename="other.db") == 400
        assert ask(socket, "restore", filename="printing.db") == 400
        assert ask(socket, "post_item", namespace="printing", key="a", value=1)["value"] == 1
        socket.ask("printer.print.cancel")
        until(lambda: state(runs) == "cancelled")
        assert ask(socket, "delete_backup", filename="printing.db")["backup_path"]


def test_faults_are_looked_for_only_where_that_is_configured(runs: Runs) -> None:
    for path in ("list", "item?namespace=moonraker", "table?table=x"):
        assert request(runs.where, "GET", f"/debug/database/{path}").status == 404
    body = json.dumps({"namespace": "moonraker", "key": "instance_id", "value": "forged"}).encode()
    assert request(runs.where, "POST", "/debug/database/item", body, Content_Type="application/json").status == 404
    assert request(runs.where, "DELETE", "/debug/database/item?namespace=moonraker&key=instance_id").status == 404
    with client(runs) as socket:
        assert len(value(socket, "moonraker", "instance_id")) == 32
