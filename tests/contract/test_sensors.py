"""Sensors on the running program: values from topics, who is told, and what of them a job keeps."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.sensors import UPDATED
from tests.contract.test_buttons import retain
from tests.contract.test_catalogue import DATA, TRANSPORTS
from tests.contract.test_recorded_answers import FOLDER
from tests.e2e.test_history import host, klipper, start
from tests.e2e.test_mqtt_gate import on_house
from tests.e2e.test_print import get, until
from tests.foreign_brokers import INSTALLED, foreign
from tests.program import Addresses, Program, running
from tests.talkers import MqttTalker, Talker, mqtt_talker, talker

Json = dict[str, Any]
SHOWN = next(row for row in json.loads((DATA / "notifications.json").read_text()) if row["name"] == UPDATED.name)
PRINTER = "klippy: {virtual: true, speed: 20}\n"
METER = """
{% set said = payload|fromjson %}
{set_result("power", said.apower|float)}
{set_result("energy", said.total|float)}
"""
POWER = {"parameter": "power"}
SENSORS: Json = {  # the first two as they were recorded
    "meter": {
        "type": "mqtt",
        "name": "Power meter",
        "state_topic": "shelly/status",
        "state_response_template": METER,
        "parameter_power": {"units": "W"},
        "parameter_energy": "units=kWh\nlabel=Energy",
        "history_field_energy": {
            "parameter": "energy",
            "desc": "Energy of the print",
            "strategy": "delta",
            "units": "kWh",
            "init_tracker": True,
            "precision": 3,
            "report_total": True,
        },
        "history_field_peak": {**POWER, "desc": "Peak", "strategy": "maximum", "report_maximum": True},
        "history_field_average": {**POWER, "desc": "Average", "strategy": "average"},
        "history_field_minimum": {**POWER, "desc": "Minimum", "strategy": "minimum"},
        "history_field_sum": {**POWER, "desc": "Sum", "strategy": "accumulate", "exclude_paused": True},
        "history_field_all": {**POWER, "desc": "All", "strategy": "collect"},
        "history_field_last": {**POWER, "desc": "Last"},
    },
    "door": {"state_topic": "home/door", "state_response_template": '{set_result("open", payload|int)}'},
    "lamp": {"state_topic": "home/lamp", "state_response_template": '{set_result("on", payload == "on")}'},
    "spy": {"state_topic": "test/reply/somebody", "state_response_template": "{set_result('a', 1)}"},
}
RECORDED = [json.loads(line) for line in (FOLDER / "sensors_rpc.jsonl").read_text().splitlines()]


def with_sensors(folder: Path, section: Json) -> list[str]:
    """The options of a printer with sensors."""
    config = folder / "printer.yaml"
    config.write_text(f"{PRINTER}sensors: {json.dumps(section)}\n")
    return ["--config", str(config)]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Addresses]]:
    folder = tmp_path_factory.mktemp("sensors")
    with running(folder / "data", *with_sensors(folder, SENSORS)) as (program, where):
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        yield program, where


@pytest.fixture
def where(started: tuple[Program, Addresses]) -> Addresses:
    return started[1]


@pytest.fixture
def house(where: Addresses) -> Callable[..., None]:
    """Says what the meter does."""
    return partial(says_meter, where)


def says_meter(where: Addresses, power: float, energy: float = 0.0) -> None:
    """Waits until that has been taken."""
    with mqtt_talker(where, "meter") as client:
        said = {"apower": power, "total": energy}
        client.publish("shelly/status", json.dumps(said).encode())
        until(lambda: values(where, "meter") == {"power": power, "energy": energy})


def values(where: Addresses, sensor: str) -> Json:
    return dict(get(where, f"/server/sensors/info?sensor={sensor}")["values"])


def told(client: Talker, sensor: str, **expected: Any) -> Json:
    """What the first update that says this of a sensor tells."""

    def is_it(said: Json) -> bool:
        known = said["params"][0].get(sensor, {}) if said.get("method") == UPDATED.name else {}
        return bool(expected.items() <= known.items())

    return dict(client.hear(is_it)["params"][0])


@pytest.mark.parametrize("listener", ["mqtt", "websocket"])
def test_what_a_topic_says_is_told_once_a_second(where: Addresses, house: Callable[..., None], listener: str) -> None:
    power = 20.0 if listener == "mqtt" else 30.0
    with talker(where, listener, "listener") as client:
        client.ask("server.info")
        house(power, 1.5)
        update = told(client, "meter", power=power)
    Draft202012Validator(SHOWN["params"][0]).validate(update)
    assert update["meter"] == {"power": power, "energy": 1.5} and "spy" not in update


def test_one_sensor_and_all_with_and_without_what_is_known_of_them(
    where: Addresses, house: Callable[..., None]
) -> None:
    house(12.5, 3.25)
    meter = get(where, "/server/sensors/info?sensor=meter")
    assert meter == {
        "id": "meter",
        "friendly_name": "Power meter",
        "type": "mqtt",
        "values": {"power": 12.5, "energy": 3.25},
    }
    everything = get(where, "/server/sensors/list")["sensors"]
    assert everything["meter"] == meter and list(everything) == list(SENSORS)


def test_numbers_are_kept_a_second_apart(where: Addresses, house: Callable[..., None]) -> None:
    def stored() -> list[float]:
        found: list[float] = get(where, "/server/sensors/measurements?sensor=meter")["meter"].get("power", [])
        return found

    house(77.0)
    until(lambda: stored()[-1:] == [77.0])
    count = len(stored())
    until(lambda: len(stored()) > count)
    assert stored()[-2:] == [77.0, 77.0]
    everything = get(where, "/server/sensors/measurements")
    assert {*everything} == {*SENSORS} and everything["spy"] == {}
    assert {*everything["meter"]} == {"power", "energy"}


def test_true_and_false_are_kept_as_numbers(where: Addresses) -> None:
    with mqtt_talker(where, "house") as client:
        client.publish("home/lamp", b"on")
    until(lambda: values(where, "lamp") == {"on": True})
    until(lambda: get(where, "/server/sensors/measurements?sensor=lamp")["lamp"].get("on", [])[-1:] == [1])
    assert get(where, "/server/sensors/measurements?sensor=lamp")["lamp"]["on"][-1] is not True


@pytest.mark.parametrize("transport", ["http", "websocket", "mqtt", "unix"])
def test_what_is_configured_is_shown_as_recorded(where: Addresses, transport: str) -> None:
    for ask in TRANSPORTS[transport](where):
        for exchange in (each for each in RECORDED if each["when"] == "before"):
            answer = ask(exchange["method"], exchange["params"])
            if "error" in exchange:
                assert answer["error"]["code"] == exchange["error"]["code"]
                continue
            expected, found = exchange["result"], answer["result"]
            if exchange["method"] == "server.sensors.measurements":
                assert expected.keys() <= found.keys()
                continue
            sensors = found.get("sensors", {"one": found})
            for name, sensor in expected.get("sensors", {"one": expected}).items():
                assert sensors[name] | {"values": {}} == sensor


def test_a_job_keeps_what_sensors_said_while_it_went_on_as_recorded(
    where: Addresses, house: Callable[..., None]
) -> None:
    house(500.0, 7.0)
    get(where, "/printer/print/start?filename=demo.gcode", post=True)
    until(lambda: state(where) == "printing")
    house(90.0, 7.5)
    get(where, "/printer/print/pause", post=True)
    until(lambda: state(where) == "paused")
    house(30.0, 7.75)
    get(where, "/printer/print/resume", post=True)
    until(lambda: state(where) == "printing")
    house(61.0, 8.0)
    get(where, "/printer/print/cancel", post=True)
    until(lambda: newest_job(where)["status"] == "cancelled" and bool(newest_job(where)["auxiliary_data"]))
    house(999.0, 9.0)  # after it
    (recorded,) = (each["auxiliary_data"] for each in RECORDED if each["when"] == "job")
    assert newest_job(where)["auxiliary_data"] == recorded
    assert get(where, "/server/history/totals")["auxiliary_totals"] == [
        {"provider": "sensor meter", "field": "energy", "maximum": None, "total": 1.0},
        {"provider": "sensor meter", "field": "peak", "maximum": 90.0, "total": None},
    ]
    with mqtt_talker(where, "house") as client:
        client.publish("home/door", b"1")
    until(lambda: values(where, "door") == {"open": 1})
    listed, meter = (each["result"] for each in RECORDED if each["when"] == "after")
    assert {name: get(where, "/server/sensors/list")["sensors"][name] for name in ("meter", "door")} == listed[
        "sensors"
    ]
    assert get(where, "/server/sensors/info?sensor=meter&extended=true") == meter


def test_a_restart_in_the_middle_of_a_job_forgets_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "data" / "config").mkdir(parents=True)
    (tmp_path / "data" / "config" / "printer.yaml").write_text(f"sensors: {json.dumps(SENSORS)}\n")
    with klipper(tmp_path, speed=10) as socket:
        with host(tmp_path, socket) as where:
            says_meter(where, 500.0, 7.0)
            retain(where, "home/door", b"1")
            start(where)
            get(where, "/printer/print/pause", post=True)
            until(lambda: state(where) == "paused")
            says_meter(where, 90.0, 7.5)
        with host(tmp_path, socket) as where:
            until(lambda: values(where, "door") == {"open": 1})
            says_meter(where, 60.0, 8.0)
            get(where, "/printer/print/cancel", post=True)
            until(lambda: bool(newest_job(where)["auxiliary_data"]))
            found = {each["name"]: each["value"] for each in newest_job(where)["auxiliary_data"]}
    assert found["energy"] == 1.0 and found["all"] == [90.0, 60.0] and found["sum"] == 0


def state(where: Addresses) -> str:
    last = get(where, "/events/state?fold=last_print")["state"]
    return str(last.get("state"))


def newest_job(where: Addresses) -> Json:
    (job,) = get(where, "/server/history/list?limit=1")["jobs"]
    return dict(job)


def test_what_cannot_be_read_is_a_warning_until_it_can(
    started: tuple[Program, Addresses], house: Callable[..., None]
) -> None:
    program, where = started
    house(3.0)
    with mqtt_talker(where, "confused") as client:
        for _ in range(200):
            client.publish("shelly/status", b"not JSON")
    warning = "Sensor meter: state_response_template, line 2: JSONDecodeError"
    until(lambda: any(text.startswith(warning) for text in get(where, "/server/info")["warnings"]))
    assert values(where, "meter")["power"] == 3.0
    house(4.0)
    until(lambda: "JSONDecodeError" not in str(get(where, "/server/info")["warnings"]))
    assert "".join(program.errors).count("JSONDecodeError") == 1


def test_the_state_document_has_it_all(where: Addresses, house: Callable[..., None]) -> None:
    house(8.0)

    def shown() -> Json:
        with mqtt_talker(where, "reader") as client:
            return document(client, "test/state/sensors/sensors")

    until(lambda: shown()["sensors"]["meter"]["values"].get("power") == 8.0)
    assert shown()["sensors"]["meter"]["fault"] is None


def document(client: MqttTalker, topic: str) -> Json:
    """What is retained on a topic."""
    answer = client.ask("server.mqtt.subscribe", topic=topic, timeout=10)
    return dict(answer["result"]["payload"])


def test_the_topic_can_be_on_another_broker_which_may_come_and_go(tmp_path: Path) -> None:
    kind = "mosquitto" if "mosquitto" in INSTALLED else "printbus"
    there = {"state_topic": "home/power", "state_response_template": '{set_result("power", payload|float)}'}
    sensors = {"far": {**there, "uplink": "house"}, "lost": {**there, "uplink": "nosuch"}}
    with foreign(kind, tmp_path / "house") as house:
        (tmp_path / "broker.yaml").write_text(f"uplinks: {{house: {{url: '{house.url}', kind: {kind}}}}}\n")
        options = (*with_sensors(tmp_path, sensors), "--broker", str(tmp_path / "broker.yaml"))
        with running(tmp_path / "data", *options) as (_, where):

            def says(power: float) -> bool:
                on_house(house, "home/power", str(power).encode())
                return values(where, "far") == {"power": power}

            def warned(sensor: str, text: str) -> bool:
                return any(
                    each.startswith(f"Sensor {sensor}: {text}") for each in get(where, "/server/info")["warnings"]
                )

            until(lambda: says(1.5))
            until(lambda: warned("lost", "No uplink is called 'nosuch'; known: house"))
            assert not warned("far", "")
            house.stop()
            until(lambda: warned("far", "The broker of the uplink 'house'"))
            house.start()
            until(lambda: says(2.5))
            until(lambda: not warned("far", ""))
