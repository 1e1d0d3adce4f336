"""What is kept of the configuration, and the first printer.yaml."""

import json
import re
import stat
from pathlib import Path

import pytest

from bus.__main__ import build_parser
from bus.config import ConfigError
from bus.last_working import FILE, TEMPLATE, keep, offer, recall
from bus.planning import planned, planned_before
from bus.program import PORTS, port_for


def test_what_is_kept_is_recalled_and_written_only_when_it_has_changed(tmp_path: Path) -> None:
    (tmp_path / "printbus").mkdir()
    assert recall(tmp_path) is None
    keep(tmp_path, {"printer.yaml": {"instance": "a"}})
    written = (tmp_path / FILE).stat()
    keep(tmp_path, {"printer.yaml": {"instance": "a"}})
    assert (tmp_path / FILE).stat().st_ino == written.st_ino
    assert stat.S_IMODE(written.st_mode) == 0o600
    keep(tmp_path, {"printer.yaml": {"instance": "b"}})
    assert recall(tmp_path) == {"printer.yaml": {"instance": "b"}}
    assert [path.name for path in (tmp_path / "printbus").iterdir()] == [FILE.name]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"printer.yaml": {"instan'])
def test_a_damaged_copy_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "printbus").mkdir()
    (tmp_path / FILE).write_bytes(content)
    assert recall(tmp_path) is None


def test_a_copy_that_no_longer_fits_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "printbus").mkdir()
    (tmp_path / FILE).write_text(json.dumps({"printer.yaml": {"option_of_an_older_version": 1}, "broker.yaml": {}}))
    options = build_parser().parse_args(["up", "--data", str(tmp_path)])
    assert planned_before(options, "the problem", local=True) is None


def test_what_was_kept_says_so_in_its_plan_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "printbus").mkdir()
    (tmp_path / "config").mkdir()
    options = build_parser().parse_args(["up", "--data", str(tmp_path)])
    file = tmp_path / "config" / "printer.yaml"
    file.write_text("instance: before")
    plan = planned(options, local=True)
    assert plan.warnings == ()
    keep(tmp_path, plan.files)
    file.write_text("instance: [")
    with pytest.raises(ConfigError):
        planned(options, local=True)
    assert planned_before(options, "the problem", local=True) is None
    monkeypatch.setenv(PORTS, "{}")
    kept = planned_before(options, "the problem", local=True)
    assert kept.config.instance == "before" and "the problem" in kept.warnings[0]


def test_the_first_file_says_nothing_and_each_of_its_examples_is_right(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    offer(tmp_path / "config")
    file = tmp_path / "config" / "printer.yaml"
    options = build_parser().parse_args(["up", "--data", str(tmp_path)])
    assert planned(options, local=True).files["printer.yaml"] == {}
    file.write_text(re.sub(r"(?m)^#(?=[a-z ] *[a-z])(?! [A-Z`])", "", TEMPLATE.read_text().partition("\n\n")[2]))
    plan = planned(options, local=True)
    assert plan.config.instance == "voron" and plan.bridge.prefix == "/voron"
    assert set(plan.files["printer.yaml"]) == {
        "instance",
        "groups",
        "http",
        "authorization",
        "bridge",
        "klippy",
        "datastore",
        "webcams",
        "announcements",
        "job_queue",
        "sensors",
        "notifiers",
        "spoolman",
        "log",
    }
    offer(tmp_path / "config")
    assert file.read_text() != TEMPLATE.read_text()


def test_any_port_is_the_one_before_the_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (port_for("http", 0), port_for("http", 80)) == (0, 80)
    monkeypatch.setenv(PORTS, '{"http": 4711}')
    assert (port_for("http", 0), port_for("http", 80), port_for("mqtt a", 0)) == (4711, 80, 0)
