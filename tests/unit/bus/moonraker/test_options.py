"""Where options go, what is left out, and that each of those is told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge import BridgeSettings
from bus.config import PrinterConfig, as_yaml
from bus.moonraker.conf import Conf
from bus.moonraker.files import checked_sections
from bus.moonraker.options import OPTIONS, REASONS, Translation, translated
from bus.supervisor import agent_class, agent_names

KINDS = {name: agent_class(name) for name in agent_names()}
OWN = Path("/data/printbus")


def result(sections: dict[str, dict[str, str]], **secrets: dict[str, object]) -> Translation:
    conf = Conf(sections=sections, places=dict.fromkeys(sections, "moonraker.conf"))
    made = translated(conf, {*KINDS, *PrinterConfig.model_fields}, Path("/data"), OWN, secrets)
    checked_sections(made, KINDS, BridgeSettings)
    return made


def test_what_moonraker_does_by_default_goes_on() -> None:
    made = result({})
    assert made.printer == {"bridge": {"host": "0.0.0.0"}, "klippy": {"socket": "/tmp/klippy_uds"}}  # noqa: S104, S108
    assert (made.broker, made.lost, made.other) == ({}, [], [])


def model_of(section: str) -> Any:
    if section == "bridge":
        return BridgeSettings
    core = PrinterConfig.model_fields.get(section)
    return KINDS[section].settings_model if core is None else core.annotation


def test_each_option_of_the_table_has_its_place_in_printer_yaml() -> None:
    for place in {to.path for options in OPTIONS.values() for to in options.values()}:
        section, *names = place.split(".")
        model = model_of(section)
        for name in names:
            assert name in model.model_fields, place
            model = model.model_fields[name].annotation


def test_each_option_is_carried_over_or_told() -> None:
    sections = {
        "server": {"port": "7126", "max_upload_size": "lots", "enable_debug_logging": "True", "ssl_port": "0x1"},
        "file_manager": {"file_system_observer": "none", "enable_observer_warnings": "True"},
        "machine": {"provider": "supervisord", "validate_config": "False"},
        "webcam no url": {"location": "here"},
        "webcam good": {"stream_url": "/x", "rotation": "90", "aspect_ratio": "wide"},
        "timelapse": {},
        "power plug": {"type": "tasmota"},
    }
    made = result(sections)
    assert made.printer["bridge"]["port"] == 7126
    assert made.printer["filestore"] == {"observe": False}
    assert made.printer["machine"] == {"provider": "supervisord_cli"}
    assert made.printer["webcams"] == {"good": {"stream_url": "/x", "rotation": 90}}
    told = "\n".join(made.lost)
    for what in (
        "[server] max_upload_size (moonraker.conf): input should be a valid integer",
        f"[server] enable_debug_logging (moonraker.conf): {REASONS['server enable_debug_logging']}",
        "[server] ssl_port",
        "[webcam no url]: 'stream_url' is required",
        "[webcam good] aspect_ratio",
        "[machine] validate_config",
        "[timelapse] (moonraker.conf): printbus has nothing of this kind",
        "[power plug]",
        "[file_manager] enable_observer_warnings",
    ):
        assert what in told
    assert len(made.lost) == 9


def test_the_broker_that_moonraker_was_a_client_of_is_joined() -> None:
    options = {"address": "broker.local", "enable_tls": "True", "port": "8883", "username": "{secrets.b.user}"}
    made = result(
        {"mqtt": options | {"password": "{secrets.b.word}", "client_id": "x"}}, b={"user": "me", "word": "hush"}
    )
    uplink = {"url": "mqtts://broker.local:8883", "user": "me", "password": {"file": "/data/printbus/mqtt.password"}}
    assert made.broker == {"uplinks": {"moonraker": uplink | {"up": []}}}
    assert made.secrets == {"mqtt.password": "hush"}
    assert "hush" not in str([made.printer, made.broker, made.lost, made.other])
    assert [line.partition(" (")[0] for line in made.lost] == ["[mqtt] client_id"]


@pytest.mark.parametrize(
    ("options", "up"),
    [
        ({}, []),
        ({"publish_split_status": "True", "status_objects": ""}, []),
        ({"status_objects": "\nwebhooks"}, ["{i}/klipper/status"]),
        ({"status_objects": "\nwebhooks", "publish_split_status": "True"}, ["{i}/klipper/state/#"]),
    ],
)
def test_that_broker_is_told_what_it_was_told_before(options: dict[str, str], up: list[str]) -> None:
    made = result({"mqtt": {"address": "broker.local"} | options})
    assert made.broker["uplinks"]["moonraker"]["up"] == up
    mqtt = made.printer.get("mqtt", {})
    assert mqtt.get("status_interval") == (0 if "{i}/klipper/state/#" in up else None)


def test_what_is_different_on_that_broker_is_told() -> None:
    mqtt = {"address": "broker.local"}
    assert [line for line in result({"mqtt": mqtt}).other if "macros" in line]
    assert any("role" in line for line in result({"mqtt": mqtt, "authorization": {"force_logins": "True"}}).other)


def test_a_home_that_is_not_on_this_machine_is_no_hindrance() -> None:
    made = result({"server": {"klippy_uds_address": "~nobody-here/klippy.sock"}})
    assert made.printer["klippy"] == {"socket": "~nobody-here/klippy.sock"}


def test_the_quality_of_service_stays_as_it_was() -> None:
    made = result({"mqtt": {"address": "broker.local", "default_qos": "1", "api_qos": "2"}})
    assert (made.printer["mqtt"], made.lost) == ({"default_qos": 1, "api_qos": 2}, [])
    assert made.broker["uplinks"]["moonraker"]["qos"] == 1


def test_sensors_stay_on_that_broker_and_notifiers_are_kept() -> None:
    sensor = {
        "type": "mqtt",
        "state_topic": "home/case",
        "state_response_template": "\n{% set said = payload|fromjson %}\n{set_result('power', said.power|float)}",
        "qos": "1",
        "parameter_power": "\nunits=W",
        "history_field_power": "\nparameter=power\nstrategy=average\nprecision=2\nreport_maximum=true",
    }
    notifier = {"url": "tgram://{secrets.a.b}/{secrets.a.c}", "events": "started, error", "attach": "\n/a\n/b"}
    made = result({"mqtt": {"address": "house.local"}, "sensor Case": sensor, "notifier phone": notifier})
    assert made.lost == []
    case = made.printer["sensors"]["Case"]
    assert (case["uplink"], case["qos"], case["parameter_power"]) == ("moonraker", 1, {"units": "W"})
    assert case["history_field_power"].items() >= {"precision": 2, "report_maximum": True}.items()
    assert made.printer["notifiers"]["phone"]["events"] == ["started", "error"]


def test_events_that_are_unknown_are_left_out_one_by_one() -> None:
    notifier = {"url": "tgram://a/b", "events": "started,complete,standby", "body_format": "MARKDOWN"}
    made = result({"notifier phone": notifier})
    phone = made.printer["notifiers"]["phone"]
    assert (phone["events"], phone["body_format"]) == (["started", "complete"], "markdown")
    (told,) = made.lost
    assert told.startswith("[notifier phone] events (moonraker.conf): 'standby': input should be")


def test_a_broker_on_this_machine_keeps_its_port() -> None:
    made = result({"mqtt": {"address": "localhost", "instance_name": "my printer"}})
    assert made.broker["listeners"] == {"default": {"port": 1884}}
    assert made.printer["instance"] == "my_printer"
    assert len(made.other) == 3


def test_a_secret_that_is_not_there_is_told_and_a_sudo_password_kept_in_a_file() -> None:
    made = result(
        {"machine": {"sudo_password": "{secrets.s.p}"}, "mqtt": {"address": "{secrets.no.no}"}}, s={"p": "root"}
    )
    assert made.printer["machine"] == {"sudo_password": {"file": "/data/printbus/sudo.password"}}
    assert made.secrets == {"sudo.password": "root"}
    assert made.lost == [
        "[mqtt] address: the secret no.no is not in moonraker.secrets",
        "[mqtt] address: is missing, so no broker is joined",
    ]


ODD = ["", "1", "True", "none", "a\nb", "::", "-1", "{secrets.a.b}", "{%", "/x", "é"]
MORE = ["mqtt/address", "machine/sudo_password", "webcam x/stream_url", "webcam x/rotation", "button b/pin"]
MORE += ["spoolman/server", "spoolman/odd", "power p/type", "ldap/base_dn"]
KNOWN = [f"{section}/{option}" for section, options in OPTIONS.items() for option in options]


@given(st.dictionaries(st.sampled_from(KNOWN + MORE), st.sampled_from(ODD) | st.text(max_size=9), max_size=8))
@settings(max_examples=40)
def test_whatever_is_configured_is_carried_over_or_told(options: dict[str, str]) -> None:
    sections: dict[str, dict[str, str]] = {}
    for name, text in options.items():
        section, _, option = name.partition("/")
        sections.setdefault(section, {})[option] = text
    made = result(sections, a={"b": "s3cret"})
    told = "\n".join(made.lost + made.other)
    carried = {place for path, place in made.places.items() if found(made.printer, path)}
    for name in options.keys() - {"mqtt/address", "machine/sudo_password"}:
        section, _, option = name.partition("/")
        assert f"[{section}] {option} (moonraker.conf)" in carried or f"[{section}]" in told, (name, told)
    PrinterConfig.model_validate(
        {key: value for key, value in made.printer.items() if key in PrinterConfig.model_fields}
    )


def found(values: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True


def test_templates_and_gcode_keep_their_lines_and_their_secrets() -> None:
    template = "\n{% set told = payload|fromjson %}\n{set_result(secrets.a.b, told)}"
    sensor = {"type": "mqtt", "state_topic": "a/b", "state_response_template": template, "parameter_x": "\nunits=W"}
    made = result({"sensor Case": sensor, "job_queue": {"job_transition_gcode": "\nG28\nM117 x"}, "history": {}})
    assert made.lost == []
    assert as_yaml({name: made.printer[name] for name in ("sensors", "job_queue")}) == (
        "sensors:\n  Case:\n    type: mqtt\n    state_topic: a/b\n    state_response_template: |-\n"
        "      {% set told = payload|fromjson %}\n      {set_result(secrets.a.b, told)}\n"
        "    parameter_x:\n      units: W\njob_queue:\n  job_transition_gcode: |-\n    G28\n    M117 x\n"
    )


def test_users_are_let_in_as_before() -> None:
    options = {
        "trusted_clients": "\n10.0.0.1\nprinter.local\n10.0.0.0/33",
        "force_logins": "True",
        "login_timeout": "7",
    }
    made = result({"authorization": options | {"cors_domains": "*.local", "default_source": "ldap"}})
    assert made.printer["authorization"] == {
        "trusted_clients": ["10.0.0.1/32", "printer.local"],
        "force_logins": True,
        "login_timeout": 7,
    }
    assert made.printer["bridge"]["cors_domains"] == ["*.local"]
    assert len(made.lost) == 2 and "'10.0.0.0/33'" in made.lost[1]
