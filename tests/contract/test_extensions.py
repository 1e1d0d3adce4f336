"""Agents of somebody else's on the running program: on websocket and MQTT they lend methods and send events."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_print import fast_printer, get, until
from tests.program import Addresses, running
from tests.talkers import KINDS, Talker, talker

Json = dict[str, Any]
PATIENT = "extensions: {request_timeout: 0.5}\n"
# What the reference server answered to a client that is no agent.
RECORDED = [
    ("server.extensions.request", {"agent": "a", "method": "m"}, "Agent a not connected"),
    ("connection.send_event", {"event": "x"}, "Only connections of the 'agent' type can send events"),
    (
        "connection.register_remote_method",
        {"method_name": "ws_method"},
        "Only connections of the 'agent' type can register methods",
    ),
]


def identity(name: str, kind: str = "agent") -> dict[str, str]:
    return {"client_name": name, "version": "1.0", "type": kind, "url": "http://agent.example"}


@contextmanager
def agent_of(where: Addresses, kind: str, name: str) -> Iterator[Talker]:
    """A client that has identified itself as an agent; at the end its leaving has been noticed."""
    with talker(where, kind, name) as client:
        assert client.ask("server.connection.identify", **identity(name))["result"]["connection_id"] > 0
        yield client
    until(lambda: name not in agents(where))


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    folder = tmp_path_factory.mktemp("extensions")
    arguments = fast_printer(folder)
    config = Path(arguments[1])
    config.write_text(config.read_text() + PATIENT)
    with running(folder / "data", *arguments) as (_, addresses):
        until(lambda: bool(get(addresses, "/server/info")["klippy_state"] == "ready"))
        yield addresses


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def agents(where: Addresses) -> list[str]:
    return [agent["name"] for agent in get(where, "/server/extensions/list")["agents"]]


def is_event(event: str) -> Callable[[Json], bool]:
    return lambda said: said.get("method") == "notify_agent_event" and said["params"][0]["event"] == event


def events(client: Talker) -> list[Json]:
    """The agents' events that a client has heard so far."""
    client.ask("server.info")
    return [said["params"][0] for said in client.heard if said.get("method") == "notify_agent_event"]


def request(caller: Talker, agent: str, method: str, arguments: Any = None) -> None:
    """Has an agent called; `outcome` is what comes of it."""
    params = {"agent": agent, "method": method, "arguments": arguments}
    caller.say(method="server.extensions.request", params=params, id="call")


def outcome(caller: Talker) -> Json:
    return caller.hear(lambda said: said.get("id") == "call")


@pytest.mark.parametrize("caller_kind", KINDS)
def test_a_call_reaches_the_agent_and_its_answer_the_caller(where: Addresses, kind: str, caller_kind: str) -> None:
    with agent_of(where, kind, "lights") as agent, talker(where, caller_kind, "caller") as caller:
        for arguments in ({"times": 2}, [1, 2], None):
            request(caller, "lights", "blink", arguments)
            asked = agent.called("blink")
            assert asked["jsonrpc"] == "2.0" and asked["id"] is not None
            assert asked.get("params", None) == arguments and ("params" in asked) == (arguments is not None)
            agent.say(id=asked["id"], result={"blinked": [2.5, None]})
            assert outcome(caller)["result"] == {"blinked": [2.5, None]}


def test_an_agent_that_fails_is_424_with_its_error_in_data(where: Addresses, kind: str) -> None:
    error = {"code": -1, "message": "no such lamp", "data": [1]}
    with agent_of(where, kind, "lights") as agent, talker(where, "websocket", "caller") as caller:
        request(caller, "lights", "blink")
        agent.say(id=agent.called("blink")["id"], error=error)
        assert outcome(caller)["error"] == {"code": 424, "message": "no such lamp", "data": error}
        request(caller, "lights", "blink")
        agent.say(id=agent.called("blink")["id"], error="broken")
        assert outcome(caller)["error"]["code"] == 424


def test_an_agent_that_does_not_answer_is_504_and_what_it_says_then_is_ignored(where: Addresses, kind: str) -> None:
    with agent_of(where, kind, "lights") as agent, talker(where, "websocket", "caller") as caller:
        request(caller, "lights", "blink")
        late = agent.called("blink")["id"]
        assert outcome(caller)["error"]["code"] == 504
        for wrong in (late, late + 1000, "text", None, [1]):
            agent.say(id=wrong, result="late")
        request(caller, "lights", "blink")
        agent.say(id=agent.called("blink")["id"], result="in time")
        assert outcome(caller)["result"] == "in time"


def test_a_client_cannot_answer_in_the_place_of_an_agent(where: Addresses, kind: str) -> None:
    with agent_of(where, "websocket", "lights") as agent, talker(where, kind, "caller") as caller:
        request(caller, "lights", "blink")
        number = agent.called("blink")["id"]
        caller.say(id=number, result="forged")
        caller.ask("server.info")
        agent.say(id=number, result="real")
        assert outcome(caller)["result"] == "real"


def test_an_agent_that_leaves_meanwhile_is_500(where: Addresses, kind: str) -> None:
    with talker(where, "websocket", "caller") as caller:
        with agent_of(where, kind, "lights") as agent:
            request(caller, "lights", "blink")
            agent.called("blink")
        assert outcome(caller)["error"]["code"] == 500


def test_agents_are_listed_as_they_have_identified_themselves(where: Addresses, kind: str) -> None:
    with agent_of(where, kind, "lights"), talker(where, "websocket", "display") as display:
        display.ask("server.connection.identify", **identity("panel", "display"))
        shown = [{"name": "lights", "version": "1.0", "type": "agent", "url": "http://agent.example"}]
        assert get(where, "/server/extensions/list") == {"agents": shown}


def test_a_name_belongs_to_one_agent_at_a_time(where: Addresses, kind: str) -> None:
    with agent_of(where, "websocket", "lights"), talker(where, kind, "second") as second:
        assert second.ask("server.connection.identify", **identity("lights"))["error"]["code"] == 400
        assert second.ask("server.connection.identify", **identity("lights", "other"))["result"]
    with agent_of(where, kind, "lights"):
        assert agents(where) == ["lights"]


def test_events_of_an_agent_are_told_to_others(where: Addresses, kind: str) -> None:
    with talker(where, "websocket", "one") as one, talker(where, "mqtt", "two") as two:
        one.ask("server.info")
        with agent_of(where, kind, "lights") as agent:
            assert agent.ask("connection.send_event", event="on", data={"lamp": 1})["result"] == "ok"
            assert agent.ask("connection.send_event", event="blown")["result"] == "ok"
            assert agent.ask("connection.send_event", event="null", data=None)["result"] == "ok"
            assert kind == "mqtt" or not events(agent)  # on a topic that all read it hears itself
            for reserved in ("connected", "disconnected"):
                assert agent.ask("connection.send_event", event=reserved)["error"]["code"] == 400
            agent.say(method="connection.send_event", params={"event": "last"})
            one.hear(is_event("last"))
            two.hear(is_event("last"))
        who = {"name": "lights", "version": "1.0", "type": "agent", "url": "http://agent.example"}
        for listener in (one, two):
            gone = listener.hear(is_event("disconnected"))
            assert gone["params"] == [{"agent": "lights", "event": "disconnected"}]
            assert events(listener) == [
                {"agent": "lights", "event": "connected", "data": who},
                {"agent": "lights", "event": "on", "data": {"lamp": 1}},
                {"agent": "lights", "event": "blown"},
                {"agent": "lights", "event": "null", "data": None},
            ]


def test_macros_call_the_methods_that_agents_register(where: Addresses, kind: str) -> None:
    with agent_of(where, kind, "lights") as agent, talker(where, "websocket", "caller") as caller:
        assert agent.ask("connection.register_remote_method", method_name="set_lamp")["result"] == "ok"
        until(lambda: "error" not in caller.ask("printer.gcode.script", script="CALL_REMOTE METHOD=set_lamp ON=1"))
        called = agent.called("set_lamp")
        assert called == {"jsonrpc": "2.0", "method": "set_lamp", "params": {"on": "1"}}
        taken = agent.ask("connection.register_remote_method", method_name="set_lamp")
        assert taken["error"]["code"] == 400
        own = agent.ask("connection.register_remote_method", method_name="process_status_update")
        assert own["error"]["code"] == 400
    with talker(where, "websocket", "caller") as caller:
        caller.ask("printer.gcode.script", script="CALL_REMOTE METHOD=set_lamp ON=1")
        line = caller.hear(lambda said: said.get("method") == "notify_gcode_response" and "set_lamp" in str(said))
        assert line["params"] == ["!! Remote method 'set_lamp': nobody offers it any more"]
    with agent_of(where, kind, "lamps") as agent, talker(where, "websocket", "caller") as caller:
        assert agent.ask("connection.register_remote_method", method_name="set_lamp")["result"] == "ok"
        caller.ask("printer.gcode.script", script="CALL_REMOTE METHOD=set_lamp ON=2")
        assert agent.called("set_lamp")["params"] == {"on": "2"}


def test_a_macro_that_calls_what_nobody_has_registered_fails_in_klipper(where: Addresses) -> None:
    with talker(where, "websocket", "caller") as caller:
        answer = caller.ask("printer.gcode.script", script="CALL_REMOTE METHOD=no_such_lamp")
        assert answer["error"] == {"code": 400, "message": "Remote method 'no_such_lamp' not registered"}


@pytest.mark.parametrize(("method", "params", "message"), RECORDED)
def test_who_is_no_agent_is_told_so(where: Addresses, kind: str, method: str, params: Json, message: str) -> None:
    with talker(where, kind, "nobody") as client:
        for _ in range(2):
            assert client.ask(method, **params)["error"] == {"code": 400, "message": message}
            client.ask("server.connection.identify", **identity("panel", "display"))
