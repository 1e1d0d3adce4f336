"""Uplinks: one suite over every kind of broker that is installed, and what only some of them can show."""

import asyncio
import gc
import logging
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from bus import client
from bus.access import AccessRules, TrustedNetworks
from bus.broker import Broker
from bus.dialects import DIALECTS, Kind
from bus.errors import Unavailable
from bus.exchange import Exchange
from bus.listeners import BrokerSettings, Listener
from bus.rule_file import Rule, RuleSet
from bus.rules import FileRules
from bus.uplink_settings import UplinkSettings
from tests.brokers import until
from tests.conftest import Run
from tests.foreign_brokers import INSTALLED, MISSING, PATIENCE, Foreign, far, foreign, response_topic
from tests.uplink_rig import joined, settings_for

REQUEST = "test/moonraker/api/request"
RESPONSE = "test/moonraker/api/response"
STATUS = "test/moonraker/status"
ONLINE, OFFLINE = b'{"server":"online"}', b'{"server":"offline"}'
FIELD = "klipper/state/heater_generic my heater/temperature.max"
ENCODED = {
    "nats": "test/klipper/state/heater_generic%20my%20heater/temperature%2Emax",
    "rabbitmq": "test/klipper/state/heater_generic my heater/temperature%2Emax",
}
UNHURRIED = 2.0  # seconds for another host to say that it is there, on a busy machine
EVENT = {"nats": "test/event/print/print%2Estarted%2E1", "rabbitmq": "test/event/print/print%2Estarted%2E1"}


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Foreign]]]:
    """One of each kind, started all at once: some take long."""

    def start(kind: str, folder: Path) -> Foreign:
        return stack.enter_context(foreign(kind, folder))

    with ExitStack() as stack, ThreadPoolExecutor(len(INSTALLED)) as pool:
        yield {kind: pool.submit(start, kind, tmp_path_factory.mktemp(kind)) for kind in INSTALLED}


@pytest.fixture(scope="module", params=INSTALLED)
def broker(request: pytest.FixtureRequest, brokers: dict[str, Future[Foreign]]) -> Foreign:
    return brokers[request.param].result()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRINTBUS_TEST_PASSWORD", "guest")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foreign]:
    """A broker that can do everything, where the kind does not matter."""
    kind = "mosquitto" if "mosquitto" in INSTALLED else "printbus"
    with foreign(kind, tmp_path_factory.mktemp("plain")) as running:
        yield running


def test_errands_find_the_names_that_topics_have_there(broker: Foreign, run: Run[None]) -> None:
    """Some brokers cannot carry every character, but callers always use the plain name."""
    topic = "home/my lamp.left/state"
    encoded = {"nats": "home/my%20lamp%2Eleft/state", "rabbitmq": "home/my lamp%2Eleft/state"}.get(broker.kind, topic)

    async def scenario() -> None:
        async with joined(settings_for(broker)) as here, far(broker, encoded) as other:
            errands = here.uplink.errands
            await errands.publish(topic, b"on", qos=1, retain=True)
            await other.value(encoded, b"on")
            assert await errands.first(topic, qos=1) == b"on"
            await errands.publish(topic, b"", qos=0, retain=True)
            await other.value(encoded, b"")
            first = asyncio.create_task(errands.first(topic, qos=0), name="first")
            while not first.done():
                await other.client.publish(encoded, b"off", 0)
                await asyncio.sleep(0.05)
            assert await first == b"off"

    run(scenario())


def test_an_errand_says_why_it_came_to_nothing(tmp_path: Path, run: Run[None]) -> None:
    """A subscription that the other broker refuses would wait for ever."""
    with foreign("printbus", tmp_path / "broker", instance="farm") as broker:

        async def scenario() -> None:
            async with joined(settings_for(broker)) as here:
                with pytest.raises(Unavailable, match="refuses the subscription"):
                    await here.uplink.errands.first("farm/reply/somebody", qos=0)
            async with joined(settings_for(broker, kind="auto"), wait=False) as here:
                with pytest.raises(Unavailable, match="not been up yet"):
                    await here.uplink.errands.publish("home/lamp", b"on", qos=0, retain=False)

        run(scenario())


def test_state_is_kept_up_there_and_cleared_with_ours(broker: Foreign, run: Run[None]) -> None:
    topic = ENCODED.get(broker.kind, f"test/{FIELD}")

    async def scenario() -> None:
        async with joined(settings_for(broker)) as here:
            here.state(FIELD, 21.5)
            here.state("state/klippy/server", {"state": "ready"})
            async with far(broker, topic, "test/state/klippy/server", STATUS) as late:
                await late.value(topic, b"21.5")  # before it may come what another test has left there
                await late.value(STATUS, ONLINE)
                await late.value("test/state/klippy/server", b'{"state":"ready"}')
                here.state(FIELD, 22.5)
                await late.value(topic, b"22.5")
                here.state(FIELD, b"")
                await late.value(topic, b"")
            async with far(broker, topic, STATUS) as later:
                await later.value(STATUS)
                await asyncio.sleep(0.1)
                assert not [each for each in later.payloads(topic) if each]

    run(scenario())


def test_a_late_subscriber_with_wildcards_has_the_state_by_itself_or_for_the_asking(
    broker: Foreign, run: Run[None]
) -> None:
    async def scenario() -> None:
        async with joined(settings_for(broker)) as here:
            here.state("state/klippy/one", 1)
            here.state("state/klippy/two", 2)
            async with far(broker, "test/state/klippy/two") as first:
                await first.value("test/state/klippy/two", b"2")
            async with far(broker, "test/state/#") as late:
                if any("retained" in text for text in DIALECTS[kind_of(broker)].cannot):
                    await asyncio.sleep(0.3)
                    assert not late.seen
                    await late.client.publish("test/uplink/resend", b"test/state/+/two", 1)
                    await late.value("test/state/klippy/two", b"2")
                    assert not late.payloads("test/state/klippy/one")
                    await late.client.publish("test/uplink/resend", b"", 1)
                await late.value("test/state/klippy/one", b"1")

    run(scenario())


def test_notifications_and_events_go_up_as_they_happen(broker: Foreign, run: Run[None]) -> None:
    event = EVENT.get(broker.kind, "test/event/print/print.started.1")

    async def scenario() -> None:
        async with (
            far(broker, "test/moonraker/notify/+", event) as there,
            joined(settings_for(broker, qos=1)) as here,
        ):
            for number in range(40):
                here.pass_on("moonraker/notify/notify_gcode_response", [number])
            here.pass_on("event/print/print.started.1", {"seq": 1})
            await there.value(event, b'{"seq":1}')
            await there.value("test/moonraker/notify/notify_gcode_response", b"[39]")
            seen = there.payloads("test/moonraker/notify/notify_gcode_response")
            assert seen == [orjson.dumps([number]) for number in range(40)]

    run(scenario())


def test_requests_come_down_on_every_kind_of_topic(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with (
            joined(settings_for(broker)),
            far(broker, RESPONSE, f"{RESPONSE}/desk", "test/reply/desk") as there,
        ):
            stranger = {"user": None, "transport": "uplink:yard"}
            answer = await there.ask(REQUEST, RESPONSE, "lab.who", 1)
            assert answer["result"] == {**stranger, "client": "", "connected": False, "text": ""}
            answer = await there.ask("farm-group/moonraker/api/request", RESPONSE, "lab.who", 2)
            assert answer["result"]["client"] == ""
            answer = await there.ask(f"{REQUEST}/desk", f"{RESPONSE}/desk", "lab.who", 3, text="a")
            assert answer["result"] == {**stranger, "client": "desk", "connected": True, "text": "a"}
            answer = await there.ask("test/rpc/desk/lab/who", "test/reply/desk", None, 4, text="b")
            assert answer["result"] == {**stranger, "client": "desk", "connected": True, "text": "b"}

    run(scenario())


def test_what_another_broker_may_not_have_is_refused(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with joined(settings_for(broker)), far(broker, f"{RESPONSE}/desk", "test/reply/desk") as there:
            private = (f"{REQUEST}/desk", f"{RESPONSE}/desk")
            assert (await there.ask(*private, "lab.secret", 1))["error"]["code"] == 403
            assert (await there.ask(*private, "lab.large", 2))["error"]["code"] == 413
            assert (await there.ask(*private, "events.append", 3))["error"]["code"] == -32601
            assert (await there.ask("test/rpc/desk/moon/phase", "test/reply/desk", None, 4))["error"]["code"] == -32601

    run(scenario())


def test_a_request_that_finds_no_room_is_answered_and_the_next_one_served(
    plain: Foreign, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with joined(settings_for(plain)), far(plain, f"{RESPONSE}/desk", "test/reply/desk") as there:
            monkeypatch.setattr(client, "INBOX_BYTES", 500)
            private, text = (f"{REQUEST}/desk", f"{RESPONSE}/desk"), "x" * 500
            refused = [await there.ask(*private, "lab.who", 1, text=text)]
            refused.append(await there.ask("test/rpc/desk/lab/who", "test/reply/desk", None, 2, text=text))
            assert [answer["error"]["code"] for answer in refused] == [503, 503]
            assert (await there.ask(*private, "lab.who", 3))["result"]["text"] == ""

    run(scenario())


def test_a_retained_request_is_not_run(broker: Foreign, run: Run[None]) -> None:
    topic, answers = f"{REQUEST}/late", f"{RESPONSE}/late"
    stale = b'{"jsonrpc":"2.0","method":"lab.who","id":1}'

    async def scenario() -> None:
        async with far(broker, answers) as there:
            await there.client.publish(topic, stale, 1, retain=True)
            try:
                async with joined(settings_for(broker)):
                    await there.ask(topic, answers, "lab.who", 2)
                    assert [orjson.loads(each)["id"] for each in there.payloads(answers)] == [2]
            finally:
                await there.client.publish(topic, b"", 1, retain=True)

    run(scenario())


def test_the_end_of_the_program_is_seen_there(broker: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with joined(settings_for(broker)) as here, far(broker, STATUS) as there:
            await there.value(STATUS, ONLINE)
            await here.stop()
            await there.value(STATUS, OFFLINE)

    run(scenario())


def test_a_second_host_of_the_same_name_stays_off(
    broker: Foreign, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with joined(settings_for(broker)) as first, far(broker, STATUS, f"{RESPONSE}/desk") as there:
            await there.value(STATUS, ONLINE)
            monkeypatch.setattr("bus.peering.CLAIM_SECONDS", UNHURRIED)
            async with joined(settings_for(broker), wait=False) as second:
                async with asyncio.timeout(PATIENCE):
                    while not second.warnings:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                (text,) = second.warnings.values()
                assert "Another host is already 'test'" in text and "'yard' stays off" in text
                assert not second.uplink.is_up
                local = second.rig.client("here")
                assert (await local.ask("lab.who"))["result"]["client"] == "here"
                assert first.uplink.is_up and not first.warnings
                answer = await there.ask(f"{REQUEST}/desk", f"{RESPONSE}/desk", "lab.who", 1)
                assert answer["result"]["client"] == "desk"
            seen = there.payloads(STATUS)
            assert OFFLINE not in seen[seen.index(ONLINE) :]

    run(scenario())


def test_the_kind_of_a_broker_is_found_out_and_what_it_cannot_do_is_said(
    broker: Foreign, run: Run[None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bus.uplink")

    async def scenario() -> None:
        async with joined(settings_for(broker, kind="auto")) as here:
            here.state(FIELD, 1)
            async with far(broker, ENCODED.get(broker.kind, f"test/{FIELD}")) as there:
                await there.value(ENCODED.get(broker.kind, f"test/{FIELD}"), b"1")

    run(scenario())
    (line,) = [each.getMessage() for each in caplog.records if " up at " in each.getMessage()]
    assert f"{broker.kind} over MQTT {'5' if broker.kind == 'mosquitto' else '3.1.1'}" in line
    for limit in DIALECTS[kind_of(broker)].cannot:
        assert limit.format(instance="test") in line


def kind_of(broker: Foreign) -> Kind:
    return next(kind for kind in DIALECTS if kind == broker.kind)


# -- what does not depend on the broker


def test_what_an_earlier_run_has_left_there_is_cleared_and_nothing_else(plain: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with far(plain, "test/state/lab/#", "lamp") as there:
            for topic in ("test/state/lab/stale", "test/state/lab/known", "lamp"):
                await there.client.publish(topic, b"old", 1, retain=True)
            async with joined(settings_for(plain, up=["{i}/state/#", "lamp"]), wait=False) as here:
                here.state("state/lab/known", 1)
                await here.is_up()
                await there.value("test/state/lab/stale", b"")
                await there.value("test/state/lab/known", b"1")
                assert b"" not in there.payloads("test/state/lab/known") + there.payloads("lamp")
            for topic in ("test/state/lab/known", "lamp"):
                await there.client.publish(topic, b"", 1, retain=True)

    run(scenario())


def test_tls_with_certificates_on_both_sides(certificates: Path, run: Run[None]) -> None:
    listener = Listener(
        port=0,
        certfile=certificates / "server.pem",
        keyfile=certificates / "server.key",
        cafile=certificates / "ca.pem",
        require_certificate=True,
    )

    async def scenario() -> None:
        exchange = Exchange(AccessRules("farm"))
        async with Broker(exchange, TrustedNetworks(), BrokerSettings(listeners={"tls": listener})) as broker:
            settings = {"url": f"mqtts://127.0.0.1:{broker.addresses[0][1]}", "ca": certificates / "ca.pem"}
            mine = {"certfile": certificates / "client.pem", "keyfile": certificates / "client.key"}
            async with joined(UplinkSettings.model_validate({**settings, **mine})):
                await until(lambda: exchange.retained(STATUS) is not None)
                assert exchange.retained_store.match(STATUS)[0].payload == ONLINE
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)  # paho leaves failed sockets to collection
                for wrong in ({**settings}, {**mine, "url": settings["url"]}):
                    async with joined(UplinkSettings.model_validate(wrong), wait=False) as here:
                        await until(lambda here=here: bool(here.warnings), 10)  # type: ignore[misc]
                        assert not here.uplink.is_up
                gc.collect()

    run(scenario())


def test_calls_answers_of_others_and_requests_never_go_up(plain: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with far(plain, "#") as there, joined(settings_for(plain, up=["#"])) as here:
            local = here.rig.client("desk")
            await local.ask("lab.who")
            local.send("test/rpc/desk/lab/who", {"id": 1})
            for topic in ("agent/lab/call", "agent/lab/answer", "reply/desk", "klipper/delta", "connection/bridge/1"):
                here.pass_on(topic, "secret")
            local.send("zigbee2mqtt/lamp", "on")
            await there.value("zigbee2mqtt/lamp")
            live = (each.topic.value for each in there.seen if not each.retain)
            mine = {topic for topic in live if topic.startswith("test/")}
            assert mine <= {"test/uplink/claim", "test/uplink/resend", STATUS, "test/log/head", "test/agent/lab"}

    run(scenario())


def test_the_rights_of_requests_are_those_of_the_role(plain: Foreign, run: Run[None]) -> None:
    rules = RuleSet(
        roles={"viewer": ()},
        rules=(
            Rule(role=("viewer",), publish=("{instance}/rpc/{client}/lab/who",), receive=("{instance}/state/open",)),
        ),
    )

    async def scenario() -> None:
        settings = settings_for(plain, role="viewer", up=["{i}/state/#"])
        async with (
            joined(settings, rules=FileRules("test", [], rules)) as here,
            far(plain, "test/#") as there,
        ):
            assert (await there.ask("test/rpc/desk/lab/who", "test/reply/desk", None, 1))["result"]["client"] == "desk"
            assert (await there.ask("test/rpc/desk/lab/large", "test/reply/desk", None, 2))["error"]["code"] == 403
            assert (await there.ask(REQUEST, RESPONSE, "lab.who", 3))["error"]["code"] == 403
            here.state("state/closed", 1)
            here.state("state/open", 2)
            await there.value("test/state/open", b"2")
            assert not there.payloads("test/state/closed")

    run(scenario())


def test_requests_can_stay_off(plain: Foreign, run: Run[None]) -> None:
    async def scenario() -> None:
        async with joined(settings_for(plain, down=False)) as here, far(plain, "test/#") as there:
            await there.client.publish(f"{REQUEST}/desk", b'{"jsonrpc":"2.0","method":"lab.who","id":1}', 1)
            here.pass_on("moonraker/notify/x", [])
            await there.value("test/moonraker/notify/x")
            assert not there.payloads(f"{RESPONSE}/desk")

    run(scenario())


def test_an_answer_goes_where_mqtt_5_asks_for_it_but_never_where_it_would_be_a_request(
    plain: Foreign, run: Run[None]
) -> None:
    async def scenario() -> None:
        async with joined(settings_for(plain)), far(plain, "answers/#", "other/#", RESPONSE, version5=True) as there:
            ask: Any = b'{"jsonrpc":"2.0","method":"lab.who","id":1}'
            await there.client.publish(REQUEST, ask, 1, properties=response_topic("answers/a.b", b"\x00\xff"))
            answer = await there.value("answers/a.b")
            assert getattr(answer.properties, "CorrelationData", None) == b"\x00\xff"
            for forbidden in ("other/moonraker/api/request", "test/state/klippy/server", "other/rpc/x/y"):
                await there.client.publish(REQUEST, ask, 1, properties=response_topic(forbidden, b"1"))
            await there.until(lambda _: len(there.payloads(RESPONSE)) == 3)
            assert not [each for each in there.seen if each.topic.value.startswith("other/moonraker/api/response")]

    if plain.kind == "mosquitto":
        run(scenario())


def test_two_instances_that_join_each_other_do_not_send_in_circles(tmp_path: Path, run: Run[None]) -> None:
    """One is a process with an uplink to a second one, whose uplink leads back to it."""

    async def scenario(one: Foreign, two: Foreign) -> None:
        async with (
            far(one, "lamp") as at_one,
            far(two, "lamp", "one/moonraker/status", "two/moonraker/status") as at_two,
        ):
            await at_two.value("one/moonraker/status")
            await at_two.value("two/moonraker/status")
            await asyncio.sleep(1)  # for the uplink that leads back
            await at_one.client.publish("lamp", b"on", 1)
            await at_two.value("lamp", b"on")
            await asyncio.sleep(0.3)
            assert (at_one.payloads("lamp"), at_two.payloads("lamp")) == ([b"on"], [b"on"])

    first, second = (
        Foreign("printbus", tmp_path / "one", instance="one"),
        Foreign("printbus", tmp_path / "two", instance="two"),
    )
    for host, other in ((first, second), (second, first)):
        config = tmp_path / host.instance / "data" / "config"
        config.mkdir(parents=True)
        up = f'uplinks: {{other: {{url: "mqtt://127.0.0.1:{other.port}", kind: printbus, up: ["#"]}}}}\n'
        (config / "broker.yaml").write_text(up)
    try:
        first.start()
        second.start()
        run(scenario(first, second))
    finally:
        first.stop()
        second.stop()


def test_an_uplink_to_a_host_of_our_own_name_or_to_ourselves_stays_off(
    tmp_path: Path, run: Run[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.peering.CLAIM_SECONDS", UNHURRIED)

    async def scenario(broker: Foreign) -> None:
        async with joined(settings_for(broker), wait=False) as here:
            async with asyncio.timeout(PATIENCE):
                while not here.warnings:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert "Another host is already 'test'" in here.warnings["uplink yard"]

    with foreign("printbus", tmp_path / "same", instance="test") as same:
        run(scenario(same))


def test_the_documented_limits_are_the_ones_that_are_said_at_the_start() -> None:
    text = (Path(__file__).parents[2] / "docs" / "brokers.md").read_text()
    for kind, dialect in DIALECTS.items():
        for limit in dialect.cannot:
            (row,) = [line for line in text.splitlines() if line.startswith(f"| {kind} | {limit} |")]
            assert row


def test_where_everything_is_to_be_installed_it_is() -> None:
    assert not (os.environ.get("PRINTBUS_TEST_ALL_BROKERS") and MISSING), "see .ci/run for the packages"
    assert {*INSTALLED, *MISSING} == {*DIALECTS} - {"other", "emqx"}
