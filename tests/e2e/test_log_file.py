"""The log file of the running program, and new ones on request."""

import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.test_print import get, until
from tests.program import running

SECRET = "hunter2-hunter2"  # noqa: S105 - what must not be seen


def test_a_new_log_file_on_request_and_klippers_own(tmp_path: Path) -> None:
    with running(tmp_path, "--virtual") as (_, where):
        logs = tmp_path / "logs"
        until(lambda: "connected to Klipper" in (logs / "moonraker.log").read_text())
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        (logs / "klippy.log").write_text("what was\n")
        both = get(where, "/server/logs/rollover", post=True)
        assert both == {"rolled_over": ["moonraker", "klipper"], "failed": {}}
        assert "connected to Klipper" in (logs / "moonraker.log.1").read_text()
        assert (logs / "moonraker.log").read_text().startswith("---- printbus ----\nprintbus ")
        assert (logs / "klippy.log").read_text() == ""
        get(where, "/printer/print/start?filename=demo.gcode", post=True)
        status = "/printer/objects/query?print_stats=state"
        until(lambda: get(where, status)["status"]["print_stats"]["state"] == "printing")
        refused = get(where, "/server/logs/rollover?application=klipper", post=True)
        assert refused == {"rolled_over": [], "failed": {"klipper": "A print is under way"}}


@pytest.mark.parametrize("path", ["/server/info?token={}", "/server/info?access_token={}", "/no%0d%0asuch?api_key={}"])
def test_no_secret_of_a_request_is_in_any_file(tmp_path: Path, path: str) -> None:
    with running(tmp_path, "--virtual") as (program, where):
        request = urllib.request.Request(where.http + path.format(SECRET), headers={"X-Api-Key": SECRET})  # noqa: S310
        with pytest.raises(OSError, match="HTTP Error"):
            urllib.request.urlopen(request, timeout=10)  # noqa: S310
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not [content for content in written if SECRET.encode() in content]
    assert not [line for line in program.errors if SECRET in line]


def test_an_idle_server_writes_nothing_to_its_log(tmp_path: Path) -> None:
    with running(tmp_path, "--virtual") as (_, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        size = (tmp_path / "logs" / "moonraker.log").stat().st_size
        time.sleep(1.5)
        assert (tmp_path / "logs" / "moonraker.log").stat().st_size == size
