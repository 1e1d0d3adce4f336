"""What slicers ask of an OctoPrint: enough of its API for them to take us for one, upload, print and watch."""

import logging
from typing import Any

import orjson

from bus.calls import CallFailed
from bus.errors import Conflict, Forbidden, InvalidParams, NotFound, Unauthenticated
from schemas import printer, server
from schemas.files import GCODES, METADATA, PRINT

from .commands import Commands
from .replies import Reply
from .requests import Request
from .routes import Routes, Streaming
from .settings import BridgeSettings

log = logging.getLogger(__name__)

STEM = "/api/files/moonraker/"
OCTOPRINT, API = "1.5.0", "0.1"  # what this looks like
USER = {
    "_is_external_client": False,
    "_login_mechanism": "apikey",
    "name": "_api",
    "active": True,
    "user": True,
    "admin": True,
    "apikey": None,
    "permissions": [],
    "groups": ["admins", "users"],
}
UFP = {
    "align_inline_thumbnail": False,
    "inline_thumbnail": False,
    "inline_thumbnail_align_value": "left",
    "inline_thumbnail_scale_value": "50",
    "installed": True,
    "installed_version": "0.2.2",
    "scale_inline_thumbnail": False,
    "state_panel_thumbnail": True,
}
AXES = {axis: {"speed": 300.0 if axis == "e" else 6000.0, "inverted": False} for axis in "xyze"}
PROFILE = {
    "id": "_default",
    "name": "Default",
    "color": "default",
    "model": "Default",
    "default": True,
    "current": True,
    "heatedBed": True,
    "heatedChamber": False,
    "axes": AXES,
}
JOB = {
    "job": {"file": {"name": None}, "estimatedPrintTime": None, "filament": {"length": None}, "user": None},
    "progress": dict.fromkeys(("completion", "filepos", "printTime", "printTimeLeft", "printTimeOrigin")),
}
OFFLINE, FAILED, IDLE = "Offline", "Error", "Operational"
BUSY = {"printing": "Printing", "paused": "Paused"}  # as print_stats has it; every other state lets a print begin
HEATERS = "heaters"  # the printer object that lists them
REFUSED = (Unauthenticated.code, Forbidden.code)
OK, NO_CONTENT = 200, 204


class OctoPrint:
    """The endpoints; their answers have no envelope."""

    def __init__(self, commands: Commands, settings: BridgeSettings) -> None:
        self._commands = commands
        self._settings = settings.octoprint

    def add_to(self, routes: Routes) -> None:
        """Adds them, where they are wanted."""
        if not self._settings.enabled:
            return
        for path, answer in (
            ("/api/version", self._version),
            ("/api/server", self._server),
            ("/api/login", self._user),
            ("/api/currentuser", self._user),
            ("/api/settings", self._show_settings),
            ("/api/printerprofiles", self._profiles),
            ("/api/printer", self._printer),
            ("/api/job", self._job),
        ):
            routes.add("GET", path, Streaming(answer))
        routes.add("POST", "/api/login", Streaming(self._user))
        for path, change in (
            (STEM + "{path}", self._select),
            ("/api/printer/command", self._run_gcode),
            ("/api/job", self._change_job),
        ):
            routes.add("POST", path, Streaming(change, changes=True))

    async def _version(self, request: Request, reply: Reply) -> None:
        info = await self._info(request)
        text = f"OctoPrint (Moonraker {info['moonraker_version']})"
        await _show(reply, {"server": OCTOPRINT, "api": API, "text": text})

    async def _server(self, request: Request, reply: Reply) -> None:
        ready = (await self._info(request))["klippy_state"] == "ready"
        await _show(reply, {"server": OCTOPRINT, "safemode": None if ready else "settings"})

    async def _user(self, request: Request, reply: Reply) -> None:
        await self._info(request)  # who may ask for it
        await _show(reply, USER)

    async def _show_settings(self, request: Request, reply: Reply) -> None:
        await self._info(request)
        known = self._settings
        webcam = {
            "flipH": known.flip_h,
            "flipV": known.flip_v,
            "rotate90": known.rotate_90,
            "streamUrl": known.stream_url,
            "webcamEnabled": known.webcam_enabled,
        }
        features = {"sdSupport": False, "temperatureGraph": False}
        plugins = {"UltimakerFormatPackage": UFP} if known.enable_ufp else {}
        await _show(reply, {"plugins": plugins, "feature": features, "webcam": webcam})

    async def _profiles(self, request: Request, reply: Reply) -> None:
        await self._info(request)
        await _show(reply, {"profiles": {"_default": PROFILE}})

    async def _job(self, request: Request, reply: Reply) -> None:
        await _show(reply, JOB | {"state": await self._state(request)})

    async def _printer(self, request: Request, reply: Reply) -> None:
        state = await self._state(request)
        known = (await self._objects({HEATERS: ["available_heaters"]}, request)).get(HEATERS, {})
        names = {heater: name for heater in known.get("available_heaters") or () if (name := _name(heater))}
        heaters = await self._objects({heater: ["temperature", "target"] for heater in names}, request) if names else {}
        temperatures = {name: _temperature(heaters.get(heater, {})) for heater, name in names.items()}
        await _show(reply, {"temperature": temperatures, "state": {"text": state, "flags": _flags(state)}})

    async def _state(self, request: Request) -> str:
        """In OctoPrint's words."""
        klippy = (await self._info(request))["klippy_state"]
        if klippy != "ready":
            return OFFLINE if klippy == "disconnected" else FAILED
        print_stats = (await self._objects({"print_stats": ["state"]}, request)).get("print_stats", {})
        return BUSY.get(str(print_stats.get("state")), IDLE)

    async def _objects(self, wanted: dict[str, list[str]], request: Request) -> dict[str, dict[str, Any]]:
        """Values of printer objects; nothing while there is no Klipper."""
        try:
            found = await self._call(printer.OBJECTS_QUERY.name, {"objects": wanted}, request)
        except CallFailed as error:
            if error.code in REFUSED:
                raise
            return {}
        status: dict[str, dict[str, Any]] = orjson.loads(found)["status"]
        return status

    async def _run_gcode(self, request: Request, reply: Reply) -> None:
        """One command after the other; what Klipper thinks of them stands in its console."""
        asked = (await request.arguments()).named()
        commands = asked.get("commands", [asked["command"]] if "command" in asked else [])
        commands = commands.split(",") if isinstance(commands, str) else commands
        if not (isinstance(commands, list) and all(isinstance(command, str) for command in commands)):
            raise InvalidParams("'commands' must be a list of texts")
        for command in commands:
            try:
                await self._call(printer.GCODE_SCRIPT.name, {"script": command}, request)
            except CallFailed as error:
                if error.code in REFUSED:
                    raise
                log.info("gcode was refused: %s", error)
        await _show(reply, {})

    async def _change_job(self, request: Request, reply: Reply) -> None:
        """What the buttons of a slicer's monitor do; a print begins by selecting a file."""
        asked = (await request.arguments()).named()
        method = await self._control(asked.get("command"), asked.get("action", "toggle"), request)
        if method is not None:
            await self._call(method, {}, request)
        await reply.start(NO_CONTENT, length=None)

    async def _control(self, command: Any, action: Any, request: Request) -> str | None:
        """The method that does it; None where it is so already. Raises Conflict where nothing is printed."""
        if command not in ("start", "restart", "cancel", "pause") or action not in ("pause", "resume", "toggle"):
            raise InvalidParams("Jobs can be paused (action pause, resume or toggle) and cancelled")
        state = await self._state(request)
        if command in ("start", "restart") or state not in BUSY.values():
            raise Conflict("No file is selected" if command in ("start", "restart") else "Nothing is being printed")
        if command == "cancel":
            return printer.PRINT_CANCEL.name
        paused = state == BUSY["paused"]
        if action == ("pause" if paused else "resume"):
            return None
        return printer.PRINT_RESUME.name if paused else printer.PRINT_PAUSE.name

    async def _select(self, request: Request, reply: Reply) -> None:
        """A file that was uploaded is to be selected, and perhaps printed."""
        asked = (await request.arguments()).named()
        root, _, filename = request.path.removeprefix(STEM).partition("/")
        if asked.get("command") != "select" or root != GCODES or not filename:
            raise InvalidParams("Only files of the gcodes root can be selected")
        wanted = PRINT if str(asked.get("print", False)).lower() == "true" else METADATA
        try:
            await self._call(wanted.name, {"filename": filename}, request)
        except CallFailed as error:
            if error.code == NotFound.code:
                raise InvalidParams("The file does not exist") from None
            raise
        await reply.start(NO_CONTENT, length=None)

    async def _info(self, request: Request) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(await self._call(server.INFO.name, {}, request))
        return found

    async def _call(self, method: str, params: dict[str, Any], request: Request) -> bytes:
        return await self._commands.run(method, orjson.dumps(params), request.actor)


async def _show(reply: Reply, answer: dict[str, Any]) -> None:
    await reply.whole(OK, orjson.dumps(answer))


def _name(heater: str) -> str | None:
    """How an OctoPrint names a heater; None for what it does not know."""
    if heater == "heater_bed":
        return "bed"
    number = heater.removeprefix("extruder")
    return f"tool{number or 0}" if heater != number and (not number or number.isdecimal()) else None


def _temperature(heater: dict[str, Any]) -> dict[str, float]:
    return {"actual": round(heater.get("temperature") or 0.0, 2), "offset": 0, "target": heater.get("target") or 0.0}


def _flags(state: str) -> dict[str, bool]:
    return {
        "operational": state not in (OFFLINE, FAILED),
        "paused": state == BUSY["paused"],
        "printing": state == BUSY["printing"],
        "cancelling": False,
        "pausing": False,
        "error": state == FAILED,
        "ready": state == IDLE,
        "closedOrError": state in (OFFLINE, FAILED),
    }
