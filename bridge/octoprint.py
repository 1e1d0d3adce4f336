"""What slicers ask of an OctoPrint before they upload: enough of its API for them to take us for one."""

from typing import Any

import orjson

from bus.errors import BusError, Conflict, InvalidParams
from schemas import printer, server
from schemas.files import GCODES, METADATA

from .commands import Commands
from .replies import Reply
from .requests import Request
from .routes import Routes, Streaming
from .settings import BridgeSettings

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
        ):
            routes.add("GET", path, Streaming(answer))
        routes.add("POST", "/api/login", Streaming(self._user))
        routes.add("POST", STEM + "{path}", Streaming(self._select, changes=True))

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

    async def _select(self, request: Request, reply: Reply) -> None:
        """A file that was uploaded is to be selected, and perhaps printed."""
        asked = (await request.arguments()).named()
        root, _, filename = request.path.removeprefix(STEM).partition("/")
        if asked.get("command") != "select" or root != GCODES or not filename:
            raise InvalidParams("Only files of the gcodes root can be selected")
        await self._require(filename, request)
        if str(asked.get("print", False)).lower() == "true":
            try:
                await self._call(printer.PRINT_START.name, {"filename": filename}, request)
            except BusError as error:
                raise Conflict(f"The print cannot begin: {error.message}") from None
        await reply.start(NO_CONTENT, length=None)

    async def _require(self, filename: str, request: Request) -> None:
        try:
            await self._call(METADATA.name, {"filename": filename}, request)
        except BusError:
            raise InvalidParams("The file does not exist") from None

    async def _info(self, request: Request) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(await self._call(server.INFO.name, {}, request))
        return found

    async def _call(self, method: str, params: dict[str, Any], request: Request) -> bytes:
        return await self._commands.run(method, orjson.dumps(params), request.actor)


async def _show(reply: Reply, answer: dict[str, Any]) -> None:
    await reply.whole(OK, orjson.dumps(answer))
