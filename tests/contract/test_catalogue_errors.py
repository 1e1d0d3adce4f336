"""Each error that the catalogue lists for the printer and the server, provoked on all transports."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from schemas import METHODS, printer
from schemas.base import AnyMethod
from tests.contract.test_catalogue import CATALOGUE, TRANSPORTS, VALID, row_of
from tests.e2e.test_print import get, until
from tests.klipper_wire import KlipperWire, refuse
from tests.program import Addresses, running

Json = dict[str, Any]

AREAS = ("printer", "server", "identify")
THEIRS = "Moonraker only"  # begins the errors that are not to be copied
NEVER = {"Klippy gives no answer within 20 s"}  # a subscription is answered from memory
SAID = "Klipper says no: second line\nof it"
REFUSABLE = (
    "gcode/restart",
    "gcode/firmware_restart",
    "gcode/script",
    "query_endstops/status",
    "pause_resume/pause",
    "pause_resume/resume",
    "pause_resume/cancel",
)
OPEN = printer.ENDPOINT.name  # stands for many: this is one of them
ONE = "printer.pause_resume.cancel"
WHO = {"client_name": "t", "version": "1", "type": "agent", "url": "http://t"}


@dataclass(frozen=True, slots=True)
class Way:
    """How an error comes about: in which state of things, with which params, after what on the same connection."""

    params: Json | None = None  # None: valid ones
    away: bool = False  # no Klipper has ever been there
    before: Json | None = None
    rival: Json | None = None  # what another connection asked before
    only: tuple[str, ...] = tuple(TRANSPORTS)
    said: str = field(default="")  # the message, where it has to be this one


KLIPPER_SAYS = Way(said=SAID)
WAYS: dict[str, Way] = {
    "Klippy is not connected (or drops while the request is pending)": Way(away=True),
    "Klippy itself reports an error for the request": KLIPPER_SAYS,
    "a gcode failed or Klippy is not ready; message carries the Klippy text": KLIPPER_SAYS,
    "Klippy refuses (file missing, SD busy, not ready)": KLIPPER_SAYS,
    "objects is malformed (non-string field names, value neither null nor list)": Way({"objects": {"toolhead": [1]}}),
    "a required parameter is missing, or a value cannot be converted to its type": Way({}),
    "HTTP request without a usable connection_id": Way(only=("http",)),
    "called through the JSON-RPC-over-HTTP endpoint": Way(only=("jsonrpc",)),
    "unknown application name": Way({"application": "nosuch"}),
    "connection already identified": Way(WHO, before=WHO),
    "unknown type": Way(WHO | {"type": "nosuch"}),
    "type agent and the name is already connected": Way(WHO, rival=WHO),
    "token or key invalid, or still unauthenticated": Way(WHO | {"access_token": "nosuch"}),
}


def listed() -> list[Any]:
    """Method, cause, status over HTTP and code on JSON-RPC of each error."""
    rows = [CATALOGUE[name] for name in METHODS if name in CATALOGUE and CATALOGUE[name]["area"] in AREAS]
    return [
        pytest.param(row["rpc"], error["when"], error["http"], error["rpc_code"], id=f"{row['rpc']}: {error['when']}")
        for row in rows
        for error in row["errors"]
        if not error["when"].startswith(THEIRS) and error["when"] not in NEVER
    ]


@contextmanager
def refusing_klipper(path: Path) -> Iterator[None]:
    """A Klipper that is ready and refuses everything that it can."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="klipper")
    thread.start()
    wire = KlipperWire(path)
    wire.script |= {method: refuse(SAID) for method in REFUSABLE}
    asyncio.run_coroutine_threadsafe(wire.listen(), loop).result()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(wire.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        assert not wire.faults


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("refused")
    socket = folder / "klippy.sock"
    with refusing_klipper(socket), running(folder / "data", "--klippy", str(socket)) as (_, where):
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        yield where


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("alone")
    with running(folder / "data", "--klippy", str(folder / "none.sock")) as (_, where):
        yield where


def test_every_listed_error_is_provoked() -> None:
    causes = {entry.values[1] for entry in listed()}
    assert causes <= set(WAYS)
    assert len(listed()) > 30


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
@pytest.mark.parametrize(("name", "when", "http", "code"), listed())
def test_an_error_has_its_code(
    refused: Addresses, alone: Addresses, transport: str, name: str, when: str, http: int | None, code: int
) -> None:
    way, row = WAYS[when], row_of(name)
    if not offered(row, way, transport):
        return
    where = alone if way.away else refused
    called = ONE if name == OPEN else name
    params = VALID[called] if way.params is None else way.params
    client = contextmanager(TRANSPORTS[transport])
    with client(where) as ask:
        if way.before is not None:
            assert "result" in ask(called, way.before)
        if way.rival is None:
            error = ask(called, params)["error"]
        else:
            with client(where) as rival:
                assert "result" in rival(called, way.rival)
                error = ask(called, params)["error"]
    assert error["code"] == (http if transport == "http" else code)
    assert error["message"] == way.said if way.said else error["message"]


def offered(row: AnyMethod, way: Way, transport: str) -> bool:
    """Whether the error can come about on a transport at all: a connection is not told over HTTP, nor asked about."""
    if way.only != tuple(TRANSPORTS):
        return transport in way.only
    if transport == "jsonrpc":
        return not row.flags.connection
    if way.rival is not None and transport == "mqtt":
        return False  # a second client with the same id takes the place of the first
    return transport != "http" or bool(row.http and row is not printer.OBJECTS_SUBSCRIBE and not no_objects(row, way))


def no_objects(row: AnyMethod, way: Way) -> bool:
    """Over HTTP each query key is an object: none of them is no error, and nothing can be malformed."""
    return row is printer.OBJECTS_QUERY and way.params == {}
