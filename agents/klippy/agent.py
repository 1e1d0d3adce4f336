"""The klippy agent: keeps a link to Klipper, its objects in a cache, and answers the printer methods."""

import asyncio
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from bus.agent import Agent, Bus, Call, Host, Raw, Settings, implements
from bus.envelope import dumps
from bus.errors import BusError, Unavailable
from schemas import NoParams, Notification, klippy, printer
from schemas.extensions import CONSOLE_LINE, STATUS_UPDATE

from . import simulation, startup
from .cache import Cache, Status, Wanted, read_status
from .chronicle import DISCONNECTED, SHUTDOWN, Chronicle
from .endpoints import EFFECTS, Endpoints
from .gcode import print_file
from .link import LOST, NOT_CONNECTED, Link, connect, settle
from .prints import STARTED, Stats
from .publishing import Publisher
from .remote_methods import RemoteMethods
from .state import State
from .story import LastPrint
from .tunnels import Tunnels

log = logging.getLogger(__name__)

RETRY_FIRST = 0.25  # seconds between attempts to connect
RETRY_GROWTH = 1.1  # slowly: after a restart Klipper's socket is back within seconds
RETRY_MAX = 2.0
SILENCE = 30.0  # seconds without a word after which Klipper is asked whether it is there, and again until it answered
DEFAULT_SOCKET = Path("comms", "klippy.sock")  # in the data folder
STATE_LINE = "// Klipper state: "
LOADED = (State.READY, State.SHUTDOWN)  # Klipper has all its objects
OK = "ok"
PRINT: Wanted = {"print_stats": ["state", "filename"]}
SETTLED = 1.0  # seconds after an answer by which Klipper has told what the command changed (four times a second)
ANNOUNCED: Mapping[State, Notification] = {
    State.READY: printer.KLIPPY_READY,
    State.SHUTDOWN: printer.KLIPPY_SHUTDOWN,
    State.DISCONNECTED: printer.KLIPPY_DISCONNECTED,
}

Answer = asyncio.Future[Any]


class KlippySettings(Settings):
    """Where Klipper is."""

    socket: Path | None = None  # default: comms/klippy.sock in the data folder
    virtual: bool | None = None  # a simulated printer; default: where nothing points to a Klipper
    speed: float = Field(1.0, gt=0)  # of the simulated printer


class Klippy(Agent):
    """Klipper on the bus."""

    name = "klippy"
    components = ("klippy_connection", "klippy_apis")
    folds = (LastPrint,)
    settings_model = KlippySettings
    settings: KlippySettings

    def __init__(self, bus: Bus, settings: KlippySettings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        self._link: Link | None = None
        self._retry = RETRY_FIRST
        self._reason = ""  # why there was no connection the last time
        self._state, self._message = State.DISCONNECTED, NOT_CONNECTED  # as shown
        self._klipper, self._saying = State.STARTUP, ""  # what Klipper says of itself
        self._following = False  # everything is subscribed
        self._news = asyncio.Event()  # Klipper's state or the link changed
        self._info: Answer | None = None  # the latest question for it
        self._answered = -math.inf  # when Klipper answered a command last
        self._going_down = False  # the console says so, Klipper's info not yet
        self._names: list[str] = []
        self._endpoints = Endpoints()
        self._tunnels = Tunnels(bus)
        self._cache = Cache()
        self._publisher = Publisher(bus, self._cache)
        self._chronicle = Chronicle(bus)
        self._receivers = {STATUS_UPDATE: self._on_status, CONSOLE_LINE: self._on_console}
        self._remote_methods = RemoteMethods(bus, self._receivers)

    async def run(self) -> None:
        """Connects for ever; ends only by being cancelled."""
        self._publish_state()
        path, gcodes = self.settings.socket or self.bus.data / DEFAULT_SOCKET, self.bus.data / "gcodes"
        virtual = self.settings.virtual
        if virtual is None:
            virtual = self.settings.socket is None and simulation.wanted(self.bus.data, path)
        if virtual:
            path = self.bus.data / simulation.SOCKET
        self._tunnels.start(path)
        self._remote_methods.start()
        await self._chronicle.recall(self.host)
        try:
            async with asyncio.TaskGroup() as tasks:
                if virtual:
                    tasks.create_task(
                        simulation.simulate(path, gcodes, self.settings.speed), name="klippy: virtual printer"
                    )
                tasks.create_task(self._chronicle.record.run(), name="klippy: record")
                tasks.create_task(self._stay_connected(path), name="klippy: link")
        finally:
            self._tunnels.close("The klippy agent has stopped")
            if self._link is not None:
                self._link.close()

    async def _stay_connected(self, path: Path) -> None:
        while True:
            try:
                self._link = await connect(path, self._on_message, self._on_lost)
                await self._attend(self._link)
            except (OSError, BusError) as error:
                self._explain(path, error)
            await asyncio.sleep(self._retry)
            self._retry = min(self._retry * RETRY_GROWTH, RETRY_MAX)

    def _explain(self, path: Path, error: Exception) -> None:
        reason = str(error) or "Klipper does not answer"
        if reason != self._reason:
            log.info("no connection to Klipper at %s: %s", path, reason)
        self._reason = reason

    async def _attend(self, link: Link) -> None:
        """One connection, from its opening to its loss; raises BusError or TimeoutError."""
        try:
            self._on_identified(await startup.identify(link))
            log.info("connected to Klipper")
            self._endpoints = Endpoints(await startup.endpoints(link))
            await startup.follow_console(link)
            self._names = await startup.objects(link)
            if self._klipper in startup.POLL:
                await startup.subscribe(link, startup.SAFE, self._on_full_state)
                await self._until_loaded(link)
                self._endpoints = Endpoints(await startup.endpoints(link))
                self._names = await startup.objects(link)
            await startup.subscribe(link, self._names, self._on_full_state)
            await self._remote_methods.register(link)
            self._on_followed()
            await self._until_lost(link)
        except asyncio.CancelledError:
            self._chronicle.leave()
            raise
        finally:
            link.close()

    async def _until_loaded(self, link: Link) -> None:
        """Asks in case an update is missed; a Klipper in error stays so until it restarts, and the link with it."""
        while not link.closed and self._klipper in startup.POLL:
            await self._wait(startup.POLL[self._klipper])
            if not link.closed:
                self._ask_info(link)

    async def _until_lost(self, link: Link) -> None:
        while not link.closed:
            link.heard = False
            await self._wait(SILENCE)
            if not link.closed and not link.heard:
                async with asyncio.timeout(SILENCE):
                    await asyncio.shield(self._ask_info(link))

    async def _wait(self, seconds: float) -> None:
        """Until Klipper's state or the link changes, or the time has passed."""
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    def _on_identified(self, info: dict[str, Any]) -> None:
        self._going_down = False
        self._chronicle.connected(info)
        self._observe(info)

    def _on_followed(self) -> None:
        self._following = True
        self._retry, self._reason = RETRY_FIRST, ""
        self._show()
        self._follow_print()

    def _on_lost(self, link: Link) -> None:
        self._news.set()
        if link is not self._link:
            return
        self._link, self._info, self._following, self._names = None, None, False, []
        self._endpoints = Endpoints()
        self._cache.clear()
        self._publisher.gone()
        if self._state is State.DISCONNECTED:
            return
        if self._klipper is State.SHUTDOWN or self._going_down:
            self._become(State.SHUTDOWN, self._saying if self._klipper is State.SHUTDOWN else "Klipper has shut down")
        self._become(State.DISCONNECTED, LOST)

    def _on_message(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params")
        if not isinstance(method, str) or not isinstance(params, dict):
            raise ValueError("neither an answer nor a call")
        receiver = self._receivers.get(method)
        if receiver is not None:
            receiver(params)
        elif not self._remote_methods.called(method, params):
            raise ValueError("a call of something that was not registered")

    def _on_console(self, params: dict[str, Any]) -> None:
        line = params.get("response")
        if not isinstance(line, str):
            raise ValueError("a console line that is not text")
        self.notify(printer.GCODE_RESPONSE, [line])
        if line.startswith(STATE_LINE) and self._link is not None:
            self._going_down = line.endswith("Shutdown") or self._going_down
            self._ask_info(self._link)

    def _on_status(self, params: dict[str, Any]) -> None:
        self._changed(*read_status(params))

    def _on_full_state(self, eventtime: float, status: Status) -> None:
        body = dumps(status)  # what cannot be shown must not be remembered
        self._cache.replace(eventtime, status)
        self._publisher.changed(status, body)
        if "webhooks" in status:
            self._observe(status["webhooks"])

    def _changed(self, eventtime: float, status: Status) -> None:
        body = dumps(status)
        self._cache.merge(eventtime, status)
        self._publisher.changed(status, body)
        if "webhooks" in status:
            self._observe(self._cache.status["webhooks"])
        if "print_stats" in status:
            self._follow_print()

    def _ask_info(self, link: Link) -> Answer:
        """One question at a time: an answer on its way is as current as another one would be."""
        if self._info is None or self._info.done():
            self._info = link.request("info", first=self._on_info, urgent=True)
            self._info.add_done_callback(_retrieved)
        return self._info

    def _on_info(self, info: Any) -> None:
        """Klipper's own answer comes up to a tick earlier than the update of `webhooks`; queries must agree with it."""
        startup.read_info(info)
        self._going_down = False
        said = {"state": info["state"], "state_message": info.get("state_message", "")}
        if self._following and self._cache.status.get("webhooks") != said:
            self._changed(self._cache.eventtime or 0.0, {"webhooks": said})
        else:
            self._observe(said)

    def _observe(self, said: dict[str, Any]) -> None:
        """Takes in what Klipper says of itself; that it is loaded counts only once everything is subscribed."""
        self._klipper, self._saying = startup.read_info(said)
        self._news.set()
        self._show()

    def _show(self) -> None:
        unfinished = self._klipper in LOADED and not self._following
        self._become(State.STARTUP if unfinished else self._klipper, self._saying)

    def _become(self, state: State, message: str) -> None:
        if (state, message) == (self._state, self._message):
            return
        moved, self._state, self._message = state is not self._state, state, message
        self._publish_state()
        if moved and state in ANNOUNCED:
            self.notify(ANNOUNCED[state])
        if moved:
            self._chronicle.moved(state, message)

    def _publish_state(self) -> None:
        missing = [name for name in startup.REQUIRED if name not in self._names] if self._following else []
        self._publisher.state(self._state, self._message, missing)

    def _follow_print(self) -> None:
        if self._following:
            self._chronicle.print_stats(self._cache.status.get("print_stats", {}))

    def _connected(self) -> Link:
        if self._link is None or self._state is State.DISCONNECTED:
            raise Unavailable(NOT_CONNECTED)
        return self._link

    def _eventtime(self) -> float:
        self._connected()
        if self._cache.eventtime is None:
            raise Unavailable("Klipper's objects are not known yet")
        return self._cache.eventtime

    def _command(
        self, link: Link | None, method: str, params: dict[str, Any], *, urgent: bool = False, restart: bool = False
    ) -> Answer:
        if link is None:
            raise Unavailable(NOT_CONNECTED)
        answer: Answer = asyncio.get_running_loop().create_future()

        def answered(result: Any, error: BusError | None) -> None:
            self._answered = asyncio.get_running_loop().time()
            settle(answer, result or OK, None if restart and link.closed else error)

        link.send(method, params, answered, urgent=urgent)
        return answer

    @implements(printer.EMERGENCY_STOP)
    def emergency_stop(self, params: NoParams, call: Call) -> Answer:
        """Before anything else, and whatever Klipper said so far."""
        answer = self._command(self._link, "emergency_stop", {}, urgent=True)
        self._chronicle.credits.asked(SHUTDOWN, call.actor, answer)
        return answer

    @implements(printer.INFO)
    def info(self, params: NoParams, call: Call) -> Answer:
        """Asks Klipper, which answers at once."""
        return self._ask_info(self._connected())

    @implements(printer.RESTART)
    def restart(self, params: NoParams, call: Call) -> Answer:
        """Answers when Klipper does, or has gone."""
        return self._asked("gcode/restart", {}, call)

    @implements(printer.FIRMWARE_RESTART)
    def firmware_restart(self, params: NoParams, call: Call) -> Answer:
        """The same."""
        return self._asked("gcode/firmware_restart", {}, call)

    def _run(self, script: str) -> Answer:
        """Sends gcode, and tells of it before Klipper can say anything about it."""
        answer = self._command(self._connected(), "gcode/script", {"script": script})
        self.bus.publish(self.bus.topics.klipper_gcode, dumps({"script": script}))
        return answer

    def _asked(self, path: str, params: dict[str, Any], call: Call) -> Answer:
        """Sends a request for somebody, who is credited with its effect; losing the link is what a restart does."""
        effect = EFFECTS.get(path)
        answer = self._command(self._connected(), path, params, restart=effect == DISCONNECTED)
        if effect is not None:
            self._chronicle.credits.asked(effect, call.actor, answer)
        return answer

    @implements(printer.OBJECTS_LIST)
    def list_objects(self, params: NoParams, call: Call) -> Raw:
        """From memory."""
        self._eventtime()
        return Raw(dumps({"objects": self._names}))

    @implements(printer.OBJECTS_QUERY)
    def query(self, params: printer.ObjectsParams, call: Call) -> Raw:
        """From the cache: Klipper would answer only on its next tick."""
        return Raw(dumps({"eventtime": self._eventtime(), "status": self._cache.query(params.objects)}))

    @implements(printer.OBJECTS_SUBSCRIBE)
    def subscribe(self, params: printer.SubscribeParams, call: Call) -> Raw:
        """The full state; changes are on the delta topic, from the revision after this one."""
        answer: dict[str, Any] = {
            "eventtime": self._eventtime(),
            "status": self._cache.query(params.objects),
            "revision": self._cache.revision,
        }
        if call.actor.transport == "mqtt":
            answer["topics"] = self._publisher.topics(params.objects)
        return Raw(dumps(answer))

    @implements(klippy.OBJECTS_NOW)
    def objects_now(self, params: printer.ObjectsParams, call: Call) -> Answer:
        """Asks Klipper, which has all its objects by then."""
        self._eventtime()
        if self._klipper not in LOADED:
            raise Unavailable("Klipper is not ready")
        return self._connected().request("objects/query", {"objects": params.objects})

    @implements(klippy.LOADED_FILE)
    async def loaded_file(self, params: NoParams, call: Call) -> klippy.LoadedFile:
        """From the cache, but for what a command may just have changed."""
        if self._link is None and self._reason:
            return klippy.LoadedFile(filename=None)
        self._eventtime()
        status = self._cache.query(PRINT)
        if asyncio.get_running_loop().time() - self._answered < SETTLED and self._klipper in LOADED:
            status = (await self._connected().request("objects/query", {"objects": PRINT}))["status"]
        stats = Stats.of(status.get("print_stats", {}))
        return klippy.LoadedFile(filename=stats.filename or None if stats.active else None)

    @implements(printer.QUERY_ENDSTOPS)
    def query_endstops(self, params: NoParams, call: Call) -> Answer:
        """Asks Klipper, which waits for its moves to end."""
        return self._connected().request("query_endstops/status")

    @implements(printer.GCODE_HELP)
    def help(self, params: NoParams, call: Call) -> Answer:
        """Asks Klipper."""
        return self._connected().request("gcode/help")

    @implements(printer.GCODE_SCRIPT)
    def script(self, params: printer.ScriptParams, call: Call) -> Answer:
        """Answers when all of it has run."""
        answer = self._run(params.script)
        self._chronicle.credits.asked_by_script(params.script, call.actor, answer)
        return answer

    @implements(printer.PRINT_START)
    def start(self, params: printer.PrintParams, call: Call) -> Answer:
        """Answers when the file is open."""
        answer = self._run(print_file(params.filename))
        self._chronicle.credits.asked(STARTED, call.actor, answer, f"FILENAME={params.filename}")
        return answer

    @implements(printer.PRINT_PAUSE)
    def pause(self, params: NoParams, call: Call) -> Answer:
        """Answers when the macro PAUSE has run."""
        return self._asked("pause_resume/pause", {}, call)

    @implements(printer.PRINT_RESUME)
    def resume(self, params: NoParams, call: Call) -> Answer:
        """Answers when the macro RESUME has run."""
        return self._asked("pause_resume/resume", {}, call)

    @implements(printer.PRINT_CANCEL)
    def cancel(self, params: NoParams, call: Call) -> Answer:
        """Answers when the macro CANCEL_PRINT has run."""
        return self._asked("pause_resume/cancel", {}, call)

    @implements(printer.DUMP_MESH)
    def dump_mesh(self, params: printer.EndpointParams, call: Call) -> Answer:
        """Asks Klipper, where it has a bed mesh."""
        return self._pass_on(call)

    @implements(printer.ENDPOINT)
    def endpoint(self, params: printer.EndpointParams, call: Call) -> Answer:
        """Asks Klipper, where it knows such a request."""
        return self._pass_on(call)

    def _pass_on(self, call: Call) -> Answer:
        self._connected()
        if self._klipper is State.STARTUP and not self._following:
            raise Unavailable("Klipper is starting")
        return self._asked(self._endpoints.path(call.name, call.raw), dict(call.raw), call)

    @implements(klippy.TUNNEL_OPEN)
    async def open_tunnel(self, params: NoParams, call: Call) -> klippy.Tunnel:
        """For as long as both the caller and Klipper are there."""
        self._connected()
        return await self._tunnels.open(call.connection)


def _retrieved(answer: Answer) -> None:
    """Klipper's info is also asked for where nobody waits for it: its error is no news then."""
    if not answer.cancelled():
        answer.exception()
