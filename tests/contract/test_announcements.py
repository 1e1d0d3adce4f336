"""Announcements on the running program, with feeds from a scripted server: what is told, read, put off and kept."""

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from websockets.sync.client import connect

from schemas.announcements import DISMISSED, UPDATED, WOKEN
from tests.contract.test_catalogue import DATA
from tests.e2e.test_print import Socket, fast_printer, get
from tests.feeds import rss
from tests.http_script import Scripted, scripted
from tests.program import Addresses, Program, addresses, up_arguments

Json = dict[str, Any]
SHOWN = {row["name"]: row for row in json.loads((DATA / "notifications.json").read_text())}


class Desk:
    """The program and the server of its feeds."""

    def __init__(self, folder: Path, server: Scripted) -> None:
        self._folder = folder
        self.server = server
        self._program: Program | None = None
        self.where = Addresses("", "", 0)

    def start(self, **options: Any) -> None:
        arguments = fast_printer(self._folder)
        section = {"subscriptions": ["Mainsail"], "moonlight_url": self.server.url + "/assets", **options}
        config = Path(arguments[1])
        config.write_text(config.read_text() + "announcements: " + json.dumps(section) + "\n")
        self._program = Program(*up_arguments(self._folder / "data", *arguments))
        self.where = addresses(self._program.ready_line())

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._program is not None:
            self._program.stop(number)

    def publish(self, **feeds: tuple[int, ...]) -> None:
        """What the feeds say from now on."""
        for feed in ("moonraker", "klipper", "mainsail", "fluidd"):
            self.server.say(f"/assets/{feed}.xml", rss(feed, *feeds.get(feed, ())))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with ExitStack() as stack:
        found = Desk(tmp_path_factory.mktemp("announcements"), stack.enter_context(scripted()))
        found.start()
        stack.callback(lambda: found.stop())
        yield found


@contextmanager
def client(desk: Desk) -> Iterator[Socket]:
    with connect(desk.where.http.replace("http", "ws") + "/websocket") as connection:
        yield Socket(connection)


@contextmanager
def reading(desk: Desk, **feeds: tuple[int, ...]) -> Iterator[Socket]:
    """A client after the feeds have begun anew with these announcements, none of them read yet."""
    with client(desk) as socket:
        desk.publish()
        assert socket.ask("server.announcements.update")["result"]["entries"] == []
        desk.publish(**feeds)
        assert "result" in socket.ask("server.announcements.update")
        yield socket


def shown(socket: Socket, **params: Any) -> list[str]:
    return [each["entry_id"] for each in socket.ask("server.announcements.list", **params)["result"]["entries"]]


def heard(socket: Socket, name: str) -> Json:
    """The params of the next notification of a name, which are as the catalogue has them; it may be there already."""
    waiting = [message for message in socket.heard if message.get("method") == name]
    message = waiting[0] if waiting else socket.hear(lambda message: message.get("method") == name)
    socket.heard.remove(message)
    found: Json = message["params"][0]
    Draft202012Validator(SHOWN[name]["params"][0]).validate(found)
    return found


def hear_update(socket: Socket, *entries: str) -> None:
    """Waits until everybody is told that these are all announcements."""
    while [each["entry_id"] for each in heard(socket, UPDATED.name)["entries"]] != [*entries]:
        continue


def test_feeds_are_read_and_changes_are_told(desk: Desk) -> None:
    with reading(desk, klipper=(1, 3), mainsail=(2,)) as socket:
        board = socket.ask("server.announcements.list")["result"]
        assert board["feeds"] == ["moonraker", "klipper", "mainsail"]
        assert [each["entry_id"] for each in board["entries"]] == [
            "owner/klipper/issue/3",
            "owner/mainsail/issue/2",
            "owner/klipper/issue/1",
        ]
        desk.publish(klipper=(3,))
        assert socket.ask("server.announcements.update", subscriptions=["klipper"])["result"]["modified"] is True
        hear_update(socket, "owner/klipper/issue/3", "owner/mainsail/issue/2")
        again = socket.ask("server.announcements.update", subscriptions="klipper")["result"]
        assert again["modified"] is False and len(again["entries"]) == 2


def test_what_cannot_be_read_changes_nothing(desk: Desk) -> None:
    with reading(desk, klipper=(1,)) as socket:
        wrong = [(b"", 404), (b"", 500), (b"<!DOCTYPE x []><rss/>", 200), (bytes(300_000), 200), (b"busy", 200)]
        for content, status in wrong:
            desk.server.say("/assets/klipper.xml", content, status)
            assert socket.ask("server.announcements.update")["result"]["modified"] is False
        assert shown(socket) == ["owner/klipper/issue/1"]


def test_what_was_dismissed_stays_so_over_a_kill_and_what_was_put_off_returns(desk: Desk) -> None:
    with reading(desk, klipper=(1, 2, 3)) as socket:
        read, soon, later = (f"owner/klipper/issue/{number}" for number in (1, 2, 3))
        assert socket.ask("server.announcements.dismiss", entry_id=read)["result"] == {"entry_id": read}
        assert heard(socket, DISMISSED.name) == {"entry_id": read}
        assert "result" in socket.ask("server.announcements.dismiss", entry_id=soon, wake_time=0.2)
        assert heard(socket, WOKEN.name) == {"entry_id": soon}
        assert "result" in socket.ask("server.announcements.dismiss", entry_id=later, wake_time=2)
        assert shown(socket, include_dismissed=False) == [soon]
    desk.stop(signal.SIGKILL)
    desk.start()
    with client(desk) as socket:
        if later not in shown(socket, include_dismissed=False):
            assert heard(socket, WOKEN.name) == {"entry_id": later}
        assert shown(socket, include_dismissed=False) == [later, soon]
        entries = {each["entry_id"]: each for each in socket.ask("server.announcements.list")["result"]["entries"]}
        assert (entries[read]["dismissed"], entries[read]["dismiss_wake"]) == (True, None)
        assert entries[read]["date_dismissed"] > 1.6e9


def test_a_feed_is_added_read_kept_and_taken_away(desk: Desk) -> None:
    with reading(desk) as socket:
        desk.publish(fluidd=(5,))
        assert socket.ask("server.announcements.post_feed", name="Fluidd")["result"] == {
            "feed": "fluidd",
            "action": "added",
        }
        hear_update(socket, "owner/fluidd/issue/5")
        assert socket.ask("server.announcements.post_feed", name="fluidd")["result"]["action"] == "skipped"
        assert socket.ask("server.announcements.post_feed", name="klipper")["result"]["action"] == "skipped"
    desk.stop()
    desk.start()
    with client(desk) as socket:
        feeds = socket.ask("server.announcements.feeds")["result"]["feeds"]
        assert feeds == ["moonraker", "klipper", "mainsail", "fluidd"]
        assert shown(socket) == ["owner/fluidd/issue/5"]
        gone = socket.ask("server.announcements.delete_feed", name="fluidd")["result"]
        assert gone == {"feed": "fluidd", "action": "removed"}
        hear_update(socket)
        assert socket.ask("server.announcements.delete_feed", name="fluidd")["error"]["code"] == 400
    facts = get(desk.where, "/events/read?stream=announcements&limit=5000")["events"]
    assert [each["type"] for each in facts[-2:]] == ["announcement.feed_removed.1", "announcement.withdrawn.1"]


def test_a_feed_that_the_configuration_drops_goes_and_without_moonlight_nothing_is_asked_for(desk: Desk) -> None:
    with reading(desk, klipper=(1,), mainsail=(2,)):
        desk.stop()
    asked = len(desk.server.heard)
    desk.start(enable_moonlight=False, subscriptions=[])
    with client(desk) as socket:
        assert shown(socket) == ["owner/klipper/issue/1"]
        assert socket.ask("server.announcements.update")["result"]["modified"] is False
        assert "announcements" in socket.ask("server.info")["result"]["components"]
    assert len(desk.server.heard) == asked
    desk.stop()
    desk.start()
