"""The router: every rule of the one way of commands, seen from clients of the broker."""

import asyncio
from typing import Any, ClassVar
from uuid import uuid4
from zlib import crc32

import orjson
import pytest

from bus.access import Identity, Role
from bus.agent import Agent, Call, implements
from bus.envelope import MAX_REQUEST
from bus.errors import NotFound, Refused
from bus.log import MemoryLog, NewEvent
from bus.router import MAX_BATCH
from schemas.base import Flags, Method, NoParams, Params, Permission
from tests.bus_rig import Rig, bus_with
from tests.conftest import Run


class Words(Params):
    text: str
    times: int = 1


ECHO = Method("lab.echo", Words, str, "lab", Permission.READ)
SLOW = Method("lab.slow", NoParams, str, "lab", Permission.READ, deadline=0.5)
CHANGE = Method("lab.change", Words, str, "lab", Permission.CONTROL, flags=Flags(changes=True))
HEAT = Method("lab.heat", NoParams, str, "lab", Permission.CONTROL, deadline=None, flags=Flags(changes=True))
STOP = Method(
    "printer.emergency_stop", NoParams, str, "lab", Permission.CONTROL, flags=Flags(changes=True, urgent=True)
)
FAIL = Method("lab.fail", NoParams, str, "lab", Permission.READ)
REFUSE = Method("lab.refuse", NoParams, str, "lab", Permission.CONTROL, flags=Flags(changes=True))
CRASH = Method("lab.crash", NoParams, str, "lab", Permission.CONTROL)
SECRET = Method("lab.secret", Words, str, "lab", Permission.CONTROL, flags=Flags(changes=True, secret=True))
WHO = Method("lab.who", NoParams, dict, "lab", Permission.READ)
INNER = Method("lab.inner", NoParams, str, "lab", Permission.AGENT)
ABSENT = Method("moon.phase", NoParams, str, "moon", Permission.READ)
AWAY = Method("far.ping", Words, str, "far", Permission.READ)
OPEN = Method("sky.{body}", Words, str, "lab", Permission.CONTROL, flags=Flags(changes=True))
MOON = Method("sky.moon", NoParams, str, "lab", Permission.READ)
FAR_OPEN = Method("far.{thing}", Words, str, "far", Permission.READ)
PLAIN = (ECHO, SLOW, CHANGE, HEAT, STOP, FAIL, REFUSE, CRASH, SECRET, WHO, INNER, ABSENT, AWAY)
ROWS = {row.name: row for row in (*PLAIN, OPEN, MOON, FAR_OPEN)}


class Lab(Agent):
    name = "lab"
    done: ClassVar[list[str]] = []

    async def run(self) -> None:
        self.broken = asyncio.Event()
        await self.broken.wait()
        raise RuntimeError("the lab is on fire")

    @implements(CRASH)
    def crash(self, params: NoParams, call: Call) -> str:
        self.broken.set()
        return "ok"

    @implements(ECHO)
    def echo(self, params: Words, call: Call) -> str:
        return params.text * params.times

    @implements(SLOW)
    async def slow(self, params: NoParams, call: Call) -> str:
        await asyncio.sleep(60)
        return "late"

    @implements(OPEN)
    def open(self, params: Words, call: Call) -> str:
        return f"{call.name}: {params.text}"

    @implements(MOON)
    def moon(self, params: NoParams, call: Call) -> str:
        return "full"

    @implements(CHANGE)
    async def change(self, params: Words, call: Call) -> str:
        self.done.append(params.text)
        return f"changed {len(self.done)}"

    @implements(HEAT)
    async def heat(self, params: NoParams, call: Call) -> str:
        await asyncio.Event().wait()
        return "hot"

    @implements(STOP)
    def stop(self, params: NoParams, call: Call) -> str:
        self.done.append("stop")
        return "ok"

    @implements(FAIL)
    def fail(self, params: NoParams, call: Call) -> str:
        raise ZeroDivisionError("secret detail")

    @implements(REFUSE)
    async def refuse(self, params: NoParams, call: Call) -> str:
        raise Refused("the printer said no")

    @implements(SECRET)
    def secret(self, params: Words, call: Call) -> str:
        return "ok"

    @implements(WHO)
    def who(self, params: NoParams, call: Call) -> dict[str, Any]:
        return {**call.actor.as_dict(), "connection": call.connection.id if call.connection else 0}

    @implements(INNER)
    def inner(self, params: NoParams, call: Call) -> str:
        raise NotFound("nothing here")


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    Lab.done.clear()


def lab(log: MemoryLog | None = None) -> Any:
    return bus_with(ROWS, Lab, remote=["far"], log=log)


def error(answer: dict[str, Any]) -> int:
    return int(answer["error"]["code"])


@pytest.mark.parametrize("request_id", [0, 1, -5, "text", 1.5, {"a": 1}, [1]])
def test_the_answer_echoes_the_id_and_keeps_the_order_of_members(run: Run[None], request_id: Any) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            answer = await desk.ask("lab.echo", {"text": "a", "times": 3}, request_id)
            assert list(answer.items()) == [("jsonrpc", "2.0"), ("result", "aaa"), ("id", request_id)]

    run(scenario())


@pytest.mark.parametrize(
    ("payload", "code", "answered"),
    [
        (b"{bad json", -32700, None),
        (b"", -32700, None),
        (b"\xff\xfe", -32700, None),
        (b"5", -32600, None),
        (b"null", -32600, None),
        (b"{}", -32600, None),
        (b'{"jsonrpc":"1.0","method":"lab.echo","id":50}', -32600, 50),
        (b'{"method":"lab.echo","id":51}', -32600, 51),
        (b'{"jsonrpc":"2.0","method":5,"id":52}', -32600, 52),
        (b'{"jsonrpc":"2.0"}', -32600, None),
        (b'{"jsonrpc":"2.0","method":"lab.echo","params":[1],"id":1}', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"lab.echo","params":null,"id":1}', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"lab.echo","params":"x","id":1}', -32602, 1),
        (b'{"jsonrpc":"2.0","method":"lab.echo","id":2}', 400, 2),
        (b'{"jsonrpc":"2.0","method":"lab.echo","params":{"text":5},"id":2}', 400, 2),
        (b'{"jsonrpc":"2.0","method":"lab.echo","params":{"text":"a","times":"x"},"id":2}', 400, 2),
        (b'{"jsonrpc":"2.0","method":"no.such","id":3}', -32601, 3),
        (b'{"jsonrpc":"2.0","method":"no.such"}', -32601, None),
        (b'{"jsonrpc":"2.0","method":"moon.phase","id":3}', -32601, 3),
        (b'{"jsonrpc":"2.0","method":"lab.inner","id":3}', -32601, 3),
        (b'{"jsonrpc":"2.0","method":"far.ping","params":{"text":"a"},"id":3}', 503, 3),
        (b'{"jsonrpc":"2.0","method":"lab.slow","id":4}', 504, 4),
        (b'{"jsonrpc":"2.0","method":"lab.fail","id":4}', 500, 4),
        (b'{"jsonrpc":"2.0","method":"lab.refuse","id":4}', 400, 4),
        (b"[" * 2000, -32700, None),
        (b'{"jsonrpc":"2.0","method":"no.such","id":' + b"[" * 500 + b"]" * 500 + b"}", -32601, None),
        (b" " * (MAX_REQUEST + 1), 413, None),
        (b"[]", -32600, None),
        (b"[" + b"1," * MAX_BATCH + b"1]", -32600, None),
    ],
)
def test_every_kind_of_bad_request_gets_its_code(run: Run[None], payload: bytes, code: int, answered: Any) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            desk.send("test/moonraker/api/request/desk", payload)
            answer = await desk.next()
            assert (error(answer), answer["id"]) == (code, answered)
            assert "secret detail" not in answer["error"]["message"]
            assert (await desk.ask("lab.echo", {"text": "on"}))["result"] == "on"

    run(scenario())


def test_requests_without_id_are_run_and_not_answered(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            for request_id in ({}, {"id": None}):
                desk.send(
                    "test/moonraker/api/request/desk",
                    {"jsonrpc": "2.0", "method": "lab.change", "params": {"text": "quiet"}, **request_id},
                )
            assert (await desk.ask("lab.echo", {"text": "next"}, 9))["id"] == 9
            assert Lab.done == ["quiet", "quiet"]

    run(scenario())


def test_a_batch_is_answered_in_order_without_its_notifications(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            call = {"jsonrpc": "2.0", "method": "lab.change"}
            batch = [
                {**call, "params": {"text": "a"}, "id": 0},
                {**call, "params": {"text": "b"}},
                {"jsonrpc": "2.0", "method": "no.such"},
                5,
                {"foo": 1},
                {**call, "params": {"text": "c"}, "id": "z"},
            ]
            desk.send("test/moonraker/api/request/desk", batch)
            answers = await desk.next()
            assert [answer["id"] for answer in answers] == [0, None, None, "z"]
            assert [answers[0]["result"], answers[3]["result"]] == ["changed 1", "changed 3"]
            assert [error(answers[1]), error(answers[2])] == [-32600, -32600]
            assert Lab.done == ["a", "b", "c"]

    run(scenario())


def test_a_batch_of_notifications_is_not_answered(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            desk.send("test/moonraker/api/request/desk", [{"jsonrpc": "2.0", "method": "no.such"}] * 3)
            assert (await desk.ask("lab.echo", {"text": "next"}, 9))["id"] == 9

    run(scenario())


def test_a_retained_request_is_ignored(run: Run[None]) -> None:
    async def scenario() -> None:
        async with bus_with(ROWS) as rig:
            desk = rig.client("desk")
            request = {"jsonrpc": "2.0", "method": "lab.change", "params": {"text": "old"}, "id": 1}
            desk.send("other/moonraker/api/request", request, retain=True)
            rig.router.session.subscribe("other/moonraker/api/request", rig.router._on_shared)
            assert error(await desk.ask("lab.echo", {"text": "x"})) == -32601
            assert desk.inbox.empty()
            assert not Lab.done

    run(scenario())


def test_the_shared_topic_answers_for_everybody_and_knows_no_connection(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk, other = rig.client("desk"), rig.client("other")
            other.listen("test/moonraker/api/response")
            desk.send("test/moonraker/api/request", {"jsonrpc": "2.0", "method": "lab.who", "id": 7})
            answer = await other.next()
            assert answer["result"] == {"user": "someone", "transport": "mqtt", "client": "desk", "connection": 0}
            desk.send("farm/moonraker/api/request", {"jsonrpc": "2.0", "method": "lab.who", "id": 8})
            assert (await other.next())["id"] == 8

    run(scenario())


def test_a_private_client_is_a_connection_with_an_id_of_its_own(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk, other = rig.client("desk"), rig.client("other")
            first = (await desk.ask("lab.who"))["result"]["connection"]
            assert first == (await desk.ask("lab.who"))["result"]["connection"] > 0
            assert first != (await other.ask("lab.who"))["result"]["connection"]
            rig.router.closed("desk")
            assert {found.client for found in rig.router.connections} == {"other"}

    run(scenario())


def test_secret_methods_are_refused_on_the_shared_topic_and_leave_no_params(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            desk.listen("test/moonraker/api/response")
            request = {"jsonrpc": "2.0", "method": "lab.secret", "params": {"text": "hunter2"}, "id": 1}
            desk.send("test/moonraker/api/request", request)
            assert error(await desk.next()) == 403
            assert (await desk.ask("lab.secret", {"text": "hunter2"}))["result"] == "ok"
            assert "hunter2" not in repr(await rig.events())

    run(scenario())


def test_per_method_topics_take_method_and_actor_from_topic_and_session(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            desk.listen("test/reply/desk")
            desk.send("test/rpc/desk/lab/echo", {"id": 1, "params": {"text": "hi"}, "method": "lab.fail"})
            assert await desk.next() == {"jsonrpc": "2.0", "result": "hi", "id": 1}
            forged = {"id": 2, "actor": {"user": "root", "transport": "http", "client": "x"}, "connection": 1}
            desk.send("test/rpc/desk/lab/who", forged)
            assert (await desk.next())["result"]["user"] == "someone"
            desk.send("test/rpc/desk/no/such", {"id": 3})
            assert error(await desk.next()) == -32601
            desk.send("test/rpc/desk/lab/echo", b"[1]")
            assert error(await desk.next()) == -32600
            with pytest.raises(PermissionError):
                desk.send("test/rpc/other/lab/echo", {"id": 1})

    run(scenario())


def test_only_a_bridge_speaks_for_others_and_announces_connections(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            bridge = rig.client("bridge", Role.BRIDGE)
            bridge.listen("test/reply/bridge", "test/moonraker/api/response/bridge/+")
            actor = {"user": "ann", "transport": "http", "client": "10.0.0.9"}
            bridge.send("test/rpc/bridge/lab/who", {"id": 1, "actor": actor, "params": {}})
            assert (await bridge.next())["result"] == {**actor, "connection": 0}
            actor["transport"] = "websocket"
            bridge.send("test/connection/bridge/77", {"open": True, "actor": actor})
            bridge.send("test/moonraker/api/request/bridge/77", {"jsonrpc": "2.0", "method": "lab.who", "id": 2})
            assert (await bridge.next())["result"] == {**actor, "connection": 77}
            bridge.send("test/connection/bridge/77", {"open": False})
            bridge.send("test/moonraker/api/request/bridge/77", {"jsonrpc": "2.0", "method": "lab.who", "id": 3})
            bridge.send("test/rpc/bridge/lab/echo", {"id": 4, "params": {"text": "still"}})
            assert (await bridge.next())["id"] == 4

    run(scenario())


def test_a_plain_http_client_gets_an_empty_message_for_nothing_to_answer(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            bridge = rig.client("bridge", Role.BRIDGE)
            bridge.listen("test/moonraker/api/response/bridge/+")
            actor = {"user": None, "transport": "http", "client": "127.0.0.1"}
            bridge.send("test/connection/bridge/5", {"open": True, "actor": actor})
            bridge.send(
                "test/moonraker/api/request/bridge/5",
                {"jsonrpc": "2.0", "method": "lab.echo", "params": {"text": "x"}},
            )
            message = await asyncio.wait_for(bridge.inbox.get(), 20)
            assert (message.topic, message.payload) == ("test/moonraker/api/response/bridge/5", b"")

    run(scenario())


def test_commands_are_recorded_with_who_what_and_outcome(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            await desk.ask("lab.change", {"text": "a"})
            await desk.ask("lab.refuse")
            await desk.ask("printer.emergency_stop")
            await desk.ask("lab.echo", {"text": "not recorded"})
            await rig.journal.append("lab", [NewEvent("lab.closed.1", {})])
            accepted = [data for kind, data in await rig.events() if kind == "command.accepted.1"]
            assert accepted == [
                {"method": "lab.change", "params": {"text": "a"}},
                {"method": "lab.refuse", "params": {}},
                {"method": "printer.emergency_stop", "params": {}},
            ]
            ended = [data for kind, data in await rig.events() if kind == "command.ended.1"]
            assert [data["outcome"] for data in ended] == ["ok", "error", "ok"]
            assert ended[1]["message"] == "the printer said no"
            assert (await rig.journal.read())[0].actor == {"user": "someone", "transport": "mqtt", "client": "desk"}

    run(scenario())


def test_an_emergency_stop_runs_during_its_delivery(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            for topic in ("test/moonraker/api/request/desk", "test/moonraker/api/request"):
                Lab.done.clear()
                desk.send(topic, {"jsonrpc": "2.0", "method": "printer.emergency_stop", "id": 1})
                assert Lab.done == ["stop"]  # no turn of the loop has passed
            desk.send("test/rpc/desk/printer/emergency_stop", b"")
            assert Lab.done == ["stop", "stop"]

    run(scenario())


def test_an_emergency_stop_is_heard_as_the_first_word_of_a_client_that_a_bridge_has_just_announced(
    run: Run[None],
) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            bridge = rig.client("bridge", Role.BRIDGE)
            bridge.listen("test/moonraker/api/response/bridge/+")
            Lab.done.clear()
            actor = {"user": None, "transport": "http", "client": "127.0.0.1"}
            bridge.send("test/connection/bridge/5", {"open": True, "actor": actor})
            stop = {"jsonrpc": "2.0", "method": "printer.emergency_stop", "id": 1}
            bridge.send("test/moonraker/api/request/bridge/5", stop)
            assert Lab.done == ["stop"]  # no turn of the loop has passed
            assert (await bridge.next())["id"] == 1

    run(scenario())


def test_a_repeated_timestamp_or_uuid_runs_once(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            stamped = {"text": "a", "mqtt_timestamp": 1700000000000001}
            assert (await desk.ask("lab.change", stamped))["result"] == "changed 1"
            assert error(await desk.ask("lab.change", stamped)) == -10000
            key = str(uuid4())
            first = await desk.ask("lab.change", {"text": "b"}, key)
            assert first == await desk.ask("lab.change", {"text": "b"}, key) == {**first, "result": "changed 2"}
            assert (await desk.ask("lab.change", {"text": "c"}, 5))["result"] == "changed 3"
            assert (await desk.ask("lab.change", {"text": "c"}, 5))["result"] == "changed 4"

    run(scenario())


def test_one_uuid_for_different_requests_repeats_none_and_never_a_stop(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk, key = rig.client("desk"), str(uuid4())
            assert (await desk.ask("lab.change", {"text": "a"}, key))["result"] == "changed 1"
            assert (await desk.ask("lab.change", {"text": "b"}, key))["result"] == "changed 2"
            assert error(await desk.ask("lab.refuse", {}, key)) == 400
            for _ in range(2):
                assert (await desk.ask("printer.emergency_stop", {}, key))["result"] == "ok"
            assert (await desk.ask("lab.change", {"text": "a"}, key))["result"] == "changed 1"
            assert Lab.done == ["a", "b", "stop", "stop"]

    run(scenario())


def test_nothing_of_secret_params_is_recorded_and_what_is_too_deep_has_no_key(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            for word in ("hunter2", "hunter3"):
                await desk.ask("lab.secret", {"text": word}, str(uuid4()))
            await desk.ask("lab.secret", {"text": "hunter4", "mqtt_timestamp": 5})
            recorded = [
                event.data.get("once") for event in await rig.journal.read() if event.type == "command.accepted.1"
            ]
            assert [once and once["digest"] for once in recorded] == [crc32(b'["lab.secret",null]')] * 2 + [None]
            request = b'{"jsonrpc":"2.0","method":"lab.change","params":{"text":"a","x":%b},"id":%b}'
            for request_id in (b"1", b'"%b"' % str(uuid4()).encode()):
                desk.send("test/moonraker/api/request/desk", request % (b"[" * 300 + b"]" * 300, request_id))
            first, second = await desk.next(), await desk.next()
            assert error(first) == error(second) != -32603

    run(scenario())


def test_a_command_accepted_before_a_restart_is_not_run_again(run: Run[None]) -> None:
    keys = [str(uuid4()) for _ in range(3)]

    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            stamped = {"text": "a", "mqtt_timestamp": 17}
            assert (await desk.ask("lab.change", stamped, keys[0]))["result"] == "changed 1"
            assert (await desk.ask("lab.change", {"text": "s", "mqtt_timestamp": 18}))["result"] == "changed 2"
            assert error(await desk.ask("lab.refuse", {}, keys[1])) == 400
            await rig.journal.append("lab", [NewEvent("lab.closed.1", {})])
            told = await rig.journal.read()
        log = MemoryLog()
        for event in told:
            log.append(event.stream, [NewEvent(event.type, event.data, event.actor)], append_id=event.append_id)
        once = {"client": "desk", "id": keys[2], "digest": crc32(orjson.dumps(["lab.heat", {}]))}
        lost: dict[str, Any] = {"method": "lab.heat", "params": {}, "once": once}
        log.append("commands", [NewEvent("command.accepted.1", lost)], append_id=uuid4())
        async with lab(log) as rig:
            desk = rig.client("desk")
            assert (await desk.ask("lab.change", {"text": "a"}, keys[0]))["result"] == "changed 1"
            assert error(await desk.ask("lab.change", {"text": "s", "mqtt_timestamp": 18})) == -10000
            assert error(await desk.ask("lab.refuse", {}, keys[1])) == 400
            assert error(await desk.ask("lab.heat", {}, keys[2])) == 409
            assert len(Lab.done) == 2

    run(scenario())


def test_an_answer_over_the_packet_limit_is_an_error_that_names_the_way_round(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            rig.exchange.publish(
                Identity("far", Role.CLIENT, "someone", "10.0.0.1"),
                "test/moonraker/api/request/far",
                orjson.dumps(
                    {"jsonrpc": "2.0", "method": "lab.echo", "params": {"text": "x", "times": 2_000_000}, "id": 7}
                ),
            )
            rig.bus.subscribe("test/moonraker/api/response/far", desk.inbox.put_nowait)
            answer = await desk.next()
            assert (error(answer), answer["id"]) == (413, 7)
            assert "file transfer" in answer["error"]["message"]
            local = await desk.ask("lab.echo", {"text": "x", "times": 2_000_000})
            assert len(local["result"]) == 2_000_000

    run(scenario())


def test_a_message_is_a_repeat_by_its_packet_and_topic_and_never_a_stop(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk, shared = rig.client("desk"), "test/moonraker/api/request/desk"
            desk.listen("test/reply/desk")

            async def sent(topic: str, message: dict[str, Any], packet_id: int, *, dup: bool) -> None:
                payload = orjson.dumps(message)
                rig.exchange.publish(desk.session.identity, topic, payload, qos=1, dup=dup, packet_id=packet_id)
                await asyncio.sleep(0)

            change = {"jsonrpc": "2.0", "method": "lab.change", "params": {"text": "a"}, "id": 1}
            stop = {"jsonrpc": "2.0", "method": "printer.emergency_stop", "id": 1}
            for packet_id, dup in ((1, False), (1, True), (2, True), (1, False), (2, True)):
                await sent(shared, change, packet_id, dup=dup)
            for dup in (False, True):
                await sent(shared, stop, 7, dup=dup)
                await sent("test/rpc/desk/printer/emergency_stop", {"id": 1}, 8, dup=dup)
                await sent("test/rpc/desk/lab/change", {"params": {"text": "b"}}, 9, dup=dup)
                await sent("test/rpc/desk/lab/heat", {}, 10, dup=dup)
                await sent("test/rpc/desk/lab/refuse", {}, 10, dup=dup)
            await desk.ask("lab.echo", {"text": "x"})
            assert sorted(Lab.done) == ["a"] * 3 + ["b"] + ["stop"] * 4

    run(scenario())


def test_requests_of_a_batch_may_have_one_timestamp(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            batch = [
                {"jsonrpc": "2.0", "method": "lab.change", "params": {"text": text, "mqtt_timestamp": 5}, "id": number}
                for number, text in enumerate(("a", "b", "b"))
            ]
            for outcome in ("result", "error"):
                desk.send("test/moonraker/api/request/desk", batch)
                assert [outcome in answer for answer in await desk.next()] == [True] * 3
            assert Lab.done == ["a", "b", "b"]

    run(scenario())


def test_a_redelivered_message_runs_once(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            request = orjson.dumps({"jsonrpc": "2.0", "method": "lab.change", "params": {"text": "a"}, "id": 1})
            for dup in (False, True, True):
                rig.exchange.publish(desk.session.identity, "test/moonraker/api/request/desk", request, qos=1, dup=dup)
            assert (await desk.next())["result"] == "changed 1"
            await desk.ask("lab.echo", {"text": "x"})
            assert Lab.done == ["a"]

    run(scenario())


def test_an_agent_that_fails_ends_its_calls_with_503_and_is_restarted_alone(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk, other = rig.client("desk"), rig.client("other")
            presence = rig.client("watch")
            presence.listen("test/agent/lab")
            desk.send("test/moonraker/api/request/desk", {"jsonrpc": "2.0", "method": "lab.heat", "id": 1})
            other.send("test/moonraker/api/request/other", {"jsonrpc": "2.0", "method": "lab.crash", "id": 2})
            assert error(await desk.next()) == 503
            assert (await other.next())["result"] == "ok"
            assert error(await other.ask("lab.echo", {"text": "x"})) == 503
            assert [(await presence.next())["alive"] for _ in range(3)] == [True, False, True]
            assert (await other.ask("lab.echo", {"text": "x"}))["result"] == "x"

    run(scenario())


class BadLoser(Agent):
    """Has a task that fails when it is stopped."""

    name = "bad loser"

    async def run(self) -> None:
        """As said."""
        try:
            await super().run()
        finally:
            raise RuntimeError("not now")


def test_an_agent_that_fails_while_it_is_stopped_has_stopped(run: Run[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5), bus_with({}, BadLoser):
            pass

    run(main())


def test_an_agent_in_another_process_is_called_over_its_topics(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            far, desk = rig.client("agent.far", Role.AGENT), rig.client("desk")
            far.listen("test/agent/far/call")
            far.send("test/agent/far", {"alive": True, "boot": "b1"})
            desk.send(
                "test/moonraker/api/request/desk",
                {"jsonrpc": "2.0", "method": "far.ping", "params": {"text": "hi"}, "id": 3},
            )
            call = await far.next()
            assert (call["method"], call["params"], call["actor"]["client"]) == ("far.ping", {"text": "hi"}, "desk")
            far.send("test/agent/far/answer", b'{"jsonrpc":"2.0","result":"pong","id":%d}' % call["id"])
            assert (await desk.next())["result"] == "pong"
            desk.send(
                "test/moonraker/api/request/desk",
                {"jsonrpc": "2.0", "method": "far.ping", "params": {"text": "hi"}, "id": 4},
            )
            await far.next()
            far.send("test/agent/far", {"alive": False, "boot": "b1"})
            gone = await desk.next()
            assert error(gone) == 503 and "far" in gone["error"]["message"]

    run(scenario())


def test_nobody_else_reads_calls_or_answers_for_an_agent(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            far, spy = rig.client("agent.far", Role.AGENT), rig.client("spy")
            spy.listen("test/#", "#")
            far.listen("test/agent/far/call")
            far.send("test/agent/far", {"alive": True, "boot": "b1"})
            desk = rig.client("desk")
            desk.send(
                "test/moonraker/api/request/desk",
                {"jsonrpc": "2.0", "method": "far.ping", "params": {"text": "x"}, "id": 1},
            )
            call = await far.next()
            with pytest.raises(PermissionError):
                spy.send("test/agent/far/answer", b'{"jsonrpc":"2.0","result":"lie","id":%d}' % call["id"])
            far.send("test/agent/far/answer", b'{"jsonrpc":"2.0","result":"pong","id":%d}' % call["id"])
            await desk.next()
            seen = set()
            while not spy.inbox.empty():
                seen.add(spy.inbox.get_nowait().topic)
            assert seen <= {"test/agent/far", "test/agent/lab", "test/log/head"}

    run(scenario())


def test_too_many_calls_in_flight_are_refused_and_the_rest_goes_on(run: Run[None], monkeypatch: Any) -> None:
    monkeypatch.setattr("bus.pending.MAX_OF_ONE_CLIENT", 100)

    async def scenario() -> None:
        async with lab() as rig:
            desk = rig.client("desk")
            for number in range(150):
                desk.send("test/moonraker/api/request/desk", {"jsonrpc": "2.0", "method": "lab.slow", "id": number})
            codes = [error(await desk.next()) for _ in range(150)]
            assert codes.count(503) == 50 and codes.count(504) == 100
            assert (await desk.ask("lab.echo", {"text": "on"}))["result"] == "on"

    run(scenario())


def test_events_are_published_after_they_are_in_the_log_and_in_order(run: Run[None]) -> None:
    async def scenario() -> None:
        async with lab() as rig:
            desk, reader = rig.client("desk"), rig.client("reader")
            reader.listen("test/event/#", "test/log/head")
            await asyncio.gather(*(asked(rig, f"c{number}") for number in range(20)))
            await desk.ask("lab.change", {"text": "last"})
            sequence = []
            while not reader.inbox.empty():
                message = reader.inbox.get_nowait()
                if "/event/" in message.topic:
                    sequence.append(orjson.loads(message.payload)["seq"])
            assert sequence == sorted(sequence) and len(set(sequence)) == len(sequence) >= 20

    async def asked(rig: Rig, name: str) -> None:
        await rig.client(name).ask("lab.change", {"text": name})

    run(scenario())


def test_a_row_for_many_names_answers_those_that_have_none_of_their_own(run: Run[None]) -> None:
    async def main() -> None:
        async with lab() as rig:
            anna = rig.client("anna")
            assert (await anna.ask("sky.moon"))["result"] == "full"
            assert (await anna.ask("sky.mars.phobos", {"text": "a"}))["result"] == "sky.mars.phobos: a"
            assert (await anna.ask("sky.{body}", {"text": "b"}))["result"] == "sky.{body}: b"
            assert error(await anna.ask("sky.mars")) == 400
            for nothing in ("sky", "sky.", "skylark.x", "lab.nosuch"):
                assert error(await anna.ask(nothing, {"text": "a"})) == -32601
            anna.listen("test/reply/anna")
            anna.send("test/rpc/anna/sky/mars/deimos", {"id": 5, "params": {"text": "c"}})
            assert (await anna.next())["result"] == "sky.mars.deimos: c"
            recorded = [data["method"] for kind, data in await rig.events() if kind == "command.accepted.1"]
            assert recorded == ["sky.mars.phobos", "sky.{body}", "sky.mars.deimos"]

    run(main())


def test_an_agent_in_another_process_is_told_the_name_that_was_called(run: Run[None]) -> None:
    async def main() -> None:
        async with bus_with(ROWS, Lab, remote=["far"]) as rig:
            far = rig.client("agent.far", Role.AGENT)
            far.listen("test/agent/far/call")
            far.send("test/agent/far", {"alive": True, "boot": "b"})
            anna = rig.client("anna")
            anna.send(
                "test/moonraker/api/request/anna",
                {"jsonrpc": "2.0", "method": "far.side.x", "params": {"text": "a"}, "id": 1},
            )
            assert (await far.next())["method"] == "far.side.x"

    run(main())
