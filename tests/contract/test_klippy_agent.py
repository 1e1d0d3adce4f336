"""The klippy agent as clients see it: every row and every announcement."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from agents.klippy import Klippy
from agents.klippy.agent import KlippySettings
from bus.agent import Actor
from bus.errors import InvalidParams, MethodNotFound, Refused, Unavailable
from schemas import METHODS, AnyMethod, klippy, printer
from tests.agent_bus import ALICE, RecordingBus, running, start_call
from tests.klipper_wire import MESH, Connection, KlipperWire, Message, hang_up, never, refuse

BOB = Actor("bob", "mqtt", "bob-1")
ROWS = [row for row in METHODS.values() if row.owner == "klippy"]
PLAIN = [row for row in ROWS if row not in (printer.ENDPOINT, klippy.TUNNEL_OPEN)]  # those have tests of their own
PARAMS: dict[str, Any] = {
    "printer.objects.query": {"objects": {"toolhead": None}},
    "klippy.objects.now": {"objects": {"toolhead": None}},
    "printer.objects.subscribe": {"objects": {"toolhead": None}},
    "printer.gcode.script": {"script": "G28"},
    "printer.print.start": {"filename": "a.gcode"},
}
READY = ("notify_klippy_ready", None)
SHUTDOWN = ("notify_klippy_shutdown", None)
DISCONNECTED = ("notify_klippy_disconnected", None)
STATE_TOPIC = "rig/moonraker/klippy"


class Scene:
    """An agent, its bus, and its Klipper."""

    def __init__(self, agent: Klippy, bus: RecordingBus, wire: KlipperWire) -> None:
        self.agent, self.bus, self.wire = agent, bus, wire

    async def call(self, row: AnyMethod, params: Any = None, actor: Actor = ALICE) -> Any:
        """The answer to a call."""
        return await asyncio.wait_for(start_call(self.agent, row, params, actor), 20)

    async def shown(self, state: str) -> None:
        """Waits for a state."""
        await self.bus.until(lambda: self.bus.retained.get(STATE_TOPIC, {}).get("state") == state)

    async def status(self, name: str, field: str, value: Any) -> None:
        """Changes a field and waits until the change is on the bus."""
        self.wire.change({name: {field: value}})
        await self.bus.until(
            lambda: self.bus.messages("rig/klipper/delta")[-1]["status"].get(name, {}).get(field) == value
        )

    async def print_stats(self, **fields: Any) -> None:
        """Changes print_stats and waits until the change is on the bus."""
        self.wire.change({"print_stats": fields})
        await self.bus.until(lambda: self.bus.messages("rig/klipper/delta")[-1]["status"].get("print_stats") == fields)

    async def facts(self, stream: str, count: int) -> list[tuple[str, dict[str, Any]]]:
        """The events of a stream, once there are so many."""
        await self.bus.until(lambda: len(self.bus.facts(stream)) >= count)
        return self.bus.facts(stream)

    def states(self) -> list[str]:
        """All states that were shown, without repetitions."""
        shown = [message["state"] for message in self.bus.messages(STATE_TOPIC)]
        return [state for state, before in zip(shown, [None, *shown], strict=False) if state != before]


@asynccontextmanager
async def scene(folder: Path, *, listening: bool = True, **options: Any) -> AsyncIterator[Scene]:
    """A running agent beside a scripted Klipper."""
    bus, wire = RecordingBus(folder), KlipperWire(folder / "klippy.sock")
    agent = Klippy(bus, KlippySettings(socket=wire.path, **options))
    if listening:
        await wire.listen()
    try:
        async with running(agent):
            here = Scene(agent, bus, wire)
            if listening:
                await bus.until(lambda: READY in bus.notifications())
            yield here
    finally:
        await wire.stop()
    assert not wire.faults


def play_scene(folder: Path, body: Callable[[Scene], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Runs a test body in a scene."""

    async def main() -> None:
        async with scene(folder, **options) as here:
            await body(here)

    asyncio.run(main())


def events_of(here: Scene, stream: str) -> list[tuple[str, str | None]]:
    """Type and user of all events of a stream."""
    found = [event for name, event in here.bus.events if name == stream]
    return [(event.type, str(event.actor["user"]) if event.actor else None) for event in found]


# ---- rows


def test_every_row_of_the_table_is_implemented() -> None:
    assert set(Klippy.rows) == {row.name for row in ROWS}


@pytest.mark.parametrize("row", PLAIN, ids=lambda row: row.name)
def test_a_row_answers_what_the_table_says(tmp_path: Path, row: AnyMethod) -> None:
    async def body(here: Scene) -> None:
        result = await here.call(row, PARAMS.get(row.name))
        TypeAdapter(row.result).validate_python(result)
        assert row.result is not str or result == "ok"

    play_scene(tmp_path, body)


def test_objects_are_asked_of_klipper_itself_where_what_it_said_last_is_too_old(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.status["print_stats"] = {"state": "printing"}  # of which it has not told yet
        wanted = {"objects": {"print_stats": ["state"]}}
        assert (await here.call(klippy.OBJECTS_NOW, wanted))["status"] == {"print_stats": {"state": "printing"}}
        assert (await here.call(printer.OBJECTS_QUERY, wanted))["status"] != {"print_stats": {"state": "printing"}}

    play_scene(tmp_path, body)


def test_the_file_of_a_print_is_named_as_soon_as_whoever_started_it_is_answered(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        assert await here.call(klippy.LOADED_FILE) == {"filename": None}
        here.wire.status["print_stats"] |= {"state": "printing", "filename": "a.gcode"}  # of which it has not told yet
        await here.call(printer.PRINT_START, {"filename": "a.gcode"})
        assert await here.call(klippy.LOADED_FILE) == {"filename": "a.gcode"}
        await here.print_stats(state="paused", filename="a.gcode")
        assert await here.call(klippy.LOADED_FILE) == {"filename": "a.gcode"}
        here.wire.status["print_stats"] |= {"state": "complete", "filename": "a.gcode"}
        await here.print_stats(state="complete", filename="a.gcode")
        assert await here.call(klippy.LOADED_FILE) == {"filename": None}

    play_scene(tmp_path, body)


def test_the_file_of_a_print_is_unknown_until_klipper_has_told_everything(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.status["print_stats"] |= {"state": "printing", "filename": "a.gcode"}
        here.wire.script["objects/subscribe"] = never
        await here.wire.listen()
        while "objects/subscribe" not in here.wire.methods():
            await here.wire.asked(len(here.wire.requests) + 1)
        with pytest.raises(Unavailable):
            await here.call(klippy.LOADED_FILE)
        del here.wire.script["objects/subscribe"]
        for connection in here.wire.connections:
            connection.close()
        await here.bus.until(lambda: READY in here.bus.notifications())
        assert await here.call(klippy.LOADED_FILE) == {"filename": "a.gcode"}

    play_scene(tmp_path, body, listening=False)


def test_without_klipper_no_file_is_printed(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.print_stats(state="printing", filename="a.gcode")
        await here.wire.stop()
        await here.shown("disconnected")
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await here.call(klippy.LOADED_FILE) == {"filename": None}
                    break
                except Unavailable:  # until it is sure that Klipper has not just closed the connection
                    await asyncio.sleep(0.01)

    play_scene(tmp_path, body)


@pytest.mark.parametrize("row", [row for row in ROWS if row is not klippy.LOADED_FILE], ids=lambda row: row.name)
def test_a_row_is_unavailable_before_the_first_connection(tmp_path: Path, row: AnyMethod) -> None:
    async def body(here: Scene) -> None:
        with pytest.raises(Unavailable, match="not connected"):
            await here.call(row, PARAMS.get(row.name))

    play_scene(tmp_path, body, listening=False)


# ---- whatever else Klipper knows


async def pass_on(here: Scene, name: str, params: Any = None) -> Any:
    row = METHODS.find(name)
    assert row is not None
    return await asyncio.wait_for(start_call(here.agent, row, params, BOB, asked=name), 20)


def test_a_request_that_has_no_method_of_its_own_reaches_klipper_as_it_is(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        params = {"mesh_args": {"a": [1, None, "x"]}}
        assert await pass_on(here, "printer.bed_mesh.dump_mesh", params) == MESH
        assert here.wire.requests[-1]["params"] == params
        assert await pass_on(here, "printer.pause_resume.pause") == "ok"
        here.wire.script["pause_resume/pause"] = refuse("Nothing is printing")
        with pytest.raises(Refused, match="Nothing is printing"):
            await pass_on(here, "printer.pause_resume.pause")
        with pytest.raises(MethodNotFound):
            await pass_on(here, "printer.nosuch")

    play_scene(tmp_path, body)


def test_whoever_pauses_by_klippers_own_name_is_credited(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.print_stats(state="printing", filename="a.gcode")
        await pass_on(here, "printer.pause_resume.pause")
        await here.print_stats(state="paused", filename="a.gcode")
        await here.facts("print", 2)
        assert events_of(here, "print")[-1] == ("print.paused.1", "bob")

    play_scene(tmp_path, body)


def test_a_restart_by_klippers_own_name_succeeds_when_klipper_goes(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["gcode/restart"] = hang_up
        assert await pass_on(here, "printer.gcode.restart") == "ok"

    play_scene(tmp_path, body)


def test_while_klipper_starts_it_is_not_known_what_it_will_know(tmp_path: Path) -> None:
    async def main() -> None:
        bus, wire = RecordingBus(tmp_path), KlipperWire(tmp_path / "klippy.sock")
        async with wire:
            wire.become("startup", "Printer is not ready")
            agent = Klippy(bus, KlippySettings(socket=wire.path))
            async with running(agent):
                here = Scene(agent, bus, wire)
                await here.shown("startup")
                with pytest.raises(Unavailable, match="starting"):
                    await pass_on(here, "printer.nosuch")
                wire.become("ready", "Printer is ready")
                await here.shown("ready")
                with pytest.raises(MethodNotFound):
                    await pass_on(here, "printer.nosuch")

    asyncio.run(main())


def test_gcode_is_told_before_klipper_can_say_anything_about_it(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        def talk(connection: Connection, request: Any) -> None:
            connection.send({"method": "process_gcode_response", "params": {"response": "// done"}})
            connection.result(request, {})

        here.wire.script["gcode/script"] = talk
        await here.call(printer.GCODE_SCRIPT, {"script": "G28"})
        await here.call(printer.PRINT_START, {"filename": '/a "b".gcode'})
        told = [topic.rpartition("/")[2] for topic, _, _ in here.bus.published]
        kept = [name for name in told if name in ("gcode", "notify_gcode_response")]
        assert kept == ["gcode", "notify_gcode_response"] * 2
        scripts = [message["script"] for message in here.bus.messages("rig/klipper/gcode")]
        assert scripts == ["G28", 'SDCARD_PRINT_FILE FILENAME="a \\"b\\".gcode"']

    play_scene(tmp_path, body)


WRONG: list[tuple[AnyMethod, Any]] = [
    (printer.OBJECTS_QUERY, {}),
    (printer.OBJECTS_QUERY, {"objects": []}),
    (printer.OBJECTS_QUERY, {"objects": {"toolhead": "position"}}),
    (printer.OBJECTS_QUERY, {"objects": {"toolhead": [1]}}),
    (printer.OBJECTS_SUBSCRIBE, {"objects": {"toolhead": 5}}),
    (printer.GCODE_SCRIPT, {}),
    (printer.GCODE_SCRIPT, {"script": 5}),
    (printer.PRINT_START, {}),
    (printer.PRINT_START, {"filename": ["a"]}),
]


@pytest.mark.parametrize(("row", "params"), WRONG)
def test_params_of_the_wrong_kind_do_not_pass_the_table(row: AnyMethod, params: Any) -> None:
    with pytest.raises(ValidationError):
        row.params.model_validate(params)


COMMANDS: list[tuple[AnyMethod, Any, str, Message]] = [
    (printer.EMERGENCY_STOP, {}, "emergency_stop", {}),
    (printer.RESTART, {}, "gcode/restart", {}),
    (printer.FIRMWARE_RESTART, {}, "gcode/firmware_restart", {}),
    (printer.GCODE_SCRIPT, {"script": "G28\nM117 \x03 é"}, "gcode/script", {"script": "G28\nM117 \x03 é"}),
    (printer.PRINT_START, {"filename": "/a.g"}, "gcode/script", {"script": 'SDCARD_PRINT_FILE FILENAME="a.g"'}),
    (printer.PRINT_PAUSE, {}, "pause_resume/pause", {}),
    (printer.PRINT_RESUME, {}, "pause_resume/resume", {}),
    (printer.PRINT_CANCEL, {}, "pause_resume/cancel", {}),
]


@pytest.mark.parametrize(("row", "params", "method", "sent"), COMMANDS, ids=lambda value: getattr(value, "name", ""))
def test_a_command_is_sent_and_klippers_refusal_comes_back_in_its_words(
    tmp_path: Path, row: AnyMethod, params: Any, method: str, sent: Message
) -> None:
    async def body(here: Scene) -> None:
        here.wire.script[method] = refuse("Must home axis first\nsecond line")
        with pytest.raises(Refused) as refused:
            await here.call(row, params)
        assert refused.value.message == "Must home axis first\nsecond line"
        assert (here.wire.requests[-1]["method"], here.wire.requests[-1]["params"]) == (method, sent)

    play_scene(tmp_path, body)


@pytest.mark.parametrize("empty", [{}, None])
def test_an_empty_result_is_ok(tmp_path: Path, empty: Any) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["gcode/script"] = lambda connection, request: connection.result(request, empty)
        assert await here.call(printer.GCODE_SCRIPT, {"script": "G28"}) == "ok"

    play_scene(tmp_path, body)


def test_a_file_name_that_holds_a_command_never_reaches_klipper(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        with pytest.raises(InvalidParams):
            await here.call(printer.PRINT_START, {"filename": "a\nM112"})
        assert "gcode/script" not in here.wire.methods()

    play_scene(tmp_path, body)


def test_text_that_is_not_text_never_reaches_klipper(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        with pytest.raises(InvalidParams):
            await here.call(printer.GCODE_SCRIPT, {"script": "M117 \ud83d"})

    play_scene(tmp_path, body)


@pytest.mark.parametrize("row", [printer.RESTART, printer.FIRMWARE_RESTART], ids=lambda row: row.name)
def test_losing_the_link_is_a_restarts_success(tmp_path: Path, row: AnyMethod) -> None:
    async def body(here: Scene) -> None:
        restart = "gcode/restart" if row is printer.RESTART else "gcode/firmware_restart"
        here.wire.script[restart] = lambda connection, request: connection.close()
        assert await here.call(row) == "ok"
        await here.shown("disconnected")
        assert (await here.facts("printer", 3))[-1][0] == "printer.disconnected.1"
        assert events_of(here, "printer")[-1] == ("printer.disconnected.1", "alice")

    play_scene(tmp_path, body)


def test_answers_may_come_out_of_order(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        waiting: list[tuple[Connection, Message]] = []
        here.wire.script["gcode/script"] = lambda connection, request: waiting.append((connection, request))
        first = start_call(here.agent, printer.GCODE_SCRIPT, {"script": "G28"})
        second = start_call(here.agent, printer.GCODE_SCRIPT, {"script": "G1 X9999"})
        assert await here.call(printer.GCODE_HELP) == {"G28": "Home", "RESTART": "Reload config file"}
        waiting[1][0].error(waiting[1][1], "Move out of range")
        with pytest.raises(Refused, match="out of range"):
            await second
        assert not first.done()
        waiting[0][0].result(waiting[0][1], {})
        assert await first == "ok"

    play_scene(tmp_path, body)


# ---- queries and subscriptions


def test_queries_are_answered_without_asking_klipper(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        asked = len(here.wire.requests)
        await here.status("extruder", "temperature", 60.5)
        wanted = {"extruder": ["temperature", "nosuch"], "nosuchobj": None, "toolhead": [], "configfile": ["config"]}
        assert await here.call(printer.OBJECTS_QUERY, {"objects": wanted}) == {
            "eventtime": here.wire.eventtime,
            "status": {
                "extruder": {"temperature": 60.5, "nosuch": None},
                "nosuchobj": {},
                "toolhead": {},
                "configfile": {"config": {"printer": {"kinematics": "cartesian"}}},
            },
        }
        assert await here.call(printer.OBJECTS_LIST) == {"objects": list(here.wire.status)}
        assert len(here.wire.requests) == asked

    play_scene(tmp_path, body)


def test_a_subscription_is_the_full_state_and_the_revision_it_contains(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        wanted = {"objects": {"extruder": None, "toolhead": ["homed_axes"]}}
        first = await here.call(printer.OBJECTS_SUBSCRIBE, wanted)
        await here.status("extruder", "target", 200.0)
        delta = here.bus.messages("rig/klipper/delta")[-1]
        assert delta == {
            "revision": first["revision"] + 1,
            "eventtime": here.wire.eventtime,
            "status": {"extruder": {"target": 200.0}},
        }
        second = await here.call(printer.OBJECTS_SUBSCRIBE, wanted)
        assert second["status"] == {"extruder": {"temperature": 22.0, "target": 200.0}, "toolhead": {"homed_axes": ""}}
        assert (second["revision"], "topics" in second) == (delta["revision"], False)

    play_scene(tmp_path, body)


def test_an_mqtt_client_is_told_where_the_changes_are(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        wanted = {"objects": {"extruder": None, "toolhead": ["homed_axes"]}}
        topics = (await here.call(printer.OBJECTS_SUBSCRIBE, wanted, BOB))["topics"]
        assert topics == ["rig/klipper/state/extruder/+", "rig/klipper/state/toolhead/homed_axes"]
        assert here.bus.retained[topics[1]] == {"eventtime": 100.0, "value": ""}

    play_scene(tmp_path, body)


def test_the_deltas_add_up_to_what_is_queried(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        for step in range(30):
            here.wire.change({"toolhead": {"position": [step, 0, 0, 0]}, "fan": {"speed": step / 30}})
        await here.status("extruder", "temperature", 99.0)
        built: dict[str, Message] = {}
        for delta in here.bus.messages("rig/klipper/delta"):
            for name, fields in delta["status"].items():
                built.setdefault(name, {}).update(fields)
        revisions = [delta["revision"] for delta in here.bus.messages("rig/klipper/delta")]
        assert revisions == list(range(1, len(revisions) + 1))
        whole = await here.call(printer.OBJECTS_QUERY, {"objects": dict.fromkeys(built)})
        assert whole["status"] == built
        assert [set(message) for message in here.bus.messages("rig/klipper/status")] == [{"eventtime", "status"}] * len(
            revisions
        )

    play_scene(tmp_path, body)


# ---- start-up, states and announcements


def test_start_up_asks_in_klippers_order(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        assert here.wire.methods() == [
            "info",
            "list_endpoints",
            "gcode/subscribe_output",
            "objects/list",
            "objects/subscribe",
        ]
        assert here.wire.requests[0]["params"]["client_info"]["program"] == "printbus"
        assert here.wire.requests[-1]["params"]["objects"] == dict.fromkeys(here.wire.status)
        assert here.states() == ["disconnected", "startup", "ready"]
        assert here.bus.retained["rig/state/klippy/server"] == {
            "klippy_connected": True,
            "klippy_state": "ready",
            "missing_klippy_requirements": [],
            "state_message": "Printer is ready",
        }

    play_scene(tmp_path, body)


def test_missing_requirements_are_named(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        del here.wire.status["pause_resume"], here.wire.status["display_status"]
        await here.wire.listen()
        await here.shown("ready")
        missing = here.bus.retained["rig/state/klippy/server"]["missing_klippy_requirements"]
        assert missing == ["display_status", "pause_resume"]

    play_scene(tmp_path, body, listening=False)


OFFERS = "rig/state/+/remote_methods"


def offer(here: Scene, agent: str, *methods: str) -> None:
    """What an agent says about its methods for macros; None of them: it is gone."""
    here.bus.say(f"rig/state/{agent}/remote_methods", {"methods": methods} if methods else None, to=OFFERS)


def console(here: Scene) -> list[str]:
    return [params[0] for name, params in here.bus.notifications() if name == "notify_gcode_response"]


@pytest.mark.parametrize("refused", [False, True])
def test_remote_methods_are_registered_before_ready_is_announced(tmp_path: Path, refused: bool) -> None:
    async def body(here: Scene) -> None:
        def register(connection: Connection, request: Message) -> None:
            assert READY not in here.bus.notifications()
            assert request["params"] == {"remote_method": "set_lamp", "response_template": {"method": "set_lamp"}}
            refuse("taken")(connection, request) if refused else connection.result(request, {})

        here.wire.script["register_remote_method"] = register
        offer(here, "light", "set_lamp")
        await here.wire.listen()
        await here.shown("ready")
        here.wire.push("set_lamp", {"on": True})
        await here.bus.until(lambda: here.bus.messages("rig/agent/light/macro"))
        assert here.bus.messages("rig/agent/light/macro") == [{"method": "set_lamp", "params": {"on": True}}]

    play_scene(tmp_path, body, listening=False)


def test_remote_methods_that_come_later_are_registered_once_and_belong_to_who_was_first(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        before = len(here.wire.requests)
        for agent in ("light", "lamp", "light"):
            offer(here, agent, "set_lamp")
        offer(here, "lamp", "set_lamp", "dim", "process_status_update")
        here.wire.push("set_lamp", {})
        here.wire.push("dim", {"to": 5})
        await here.bus.until(lambda: here.bus.messages("rig/agent/lamp/macro"))
        assert here.bus.messages("rig/agent/light/macro") == [{"method": "set_lamp", "params": {}}]
        assert here.bus.messages("rig/agent/lamp/macro") == [{"method": "dim", "params": {"to": 5}}]
        await here.wire.asked(before + 2)
        asked = [request["params"] for request in here.wire.requests if request["method"] == "register_remote_method"]
        assert [params["remote_method"] for params in asked] == ["set_lamp", "dim"]

    play_scene(tmp_path, body)


def test_a_macro_that_calls_what_nobody_offers_any_more_is_told_so_on_the_console(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        offer(here, "light", "set_lamp")
        offer(here, "lamp", "set_lamp")
        offer(here, "light")
        here.wire.push("set_lamp", {"on": 1})
        await here.bus.until(lambda: here.bus.messages("rig/agent/lamp/macro"))  # who was second has it now
        offer(here, "lamp")
        here.wire.push("set_lamp", {"on": 1})
        await here.bus.until(lambda: console(here))
        assert console(here) == ["!! Remote method 'set_lamp': nobody offers it any more"]

    play_scene(tmp_path, body)


def test_all_remote_methods_are_registered_anew_after_a_restart(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        offer(here, "light", "set_lamp", "dim")
        await here.wire.stop()
        await here.shown("disconnected")
        here.wire.requests.clear()
        await here.wire.listen()
        await here.shown("ready")
        assert here.wire.methods().count("register_remote_method") == 2

    play_scene(tmp_path, body)


@pytest.mark.parametrize("tick", [True, False])
def test_a_klipper_that_starts_up_is_asked_only_for_what_it_has(tmp_path: Path, tick: bool) -> None:
    async def body(here: Scene) -> None:
        here.wire.become("startup", "not yet")
        await here.wire.listen()
        await here.shown("startup")
        await here.bus.until(lambda: here.bus.messages("rig/klipper/delta"))
        assert here.wire.requests[-1]["params"]["objects"] == {"webhooks": None, "configfile": None}
        status = (await here.call(printer.OBJECTS_QUERY, {"objects": {"webhooks": None}}))["status"]
        assert status == {"webhooks": {"state": "startup", "state_message": "not yet"}}
        here.wire.become("ready", "Printer is ready", tick=tick)
        await here.shown("ready")
        assert here.bus.notifications() == [READY]
        assert (await here.call(printer.OBJECTS_QUERY, {"objects": {"extruder": ["target"]}}))["status"] == {
            "extruder": {"target": 0.0}
        }

    play_scene(tmp_path, body, listening=False)


def test_a_broken_configuration_is_shown_with_its_reason(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.become("error", "Section 'nosuchsection' is not a valid config section")
        await here.wire.listen()
        await here.shown("error")
        assert "nosuchsection" in here.bus.retained["rig/state/klippy/server"]["state_message"]
        assert (await here.facts("printer", 2))[-1][0] == "printer.failed.1"
        await here.bus.until(lambda: here.bus.messages("rig/klipper/delta"))
        assert (await here.call(printer.OBJECTS_QUERY, {"objects": {"configfile": ["warnings"]}}))["status"] == {
            "configfile": {"warnings": []}
        }
        assert here.bus.notifications() == []

    play_scene(tmp_path, body, listening=False)


def test_a_klipper_found_shut_down_still_has_all_its_objects(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.become("shutdown", "MCU lost")
        await here.wire.listen()
        await here.shown("shutdown")
        assert here.bus.notifications() == [SHUTDOWN]
        assert (await here.call(printer.OBJECTS_QUERY, {"objects": {"extruder": ["target"]}}))["status"] == {
            "extruder": {"target": 0.0}
        }

    play_scene(tmp_path, body, listening=False)


def test_printer_info_is_current_at_once(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.become("shutdown", "stopped", tick=False)
        info = await here.call(printer.INFO)
        assert (info["state"], info["state_message"], info["process_id"]) == ("shutdown", "stopped", 4822)
        webhooks = await here.call(printer.OBJECTS_QUERY, {"objects": {"webhooks": None}})
        assert webhooks["status"]["webhooks"] == {"state": "shutdown", "state_message": "stopped"}

    play_scene(tmp_path, body)


def test_simultaneous_infos_are_one_question(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        before = here.wire.methods().count("info")
        calls = [start_call(here.agent, printer.INFO) for _ in range(500)]
        assert {answer["state"] for answer in await asyncio.gather(*calls)} == {"ready"}
        assert here.wire.methods().count("info") == before + 1

    play_scene(tmp_path, body)


def test_an_emergency_stop_is_announced_in_the_recorded_order(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        def stop(connection: Connection, request: Message) -> None:
            here.wire.become("shutdown", "Shutdown due to webhooks request", tick=False)
            here.wire.say("// Klipper state: Shutdown")
            connection.result(request, {})

        here.wire.script["emergency_stop"] = stop
        assert await here.call(printer.EMERGENCY_STOP) == "ok"
        await here.shown("shutdown")
        await here.wire.stop()
        await here.shown("disconnected")
        await here.wire.listen()
        here.wire.become("startup", "", tick=False)
        await here.shown("startup")
        here.wire.become("ready", "", tick=False)
        await here.shown("ready")
        line = ("notify_gcode_response", ["// Klipper state: Shutdown"])
        assert here.bus.notifications() == [READY, line, SHUTDOWN, DISCONNECTED, READY]
        await here.facts("printer", 6)
        assert events_of(here, "printer") == [
            ("printer.connected.1", None),
            ("printer.ready.1", None),
            ("printer.shutdown.1", "alice"),
            ("printer.disconnected.1", None),
            ("printer.connected.1", None),
            ("printer.ready.1", None),
        ]

    play_scene(tmp_path, body)


def test_a_shutdown_is_announced_even_when_a_restart_follows_at_once(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.script["info"] = never
        here.wire.say("// Klipper state: Shutdown")
        here.wire.say("// Klipper state: Disconnect")
        await here.wire.stop()
        await here.shown("disconnected")
        assert here.bus.notifications()[1:] == [
            ("notify_gcode_response", ["// Klipper state: Shutdown"]),
            ("notify_gcode_response", ["// Klipper state: Disconnect"]),
            SHUTDOWN,
            DISCONNECTED,
        ]

    play_scene(tmp_path, body)


def test_a_macro_that_says_shutdown_is_not_believed(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.say("// Klipper state: Shutdown")
        await here.bus.until(lambda: here.bus.notifications()[-1][0] == "notify_gcode_response")
        await here.call(printer.INFO)
        await here.wire.stop()
        await here.shown("disconnected")
        assert SHUTDOWN not in here.bus.notifications()

    play_scene(tmp_path, body)


def test_field_topics_are_cleared_when_klipper_goes(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        fields = [topic for topic in here.bus.retained if topic.startswith("rig/klipper/state/")]
        assert "rig/klipper/state/webhooks/state" in fields
        await here.wire.stop()
        await here.shown("disconnected")
        assert set(here.bus.retained) == {STATE_TOPIC, "rig/state/klippy/server"}
        with pytest.raises(Unavailable):
            await here.call(printer.OBJECTS_QUERY, {"objects": {"extruder": None}})

    play_scene(tmp_path, body)


def test_console_lines_are_notifications_and_nothing_else(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.say("!! Must home axis first")
        await here.status("extruder", "target", 5.0)
        assert here.bus.notifications()[1:] == [("notify_gcode_response", ["!! Must home axis first"])]
        assert {stream for stream, _ in here.bus.events} == {"printer"}

    play_scene(tmp_path, body)


def test_the_agent_leaves_an_honest_state_behind(tmp_path: Path) -> None:
    async def main() -> RecordingBus:
        async with scene(tmp_path) as here:
            pass
        return here.bus

    bus = asyncio.run(main())
    assert bus.retained[STATE_TOPIC]["state"] == "disconnected"
    assert bus.retained["rig/state/klippy/server"]["klippy_connected"] is False


# ---- prints


def test_a_print_is_told_with_who_asked_for_what(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.call(printer.PRINT_START, {"filename": "/dir/a.gcode"})
        await here.print_stats(filename="dir/a.gcode", state="printing", total_duration=0.2)
        await here.call(printer.GCODE_SCRIPT, {"script": "PAUSE"}, BOB)
        await here.print_stats(state="paused", total_duration=1.0)
        await here.call(printer.PRINT_RESUME)
        await here.print_stats(state="printing", total_duration=2.0)
        await here.print_stats(state="complete", total_duration=3.0, print_duration=2.5, filament_used=12.0)
        assert (await here.facts("print", 4))[-1] == (
            "print.ended.1",
            {
                "filename": "dir/a.gcode",
                "how": "completed",
                "print_duration": 2.5,
                "total_duration": 3.0,
                "filament_used": 12.0,
                "message": "",
            },
        )
        assert events_of(here, "print") == [
            ("print.started.1", "alice"),
            ("print.paused.1", "bob"),
            ("print.resumed.1", "alice"),
            ("print.ended.1", None),
        ]

    play_scene(tmp_path, body)


def test_a_cancelled_print_is_the_callers(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        await here.print_stats(filename="a.gcode", state="printing", total_duration=0.2)
        await here.call(printer.PRINT_CANCEL, None, BOB)
        await here.print_stats(state="cancelled")
        await here.facts("print", 2)
        assert events_of(here, "print") == [("print.started.1", None), ("print.ended.1", "bob")]

    play_scene(tmp_path, body)


@pytest.mark.parametrize("how", ["shutdown", "lost"])
def test_a_print_that_klipper_drops_is_interrupted(tmp_path: Path, how: str) -> None:
    async def body(here: Scene) -> None:
        await here.print_stats(filename="a.gcode", state="printing", total_duration=0.2)
        if how == "shutdown":
            here.wire.become("shutdown", "MCU lost")
            await here.shown("shutdown")
            await here.print_stats(state="error", message="MCU lost")
        await here.wire.stop()
        await here.shown("disconnected")
        (_, started), (kind, ended) = await here.facts("print", 2)
        assert (started, kind, ended["how"]) == ({"filename": "a.gcode"}, "print.ended.1", "interrupted")
        assert ended["message"] == ("MCU lost" if how == "shutdown" else "The connection to Klipper was lost")

    play_scene(tmp_path, body)


def test_a_print_found_running_is_told_after_ready(tmp_path: Path) -> None:
    async def body(here: Scene) -> None:
        here.wire.status["print_stats"] |= {"filename": "a.gcode", "state": "paused", "total_duration": 9.0}
        await here.wire.listen()
        assert await here.facts("print", 2) == [
            ("print.started.1", {"filename": "a.gcode", "found": True, "total_duration": 9.0}),
            ("print.paused.1", {"filename": "a.gcode"}),
        ]
        kinds = [event.type for _, event in here.bus.events]
        assert kinds == ["printer.connected.1", "printer.ready.1", "print.started.1", "print.paused.1"]

    play_scene(tmp_path, body, listening=False)
