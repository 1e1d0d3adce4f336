"""Malformed, oversized and far too many requests: a clear answer each, and nobody else notices."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests import mqtt_wire
from tests.e2e.test_print import PATIENCE, Socket, fast_printer, get, until
from tests.mqtt_wire import WireClient
from tests.program import Addresses, Program, running

SMALL_QUERY = b'{"jsonrpc":"2.0","method":"printer.objects.query","params":{"objects":{"webhooks":["state"]}},"id":%d}'
MANY = 10_000
HUGE = 20_000_000  # bytes
GROWTH = 24 << 20  # bytes that may stay after any of this; without bounds the worst of it left several times that
FLOOD = 20_000
ANSWER = b'"jsonrpc"'
P99_SECONDS = STOP_SECONDS = 1.0  # on a busy machine; benchmarks/flood.py finds a twentieth on a quiet one
REQUEST = "test/moonraker/api/request"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Program, Addresses]]:
    folder = tmp_path_factory.mktemp("hostile")
    with running(folder / "data", *fast_printer(folder)) as (program, where):
        until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
        yield program, where


@pytest.fixture
def where(server: tuple[Program, Addresses]) -> Iterator[Addresses]:
    """The server, in which a bystander finds nothing amiss before and after, nor much memory kept."""
    program, where = server
    before = memory(program)
    with connect(websocket(where)) as connection:
        bystander = Socket(connection)
        bystander.ask("server.websocket.id")
        yield where
        assert bystander.ask("printer.info")["result"]["state"] == "ready"
    until(lambda: memory(program) < before + GROWTH)


def memory(program: Program) -> int:
    """Resident bytes of the server."""
    pages = Path(f"/proc/{program.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def websocket(where: Addresses) -> str:
    return where.http.replace("http", "ws") + "/websocket"


def hear_the_rest(connection: Connection) -> None:
    """Passes over notifications, until the server ends the connection."""
    while True:
        connection.recv(PATIENCE)


def raw_http(where: Addresses, data: bytes) -> tuple[int, dict[str, object]]:
    """Status and JSON body of the answer to bytes."""
    url = urlsplit(where.http)
    with socket.create_connection((url.hostname, url.port), timeout=PATIENCE) as wire:
        wire.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
            piece = wire.recv(65536)
            if not piece:
                break
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_malformed_json(where: Addresses) -> None:
    with connect(websocket(where)) as connection:
        connection.send("{bad json")
        answer = Socket(connection).hear(lambda message: "error" in message)
        assert (answer["error"]["code"], answer["id"]) == (-32700, None)
    head = b"POST /server/jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    post = head + b"Content-Length: 4\r\n\r\n{bad"
    status, body = raw_http(where, post)
    assert "-32700" in json.dumps(body) or status == 400

    async def over_mqtt() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("malformed")
        await client.subscribe(("test/moonraker/api/response/malformed", 0))
        await client.publish(f"{REQUEST}/malformed", b"{bad json")
        assert json.loads((await client.published()).payload)["error"]["code"] == -32700
        await client.disconnect()

    asyncio.run(over_mqtt())


def test_text_that_is_not_utf8_closes_the_websocket_with_1007(where: Addresses) -> None:
    with connect(websocket(where)) as connection:
        connection.send(b"\xff\xfe{", text=True)
        with pytest.raises(ConnectionClosed) as closed:
            hear_the_rest(connection)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1007


def test_a_message_of_20_mb_is_1009_413_and_a_disconnect(where: Addresses) -> None:
    with connect(websocket(where)) as connection:
        with pytest.raises(ConnectionClosed) as closed:
            connection.send("x" * HUGE)
            hear_the_rest(connection)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    head = f"POST /printer/gcode/script HTTP/1.1\r\nHost: localhost\r\nContent-Length: {HUGE}\r\n"
    status, body = raw_http(where, head.encode() + b"Content-Type: application/json\r\n\r\n" + b"x" * 4096)
    assert (status, body["error"]["code"]) == (413, 413)  # type: ignore[index]

    async def over_mqtt() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("huge")
        client.send(b"\x30" + b"\x80\xda\xc4\x09" + b"\x00\x01x")  # PUBLISH that claims 20 000 000 bytes
        await client.closed()
        await client.drop()

    asyncio.run(over_mqtt())


def test_an_unknown_method_and_params_of_the_wrong_kind(where: Addresses) -> None:
    with connect(websocket(where)) as connection:
        client = Socket(connection)
        assert client.ask("no.such.method")["error"]["code"] == -32601
        connection.send('{"jsonrpc":"2.0","method":"server.info","params":[1],"id":"list"}')
        assert client.hear(lambda message: message["id"] == "list")["error"]["code"] == -32602
        assert client.ask("printer.gcode.script", script=5)["error"]["code"] == 400
        assert client.ask("printer.objects.query", objects={"toolhead": "x"})["error"]["code"] == 400


def test_ten_thousand_requests_in_flight_over_a_websocket(where: Addresses) -> None:
    with connect(websocket(where), max_size=None) as connection:
        waiting = {number for number in range(MANY)}
        request = '{"jsonrpc":"2.0","method":"printer.gcode.script","params":{"script":"G4 P20000"},"id":%d}'
        for number in waiting:
            connection.send(request % number)
        assert get(where, "/printer/info")["state"] == "ready"
        assert get(where, "/printer/emergency_stop", post=True) == "ok"
        codes = set()
        while waiting:
            message = json.loads(connection.recv(PATIENCE))
            if "id" in message:
                waiting.discard(message["id"])
                codes.add(message.get("error", {}).get("code"))
        assert codes <= {None, 400, 503}
    assert get(where, "/printer/firmware_restart", post=True) == "ok"
    until(lambda: get(where, "/server/info")["klippy_state"] == "ready")


def test_ten_thousand_requests_in_flight_over_mqtt(where: Addresses) -> None:
    async def scenario() -> None:
        client = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await client.login("flood")
        await client.subscribe(("test/moonraker/api/response/flood", 0))
        for number in range(MANY):  # their answers together stay under what may wait for one that does not read yet
            await client.publish(f"{REQUEST}/flood", SMALL_QUERY % number)
        waiting = set(range(MANY))
        end = time.monotonic() + PATIENCE
        while waiting:
            answer = json.loads((await client.published()).payload)
            waiting.discard(answer["id"])
            assert answer.get("error", {}).get("code") in (None, 503)
            assert time.monotonic() < end
        await client.disconnect()

    asyncio.run(scenario())


def mqtt(where: Addresses, name: str) -> socket.socket:
    """A client that gets the answers to its requests."""
    wire = socket.create_connection((where.mqtt_host, where.mqtt_port), timeout=PATIENCE)
    answers = mqtt_wire.subscribe((f"test/moonraker/api/response/{name}", 0))
    wire.sendall(mqtt_wire.connect(name) + answers)
    assert len(wire.recv(9, socket.MSG_WAITALL)) == 9
    return wire


def flood(wire: socket.socket, answered: list[int]) -> None:
    wire.sendall(mqtt_wire.publish(f"{REQUEST}/flooder", SMALL_QUERY % 1) * FLOOD)
    data = b""
    while sum(answered) < FLOOD:
        data = data[1 - len(ANSWER) :] + wire.recv(1 << 20)  # an answer may come in two pieces
        answered.append(data.count(ANSWER))


def round_trip(wire: socket.socket, method: str) -> float:
    request = json.dumps({"jsonrpc": "2.0", "method": method, "id": 1})
    began = time.perf_counter()
    wire.sendall(mqtt_wire.publish(f"{REQUEST}/other", request.encode()))
    assert wire.recv(65_536)
    return time.perf_counter() - began


def test_a_flood_of_one_client_delays_neither_others_nor_an_emergency_stop(where: Addresses) -> None:
    answered = list[int]()
    with mqtt(where, "flooder") as flooder, mqtt(where, "other") as other:
        thread = threading.Thread(target=flood, args=(flooder, answered))
        thread.start()
        taken = [round_trip(other, "server.info") for _ in range(20)]
        stop = round_trip(other, "printer.emergency_stop")
        while thread.is_alive():
            taken.append(round_trip(other, "server.info"))
        thread.join()
    assert sum(answered) == FLOOD
    assert sorted(taken)[int(len(taken) * 0.99)] < P99_SECONDS
    assert stop < STOP_SECONDS
    assert get(where, "/printer/firmware_restart", post=True) == "ok"
    until(lambda: get(where, "/server/info")["klippy_state"] == "ready")
