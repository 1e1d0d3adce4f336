"""Publishing and waiting for messages over any transport and from gcode macros, here and on a broker that is joined."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bus.standin import MAX_LISTENING, MAX_PUBLISHING
from tests.contract.test_catalogue import TRANSPORTS, Ask
from tests.e2e.test_print import PATIENCE, get, until
from tests.foreign_brokers import INSTALLED, Foreign, far, foreign
from tests.mqtt_wire import Published, WireClient, packet
from tests.program import Addresses, running
from tests.talkers import talker

PRINTER = "klippy: {virtual: true, speed: 40}\nmqtt: {default_qos: 1}\n"
RULES = """
access:
  rules:
    - name: everybody
      publish: ["home/#", "test/#"]
      receive: ["home/#", "test/#"]
"""
PUBLISH, SUBSCRIBE = "server.mqtt.publish", "server.mqtt.subscribe"
FORMS: list[tuple[Any, bytes, Any]] = [
    ("hello", b"hello", "hello"),
    ("Grüße {", "Grüße {".encode(), "Grüße {"),
    ('{"a": 1}', b'{"a": 1}', {"a": 1}),
    (True, b"true", True),
    (5, b"5", 5),
    (2.5, b"2.5", 2.5),
    ({"on": [1, None]}, b'{"on":[1,null]}', {"on": [1, None]}),
    ([], b"[]", []),
    ("", b"", None),
    (None, b"", None),
]

Json = dict[str, Any]


class Ear:
    """An MQTT client of the embedded broker that listens to everything under `home`."""

    def __init__(self, where: Addresses) -> None:
        self._loop = asyncio.new_event_loop()
        self._wire = self._loop.run_until_complete(self._login(where))

    async def _login(self, where: Addresses) -> WireClient:
        wire = await WireClient.open((where.mqtt_host, where.mqtt_port))
        await wire.login("ear")
        await wire.subscribe(("home/#", 2), ("test/lamp/#", 2))
        return wire

    def hears(self) -> Published:
        """The next message, acknowledged."""
        message = self._loop.run_until_complete(self._wire.published())
        number = message.packet_id.to_bytes(2, "big")
        if message.qos:
            self._wire.send(packet(0x40 if message.qos == 1 else 0x50, number))
        if message.qos == 2:
            assert self._loop.run_until_complete(self._wire.receive()) == (0x62, number)
            self._wire.send(packet(0x70, number))
        return message

    def says(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publishes as a client."""
        self._loop.run_until_complete(self._wire.publish(topic, payload, retain=retain))

    def close(self) -> None:
        """Leaves."""
        self._loop.run_until_complete(self._wire.drop())
        self._loop.close()


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("gate")
    (folder / "printer.yaml").write_text(PRINTER)
    with running(folder / "data", "--config", str(folder / "printer.yaml")) as (_, addresses):
        until(lambda: bool(get(addresses, "/server/info")["klippy_state"] == "ready"))
        yield addresses


@pytest.fixture
def ear(where: Addresses) -> Iterator[Ear]:
    made = Ear(where)
    yield made
    made.close()


@pytest.fixture(params=sorted(TRANSPORTS))
def ask(where: Addresses, request: pytest.FixtureRequest) -> Iterator[Ask]:
    yield from TRANSPORTS[request.param](where)


@contextmanager
def background(ask: Ask, method: str, **params: Any) -> Iterator[Future[Json]]:
    """A request whose answer may take its time."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(ask, method, params)


def until_answered(answer: Future[Json], again: Callable[[], None]) -> Json:
    """Says something again until a request has been answered, since nobody knows when its subscription holds."""
    end = time.monotonic() + PATIENCE
    while not answer.done():
        assert time.monotonic() < end, "no answer came"
        again()
        time.sleep(0.05)
    return answer.result()


@pytest.mark.parametrize(("payload", "wire", "parsed"), FORMS)
def test_values_become_text_and_come_back(ask: Ask, ear: Ear, payload: Any, wire: bytes, parsed: Any) -> None:
    topic = "home/form"
    assert ask(PUBLISH, {"topic": topic, "payload": payload, "qos": 2})["result"] == {"topic": topic}
    heard = ear.hears()
    assert (heard.topic, heard.payload, heard.qos) == (topic, wire, 2)
    with background(ask, SUBSCRIBE, topic=topic, timeout=10) as answer:
        found = until_answered(answer, lambda: ear.says(topic, wire))
    assert found["result"] == {"topic": topic, "payload": parsed}
    assert type(found["result"]["payload"]) is type(parsed)


def test_only_the_topic_is_needed(ask: Ask, ear: Ear) -> None:
    """The configured quality of service is used, here 1."""
    assert ask(PUBLISH, {"topic": "home/bare"})["result"] == {"topic": "home/bare"}
    heard = ear.hears()
    assert (heard.topic, heard.payload, heard.qos, heard.retain) == ("home/bare", b"", 1, False)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_is_retained_is_answered_until_it_is_cleared(ask: Ask, qos: int) -> None:
    topic = f"attic/{qos}"
    ask(PUBLISH, {"topic": topic, "payload": [1], "qos": qos, "retain": True})
    for _ in range(2):
        found = ask(SUBSCRIBE, {"topic": topic, "qos": qos, "timeout": 5})
        assert found["result"] == {"topic": topic, "payload": [1]}
    ask(PUBLISH, {"topic": topic, "qos": qos, "retain": True})
    assert ask(SUBSCRIBE, {"topic": topic, "timeout": 0.05})["error"]["code"] == 504


def test_query_strings_do_as_well(where: Addresses, ear: Ear) -> None:
    query = "topic=home/query&payload=1&qos=0&retain=false&timeout=20.5"
    assert get(where, f"/server/mqtt/publish?{query}", post=True) == {"topic": "home/query"}
    heard = ear.hears()
    assert (heard.topic, heard.payload, heard.qos) == ("home/query", b"1", 0)


def test_what_is_no_text_comes_with_replacements(ask: Ask, ear: Ear) -> None:
    with background(ask, SUBSCRIBE, topic="home/raw", timeout=10) as answer:
        found = until_answered(answer, lambda: ear.says("home/raw", b"\xff raw"))
    assert found["result"]["payload"] == "\ufffd raw"


def test_what_is_not_acknowledged_in_time_is_504_and_published_all_the_same(ask: Ask, ear: Ear) -> None:
    slow = {"topic": "home/slow", "payload": "x", "qos": 1, "retain": True, "timeout": 0.0001}
    assert ask(PUBLISH, slow)["error"]["code"] == 504
    assert ear.hears().payload == b"x"
    assert ask(PUBLISH, {**slow, "qos": 0, "payload": None})["result"] == {"topic": "home/slow"}


def test_a_caller_may_read_state_but_not_what_is_private(ask: Ask) -> None:
    known = ask(SUBSCRIBE, {"topic": "test/moonraker/klippy", "timeout": 5})["result"]
    assert known["payload"]["state"] == "ready"
    for private in ("test/moonraker/api/response/somebody", "test/reply/somebody", "test/klipper/delta"):
        assert ask(SUBSCRIBE, {"topic": private, "timeout": 5})["error"]["code"] == 403


@pytest.mark.parametrize(
    "topic",
    ["test/moonraker/api/request", "test/state/klippy/server", "test", "$SYS/broker/uptime", "test/agent/klippy"],
)
def test_nobody_speaks_as_the_printer_host(ask: Ask, topic: str) -> None:
    assert ask(PUBLISH, {"topic": topic, "payload": "{}", "retain": True})["error"]["code"] == 403


def test_it_is_shown_as_a_component(where: Addresses) -> None:
    assert get(where, "/server/info")["components"].count("mqtt") == 1


def test_who_has_waited_longest_is_sent_away_when_too_many_wait(where: Addresses) -> None:
    with talker(where, "websocket", "many") as client:
        for number in range(MAX_LISTENING + 1):
            client.say(method=SUBSCRIBE, params={"topic": f"home/many/{number}"}, id=number)
        gone = client.hear(lambda said: "id" in said)
        assert (gone["id"], gone["error"]["code"]) == (0, 503)
        for number in range(1, MAX_LISTENING + 1):
            client.say(method=PUBLISH, params={"topic": f"home/many/{number}", "payload": number, "qos": 0})
        got = [client.hear(lambda said: "id" in said) for _ in range(MAX_LISTENING)]
        assert sorted(each["result"]["payload"] for each in got) == list(range(1, MAX_LISTENING + 1))


def test_macros_publish(where: Addresses, ear: Ear) -> None:
    call = "CALL_REMOTE METHOD=publish_mqtt_topic "
    with talker(where, "websocket", "caller") as caller:

        def run(arguments: str) -> None:
            assert caller.ask("printer.gcode.script", script=call + arguments)["result"] == "ok"

        run("TOPIC=home/macro PAYLOAD=5")
        heard = ear.hears()
        assert (heard.topic, heard.payload, heard.qos, heard.retain) == ("home/macro", b"5", 1, False)
        run("TOPIC=/lamp/macro USE_PREFIX=true QOS=2 RETAIN=true PAYLOAD=on")
        heard = ear.hears()
        assert (heard.topic, heard.payload, heard.qos) == ("test/lamp/macro", b"on", 2)
        assert caller.ask(SUBSCRIBE, topic="test/lamp/macro", timeout=5)["result"]["payload"] == "on"
        run("TOPIC=/lamp/macro USE_PREFIX=true RETAIN=true QOS=0")
        assert ear.hears().payload == b""
        for wrong, reason in [
            ("PAYLOAD=x", "Missing argument: topic"),
            ("TOPIC=home/x QOS=7", "Argument qos"),
            ("TOPIC=home/+", "wildcard"),
            ("TOPIC=moonraker/klippy USE_PREFIX=true", "belongs to the printer host"),
        ]:
            run(wrong)
            line = caller.hear(lambda said: said.get("method") == "notify_gcode_response")["params"][0]
            assert line.startswith("!! Remote method 'publish_mqtt_topic'") and reason in line


def test_access_rules_hold_for_callers_and_not_for_the_owners_macros(tmp_path: Path) -> None:
    (tmp_path / "printer.yaml").write_text(PRINTER)
    (tmp_path / "broker.yaml").write_text(RULES)
    files = ("--config", str(tmp_path / "printer.yaml"), "--broker", str(tmp_path / "broker.yaml"))
    with running(tmp_path / "data", *files) as (_, where):
        until(lambda: bool(get(where, "/server/info")["klippy_state"] == "ready"))
        for transport in TRANSPORTS.values():
            for ask in transport(where):
                allowed = {"topic": "home/lamp", "payload": "on", "retain": True, "timeout": 5}
                assert "result" in ask(PUBLISH, allowed) and "result" in ask(SUBSCRIBE, allowed)
                denied = {"topic": "cellar/lamp", "payload": "on", "retain": True, "timeout": 5}
                assert ask(PUBLISH, denied)["error"]["code"] == 403
                assert ask(SUBSCRIBE, denied)["error"]["code"] == 403
        with talker(where, "websocket", "caller") as caller:
            script = "CALL_REMOTE METHOD=publish_mqtt_topic TOPIC=cellar/lamp PAYLOAD=off RETAIN=true"
            assert caller.ask("printer.gcode.script", script=script)["result"] == "ok"
            assert caller.ask(SUBSCRIBE, topic="cellar/lamp", timeout=5)["error"]["code"] == 403


# -- a broker that is joined


class House:
    """A mosquitto, or where there is none another printbus, and a program whose uplink `house` leads there."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        kind = "mosquitto" if "mosquitto" in INSTALLED else "printbus"
        self.broker = stack.enter_context(foreign(kind, folder / "house"))
        (folder / "printer.yaml").write_text(PRINTER)
        (folder / "broker.yaml").write_text(f"uplinks: {{house: {{url: '{self.broker.url}', kind: {kind}}}}}\n")
        files = ("--config", str(folder / "printer.yaml"), "--broker", str(folder / "broker.yaml"))
        _, self.where = stack.enter_context(running(folder / "data", *files))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(tmp_path_factory.mktemp("house"), stack)


@pytest.fixture(params=sorted(TRANSPORTS))
def ask_house(house: House, request: pytest.FixtureRequest) -> Iterator[Ask]:
    yield from TRANSPORTS[request.param](house.where)


def on_house(broker: Foreign, topic: str, payload: bytes) -> None:
    """A client of the other broker publishes."""

    async def say() -> None:
        async with far(broker) as client:
            await client.client.publish(topic, payload, 1)

    asyncio.run(say())


@pytest.mark.parametrize(
    ("ask_house", "qos"), [("http", 0), ("websocket", 1), ("mqtt", 2), ("unix", 1)], indirect=["ask_house"]
)
def test_a_named_uplink_is_published_to_and_listened_on(house: House, ask_house: Ask, qos: int) -> None:
    there = {"uplink": "house", "qos": qos}
    lamp = {"topic": "home/lamp", "payload": {"on": qos}, "retain": True, "timeout": 10, **there}
    assert ask_house(PUBLISH, lamp)["result"] == {"topic": "home/lamp"}
    found = ask_house(SUBSCRIBE, {"topic": "home/lamp", "timeout": 10, **there})
    assert found["result"] == {"topic": "home/lamp", "payload": {"on": qos}}
    assert ask_house(SUBSCRIBE, {"topic": "home/lamp", "timeout": 0.05})["error"]["code"] == 504  # not on our own

    async def look() -> None:
        async with far(house.broker, "home/lamp") as client:
            message = await client.value("home/lamp")
            assert (message.retain, message.payload) == (True, b'{"on":%d}' % qos)

    asyncio.run(look())
    assert ask_house(PUBLISH, {"topic": "home/lamp", "retain": True, "timeout": 10, **there})["result"]
    assert ask_house(SUBSCRIBE, {"topic": "home/lamp", "timeout": 0.3, **there})["error"]["code"] == 504
    with background(ask_house, SUBSCRIBE, topic="home/door", timeout=10, **there) as answer:
        found = until_answered(answer, lambda: on_house(house.broker, "home/door", b"open"))
    assert found["result"] == {"topic": "home/door", "payload": "open"}


def test_topics_of_the_printer_host_are_its_own_there_too(ask_house: Ask) -> None:
    forged = {"topic": "test/moonraker/klippy", "payload": "{}", "uplink": "house"}
    assert ask_house(PUBLISH, forged)["error"]["code"] == 403


def test_clients_of_the_other_broker_publish_here(house: House) -> None:
    async def ask() -> None:
        async with far(house.broker, "test/moonraker/api/response", "test/moonraker/status") as client:
            await client.value("test/moonraker/status", b'{"server":"online"}')  # requests are taken from then on
            lamp: Json = {"topic": "home/here", "payload": "on", "retain": True}
            answer = await client.ask("test/moonraker/api/request", "test/moonraker/api/response", PUBLISH, **lamp)
            assert answer["result"] == {"topic": "home/here"}

    asyncio.run(ask())
    with talker(house.where, "websocket", "web") as client:
        assert client.ask(SUBSCRIBE, topic="home/here", timeout=5)["result"]["payload"] == "on"


def test_a_broker_that_hangs_is_504_and_529_when_too_much_waits_for_it(house: House) -> None:
    there = {"topic": "home/late", "uplink": "house", "payload": "x", "qos": 1}
    with talker(house.where, "websocket", "web") as client:
        house.broker.send(signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert client.ask(PUBLISH, **there, timeout=0.3)["error"]["code"] == 504
            assert time.monotonic() - began < 10
            for number in range(MAX_PUBLISHING):
                client.say(method=PUBLISH, params=there, id=number)
            assert client.ask(PUBLISH, **there)["error"]["code"] == 529
        finally:
            house.broker.send(signal.SIGCONT)
        ended = [client.hear(lambda said: isinstance(said.get("id"), int)) for _ in range(MAX_PUBLISHING)]
        assert [each["result"] for each in ended] == [{"topic": "home/late"}] * MAX_PUBLISHING


def test_a_broker_that_is_away_is_503(house: House) -> None:
    there = {"topic": "home/away", "uplink": "house", "timeout": 10}
    with talker(house.where, "websocket", "web") as client:
        client.say(method=SUBSCRIBE, params={**there, "timeout": 60}, id="waits")
        time.sleep(0.3)
        house.broker.stop()
        try:
            assert client.hear(lambda said: said.get("id") == "waits")["error"]["code"] == 503
            for qos in (0, 1):
                assert client.ask(PUBLISH, **there, qos=qos)["error"]["code"] == 503
            assert client.ask(SUBSCRIBE, **there)["error"]["code"] == 503
        finally:
            house.broker.start()
        until(lambda: "result" in client.ask(PUBLISH, **there, qos=1))
