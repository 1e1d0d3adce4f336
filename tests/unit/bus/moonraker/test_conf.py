"""moonraker.conf is read as the real Moonraker reads it."""

import json
from pathlib import Path

import pytest

from bus.config import ConfigError
from bus.moonraker.conf import filled, read_conf
from tests.moonraker import INSTALLATION


def test_a_configuration_with_includes_is_what_moonraker_says_it_is() -> None:
    said = json.loads((INSTALLATION / "said.json").read_text())["config"]
    assert said.pop("DEFAULT") == {}
    said["server"]["port"], said["mqtt"]["port"] = "7125", "1883"  # those of the day were others
    found = read_conf(INSTALLATION / "config" / "moonraker.conf")
    assert found.sections == said
    assert found.places["sensor Case"] == "parts/deeper/mqtt.conf"
    assert (len(found.files), found.faults) == (4, [])


def conf(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.conf").write_text(text)
    return folder / "moonraker.conf"


def test_includes_that_lead_nowhere_or_round_are_told_and_left_out(tmp_path: Path) -> None:
    includes = "[include x*.conf]\n[include gone.conf]\n[include ]\n[include ~nobody-here/x.conf]\n"
    path = conf(tmp_path, moonraker=includes, xa="[include moonraker.conf]\n[a]\nb: 1\n")
    found = read_conf(path)
    assert found.sections == {"a": {"b": "1"}}
    assert found.faults == [
        "xa.conf includes moonraker.conf, which includes it",
        "moonraker.conf includes 'gone.conf', which is no file",
        "moonraker.conf includes '', which is no file",
        "moonraker.conf includes '~nobody-here/x.conf', which is no file",
    ]


def test_links_are_followed_and_absolute_includes_are_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.conf").write_text("\ufeff[a]\nb: \\# c ; d\n")
    (tmp_path / "link.conf").symlink_to("real/x.conf")
    (tmp_path / "loop.conf").symlink_to("loop.conf")
    path = conf(tmp_path, moonraker=f"[include {tmp_path}/l*.conf]\n")
    assert read_conf(path).sections == {"a": {"b": "# c"}}


@pytest.mark.parametrize("text", [b"[a]\nb: 1\nb: 2\n", b"[a]\n[a]\n", b"b: 1\n", b"[a]\nb\n", b"[a]\nb: \xff\n"])
def test_what_moonraker_refuses_is_refused_with_the_file(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "moonraker.conf"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=r"moonraker\.conf: not a configuration of Moonraker"):
        read_conf(path)


def test_places_and_secrets_are_filled_in() -> None:
    secrets = {"mqtt": {"user": "me"}}
    assert filled("{data_path}/comms { secrets.mqtt.User }", Path("/d"), secrets) == "/d/comms me"
    with pytest.raises(ValueError, match=r"mqtt\.password is not in moonraker\.secrets"):
        filled("{secrets.mqtt.password}", Path("/d"), secrets)
