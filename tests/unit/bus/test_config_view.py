"""What `server.config` shows of a configuration: names, defaults, texts, files - and no secret."""

import json
from pathlib import Path
from typing import Any

import pytest

from bus.__main__ import build_parser
from bus.config_view import shown_configuration
from bus.planning import planned

PRINTER = """
instance: voron
http: "[::1]:8000"
groups: [farm]
klippy: {socket: /tmp/klippy.sock, virtual: false}
bridge: {octoprint: {stream_url: "http://user:hunter2@b"}, max_websockets: 9}
authorization: {trusted_clients: [10.0.0.0/8]}
datastore: {gcode_store_size: 7}
"""
BROKER = """
listeners: {lan: {port: 0}, wire: {type: unix, path: /tmp/x.sock}}
uplinks: {farm: {url: "mqtts://b", user: u, password: {env: FARM_PASSWORD}}}
access: {rules: [{user: zaphod, publish: "#"}]}
"""


def shown(data: Path, *arguments: str, **files: str) -> dict[str, Any]:
    for name, content in files.items():
        (data / "config").mkdir(exist_ok=True)
        (data / "config" / f"{name}.yaml").write_text(content)
    options = build_parser().parse_args(["up", "--data", str(data), *arguments])
    found = shown_configuration(planned(options, local=True))
    json.dumps(found)
    return found


def test_without_files_there_are_the_defaults(tmp_path: Path) -> None:
    found = shown(tmp_path)
    config = found["config"]
    assert (config["server"]["host"], config["server"]["port"], config["server"]["ssl_port"]) == (
        "127.0.0.1",
        7125,
        7130,
    )
    assert config["data_store"] == {"temperature_store_size": 1200, "gcode_store_size": 1000}
    assert config["mqtt_listener default"]["port"] == 1883
    assert {"klippy_apis", "extensions", "authorization", "application"} <= set(config)
    assert found["orig"] == {"DEFAULT": {}} and found["files"] == []


def test_options_stand_under_moonrakers_names_typed_and_as_text(tmp_path: Path) -> None:
    found = shown(tmp_path, printer=PRINTER, broker=BROKER)
    config, orig = found["config"], found["orig"]
    assert (config["server"]["host"], config["server"]["port"]) == ("::1", 8000)
    assert config["server"]["max_websocket_connections"] == 9
    assert config["server"]["klippy_uds_address"] == "/tmp/klippy.sock"  # noqa: S108 - a name, not a file
    assert config["mqtt"].items() >= {"instance_name": "voron", "groups": ["farm"]}.items()
    assert orig["server"] == {
        "host": "::1",
        "port": "8000",
        "klippy_uds_address": "/tmp/klippy.sock",  # noqa: S108
        "max_websocket_connections": "9",
        "octoprint": "\nstream_url=http://user:***@b",
    }
    assert orig["klippy_connection"] == {"virtual": "false"}
    assert orig["authorization"]["trusted_clients"] == "\n10.0.0.0/8"
    assert orig["mqtt_listener lan"] == {"port": "0"}
    assert config["mqtt_listener wire"]["path"] == "/tmp/x.sock"  # noqa: S108
    assert [entry["filename"] for entry in found["files"]] == ["printer.yaml", "broker.yaml"]
    assert "data_store" in found["files"][0]["sections"]
    assert found["files"][1]["sections"] == ["mqtt_listener lan", "mqtt_listener wire", "mqtt_uplink farm"]


def test_the_place_of_a_secret_is_shown_and_no_secret(tmp_path: Path) -> None:
    found = shown(tmp_path, printer=PRINTER, broker=BROKER)
    assert found["config"]["mqtt_uplink farm"]["password"] == {"file": None, "env": "FARM_PASSWORD"}
    assert found["config"]["server"]["octoprint"]["stream_url"] == "http://user:***@b"
    text = json.dumps(found)
    assert "hunter2" not in text and "zaphod" not in text  # access rules are nobody else's business


PHONE = "notifiers: {phone: {url: 'tgram://12345:hunter2/{secrets.chat.id}', %s: error}}"
POWER = """
sensors:
  power:
    state_topic: home/power
    state_response_template: "{set_result('power', payload|float)}"
    parameter_power: {units: W}
"""


@pytest.mark.parametrize("events", ["events", "evnts"])
def test_addresses_of_messaging_services_are_keys_to_them(tmp_path: Path, events: str) -> None:
    text = json.dumps(shown(tmp_path, printer=PHONE % events))
    assert "tgram://***" in text and "hunter2" not in text


def test_an_address_that_is_a_template_shows_it(tmp_path: Path) -> None:
    found = shown(tmp_path, printer=PHONE % "events")
    assert found["config"]["notifier phone"]["url"] == "tgram://***{secrets.chat.id}"


def test_named_sections_are_sections_and_mappings_in_them_lines(tmp_path: Path) -> None:
    found = shown(tmp_path, printer=POWER)
    assert found["config"]["sensor power"]["parameter_power"] == {"units": "W"}
    assert found["orig"]["sensor power"]["parameter_power"] == "\nunits=W"


@pytest.mark.parametrize("name", ["api_key", "password", "sudo_password", "client_secret", "TOKEN"])
def test_what_is_called_a_secret_is_one(name: str) -> None:
    from bus.config_view import _masked

    assert _masked(name, "hunter2") == "***"
    assert _masked("list", [{name: "hunter2"}]) == [{name: "***"}]
    assert (_masked(name, None), _masked(name, ""), _masked(name, True)) == (None, "", True)


def test_a_file_elsewhere_is_shown_with_its_whole_path(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("datastore: {gcode_store_size: 7}")
    found = shown(tmp_path, "--config", str(file), "--http", "127.0.0.1:0")
    assert found["files"] == [{"filename": str(file), "sections": ["data_store"]}]
    assert found["config"]["server"]["port"] == 0
