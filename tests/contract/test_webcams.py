"""Webcams on the running program: what is configured, what clients add, who is told, and what a kill leaves."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from websockets.sync.client import connect

from bus.fetch import AGENT
from schemas.webcams import CHANGED
from tests.contract.test_catalogue import DATA, over_mqtt
from tests.e2e.test_print import Socket, fast_printer, get
from tests.http_script import scripted
from tests.program import Addresses, Program, addresses, up_arguments

Json = dict[str, Any]
SHOWN = next(row for row in json.loads((DATA / "notifications.json").read_text()) if row["name"] == CHANGED.name)
# What the reference answered for this section, but for the uid, which is each server's own.
RIGCAM: Json = {
    "name": "rigcam",
    "enabled": True,
    "icon": "mdiWebcam",
    "aspect_ratio": "4:3",
    "target_fps": 15,
    "target_fps_idle": 5,
    "location": "printer",
    "service": "mjpegstreamer",
    "stream_url": "/webcam/?action=stream",
    "snapshot_url": "/webcam/?action=snapshot",
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotation": 0,
    "source": "config",
    "extra_data": {},
}
CONFIG = "webcams: {rigcam: {stream_url: '/webcam/?action=stream', snapshot_url: '/webcam/?action=snapshot'}}\n"


class Runs:
    """The program, which can be killed and started again with another configuration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._program: Program | None = None
        self.where = Addresses("", "", 0)

    def start(self, config: str = CONFIG) -> None:
        arguments = fast_printer(self._folder)
        Path(arguments[1]).write_text(Path(arguments[1]).read_text() + config)
        self._program = Program(*up_arguments(self._folder / "data", *arguments))
        self.where = addresses(self._program.ready_line())

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._program is not None:
            self._program.stop(number)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    found = Runs(tmp_path_factory.mktemp("webcams"))
    found.start()
    yield found
    found.stop()


@contextmanager
def client(runs: Runs) -> Iterator[Socket]:
    with connect(runs.where.http.replace("http", "ws") + "/websocket") as connection:
        yield Socket(connection)


def refused(answer: Json) -> int:
    return int(answer["error"]["code"])


def known(socket: Socket) -> dict[str, Json]:
    return {each["name"]: each for each in socket.ask("server.webcams.list")["result"]["webcams"]}


def clear(socket: Socket) -> None:
    for webcam in known(socket).values():
        if webcam["source"] == "database":
            assert "result" in socket.ask("server.webcams.delete_item", uid=webcam["uid"])


def test_a_configured_webcam_is_as_recorded_and_read_only(runs: Runs) -> None:
    with client(runs) as socket:
        clear(socket)
        (rigcam,) = socket.ask("server.webcams.list")["result"]["webcams"]
        assert list(rigcam.items())[:-1] == list(RIGCAM.items())
        assert socket.ask("server.webcams.get_item", uid=rigcam["uid"])["result"] == {"webcam": rigcam}
        for params in ({"uid": rigcam["uid"]}, {"name": "rigcam"}):
            assert refused(socket.ask("server.webcams.post_item", **params, stream_url="/x", icon="i")) == 400
            assert refused(socket.ask("server.webcams.delete_item", **params)) == 400
        assert known(socket) == {"rigcam": rigcam}
        config = socket.ask("server.config")["result"]["config"]
        assert config["webcam rigcam"] == {key: RIGCAM[key] for key in config["webcam rigcam"]}
        assert "webcam" in socket.ask("server.info")["result"]["components"]


def test_a_webcam_is_added_changed_renamed_and_removed_and_everybody_is_told(runs: Runs) -> None:
    with client(runs) as socket:
        clear(socket)
        given = {"name": "c2", "stream_url": "/w", "snapshot_url": "/s", "uid": None, "source": "config"}
        added = socket.ask("server.webcams.post_item", **given)["result"]["webcam"]
        first = {**RIGCAM, "name": "c2", "stream_url": "/w", "snapshot_url": "/s", "source": "database"}
        assert list(added.items())[:-1] == list(first.items())
        told = socket.hear(lambda message: message.get("method") == CHANGED.name)["params"]
        Draft202012Validator(SHOWN["params"][0]).validate(told[0])
        assert [each["name"] for each in told[0]["webcams"]] == ["rigcam", "c2"]
        uid = added["uid"]
        changed = socket.ask("server.webcams.post_item", uid=uid, name="door", rotation="180", extra_data={"a": 1})
        expected = {**added, "name": "door", "rotation": 180, "extra_data": {"a": 1}}
        assert changed["result"]["webcam"] == expected
        by_name = socket.ask("server.webcams.post_item", name="door", target_fps=30, enabled=False)
        assert by_name["result"]["webcam"] == {**expected, "target_fps": 30, "enabled": False}
        assert refused(socket.ask("server.webcams.post_item", uid=uid, name="rigcam")) == 400
        assert refused(socket.ask("server.webcams.get_item", name="c2")) == -32601
        for mqtt in over_mqtt(runs.where):
            assert mqtt("server.webcams.list", {})["result"]["webcams"][1]["name"] == "door"
        gone = socket.ask("server.webcams.delete_item", name="door")
        assert gone["result"]["webcam"] == by_name["result"]["webcam"]
        assert [*known(socket)] == ["rigcam"]
    facts = get(runs.where, "/events/read?stream=webcams&limit=5000")["events"][-4:]
    assert [each["type"] for each in facts] == [*["webcam.saved.1"] * 3, "webcam.removed.1"]
    assert facts[-1]["data"] == {"uid": uid} and facts[-1]["actor"]["transport"] == "websocket"


def test_what_is_too_much_is_refused_and_changes_nothing(runs: Runs) -> None:
    with client(runs) as socket:
        clear(socket)
        large = {"name": "large", "stream_url": "/w", "extra_data": {"a": "x" * 40_000}}
        assert refused(socket.ask("server.webcams.post_item", **large)) == 413
        assert [*known(socket)] == ["rigcam"]


def test_a_snapshot_is_tried(runs: Runs) -> None:
    with client(runs) as socket, scripted() as camera:
        clear(socket)
        camera.say("/shot.jpg", b"\xff\xd8")
        expected = {camera.url + "/shot.jpg": True, camera.url + "/none": False, "rtsp://cam/x": False, "": False}
        for url, reachable in expected.items():
            socket.ask("server.webcams.post_item", name="cam", stream_url="/stream?a=b", snapshot_url=url)
            assert socket.ask("server.webcams.test", name="cam")["result"] == {
                "name": "cam",
                "snapshot_reachable": reachable,
                "snapshot_url": url,
                "stream_url": "http://127.0.0.1:80/stream?a=b",
            }
        assert camera.heard[0].headers["User-Agent"] == AGENT


def test_webcams_outlive_a_kill_and_hide_behind_a_configured_one_of_their_name(runs: Runs) -> None:
    with client(runs) as socket:
        clear(socket)
        for name in ("one", "two"):
            socket.ask("server.webcams.post_item", name=name, stream_url="/w")
        before = known(socket)
    runs.stop(signal.SIGKILL)
    runs.start("webcams: {two: {stream_url: /configured, rotation: 90}}\n")
    with client(runs) as socket:
        after = known(socket)
        assert [*after] == ["two", "one"] and after["one"] == before["one"]
        assert (after["two"]["source"], after["two"]["rotation"]) == ("config", 90)
        assert refused(socket.ask("server.webcams.get_item", uid=before["two"]["uid"])) == -32601
    runs.stop()
    runs.start()
    with client(runs) as socket:
        assert known(socket) == before
