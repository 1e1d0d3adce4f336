"""The machine's rows on the running program and all transports, with scripted programs and a scripted systemd."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from schemas import services
from schemas.base import AnyMethod
from tests.contract.test_catalogue import TRANSPORTS, Ask, fits
from tests.e2e.test_print import Socket, get, until
from tests.host_programs import HostPrograms
from tests.mqtt_wire import WireClient
from tests.program import Addresses, running
from tests.scripted_systemd import PrivateBus, ScriptedSystemd

UNITS = {"klipper": ("active", "running"), "crowsnest": ("inactive", "dead"), "sonar": ("active", "running")}
SECONDS = 5.0  # for an answer that nothing has to happen for
PASSWORD = "hunter2-and-more"  # noqa: S105
Json = dict[str, Any]


class Host:
    """A program, the systemd that it talks to, and what that has been asked."""

    def __init__(self, where: Addresses, systemd: ScriptedSystemd, ask_loop: Callable[[Coroutine[Any, Any, Any]], Any]):
        self.where = where
        self.systemd = systemd
        self.on_loop = ask_loop


@contextmanager
def in_thread(address: str) -> Iterator[tuple[ScriptedSystemd, Callable[[Coroutine[Any, Any, Any]], Any]]]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="systemd")
    thread.start()

    def on_loop(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(10)

    systemd = ScriptedSystemd(address, **UNITS)
    on_loop(systemd.__aenter__())
    try:
        yield systemd, on_loop
    finally:
        on_loop(systemd.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("machine")
    programs = HostPrograms(folder)
    with (
        pytest.MonkeyPatch.context() as patch,
        PrivateBus(folder) as bus,
        in_thread(bus.address) as (systemd, on_loop),
    ):
        patch.setenv("PATH", programs.path)
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        with running(folder / "data", "--virtual") as (_, where):
            until(lambda: get(where, "/machine/system_info")["system_info"]["provider"] != "none")
            yield Host(where, systemd, on_loop)


@pytest.fixture(params=sorted(TRANSPORTS))
def ask(host: Host, request: pytest.FixtureRequest) -> Iterator[Ask]:
    yield from TRANSPORTS[request.param](host.where)


VALID: dict[AnyMethod, Json] = {
    services.STOP: {"service": "klipper"},
    services.START: {"service": "klipper"},
    services.RESTART: {"service": "klipper"},
    services.SUDO_INFO: {"check_access": True},
    services.SUDO_PASSWORD: {"password": PASSWORD},
    services.SHUTDOWN: {},
    services.REBOOT: {},
}
ASKED = ("StopUnit", "StartUnit", "RestartUnit", "PowerOff", "Reboot")


def test_every_row_of_the_agent_is_tried_here() -> None:
    assert {row.name for row in VALID} == {row.name for row in vars(services).values() if hasattr(row, "owner")}


def test_valid_input_gives_a_result_that_fits(host: Host, ask: Ask) -> None:
    host.systemd.asked.clear()
    for row, params in VALID.items():
        answer = ask(row.name, params)
        assert "result" in answer, (row.name, answer)
        fits(row, answer["result"])
    assert [member for member, _ in host.systemd.asked if member in ASKED] == list(ASKED)


@pytest.mark.parametrize(
    ("row", "params", "code"),
    [
        (services.START, {"service": "ssh"}, 400),
        (services.STOP, {"service": "klipper-9"}, 400),
        (services.RESTART, {}, 400),
        (services.SUDO_PASSWORD, {}, 400),
        (services.SUDO_PASSWORD, {"password": "two\nlines"}, 400),
        (services.SUDO_INFO, {"check_access": "perhaps"}, 400),
    ],
)
def test_invalid_input_gives_its_code(ask: Ask, row: AnyMethod, params: Json, code: int) -> None:
    assert ask(row.name, params)["error"]["code"] == code


def test_a_refusal_of_the_host_is_500(host: Host, ask: Ask) -> None:
    host.systemd.denied = {"StartUnit", "PowerOff"}
    try:
        for row, params in ((services.START, {"service": "klipper"}), (services.SHUTDOWN, {})):
            error = ask(row.name, params)["error"]
            assert error["code"] == 500 and "No permission" in error["message"], error
    finally:
        host.systemd.denied = set()


def test_services_are_part_of_the_system_information(host: Host, ask: Ask) -> None:
    found = ask("machine.system_info", {})["result"]["system_info"]
    assert found["provider"] == "systemd_dbus"
    assert found["available_services"] == ["crowsnest", "klipper", "sonar"]
    assert found["service_state"]["crowsnest"] == {"active_state": "inactive", "sub_state": "dead"}


def test_the_password_never_travels_on_a_shared_topic_and_stays_in_no_file(host: Host) -> None:
    async def shared() -> Json:
        client = await WireClient.open((host.where.mqtt_host, host.where.mqtt_port))
        await client.login("somebody")
        await client.subscribe(("test/moonraker/api/response", 0))
        request = {"jsonrpc": "2.0", "method": "machine.sudo.password", "params": {"password": PASSWORD}, "id": 1}
        await client.publish("test/moonraker/api/request", json.dumps(request).encode())
        answer: Json = json.loads((await client.published()).payload)
        await client.disconnect()
        return answer

    for ask in TRANSPORTS["http"](host.where):
        assert "result" in ask("machine.sudo.password", {"password": PASSWORD})
    assert "error" in asyncio.run(shared())
    accepted = [event for event in get(host.where, "/events/read?limit=500")["events"] if event["stream"] == "commands"]
    assert any(event["data"].get("method") == "machine.sudo.password" for event in accepted)
    files = [path for path in host.where.data.rglob("*") if path.is_file()]
    assert files and not any(PASSWORD.encode() in path.read_bytes() for path in files)


def test_a_change_reaches_a_websocket(host: Host) -> None:
    async def fail() -> None:
        host.systemd.becomes("sonar", "failed", "failed")

    with connect(host.where.http.replace("http", "ws") + "/websocket") as connection:
        client = Socket(connection)
        client.ask("server.info")
        host.on_loop(fail())
        said = client.hear(lambda message: message.get("method") == "notify_service_state_changed")
    assert said["params"] == [{"sonar": {"active_state": "failed", "sub_state": "failed"}}]


def test_on_a_bare_container_every_method_answers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    detector = tmp_path / "bin" / "systemd-detect-virt"
    detector.write_text("#!/bin/sh\necho docker\n")
    detector.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("SUPERVISOR_SERVER_URL", raising=False)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    expected: dict[AnyMethod, int] = {services.SHUTDOWN: 400, services.REBOOT: 400, services.START: 503}
    expected |= {services.STOP: 503, services.RESTART: 503}
    with running(tmp_path / "data", "--virtual") as (_, where):
        until(lambda: get(where, "/machine/system_info")["system_info"]["virtualization"]["virt_type"] == "container")
        for transport in TRANSPORTS.values():
            for ask in transport(where):
                for row, code in expected.items():
                    begun = time.monotonic()
                    assert ask(row.name, VALID[row])["error"]["code"] == code, row.name
                    assert time.monotonic() - begun < SECONDS
                assert "result" in ask(services.SUDO_INFO.name, {"check_access": True})
        assert get(where, "/server/info")["warnings"] == []
    assert "Traceback" not in (tmp_path / "data" / "logs" / "moonraker.log").read_text()
