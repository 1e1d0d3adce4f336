"""Which service a process belongs to."""

from pathlib import Path

import pytest

from agents.machine import cgroups


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("0::/system.slice/klipper.service\n", "klipper"),
        ("0::/system.slice/system-klipper.slice/klipper@1.service\n", "klipper@1"),
        ("0::/system.slice/moonraker.service/worker\n", "moonraker"),
        ("12:pids:/system.slice/klipper-1.service\n1:name=systemd:/system.slice/klipper-1.service\n", "klipper-1"),
        ("0::/system.slice/klipper\\x2dmcu.service\n", "klipper-mcu"),
        ("0::/user.slice/user-1000.slice/session-1.scope\n", None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/klipper.service\n", None),
        ("0::/\n", None),
        ("", None),
    ],
)
def test_the_service_is_in_the_path_of_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, unit: str | None
) -> None:
    monkeypatch.setattr(cgroups, "PROC", tmp_path)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(text)
    assert cgroups.service_of(7) == unit


def test_a_process_that_is_gone_belongs_to_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "PROC", tmp_path)
    assert cgroups.service_of(8) is None
