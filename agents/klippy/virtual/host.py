"""The simulated host process: the listening socket, its clients, and the lives of the printer behind them."""

import configparser
import json
import os
import selectors
import socket
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .api import Api
from .connection import Connection
from .loop import Loop
from .objects import Status, build, build_unconfigured
from .printer import Outside, Printer
from .requests import Request
from .thermal import Heat

DATA = Path(__file__).with_name("printer.json")
FIRST_STARTUP = 0.2
STARTUP = 0.45
RESTART_DWELL = 0.8
"""Real seconds that a ready printer takes before it begins a restart."""
UNREACHABLE = 1.0
"""Real seconds between the end of one life and the socket of the next."""
FAREWELL = 0.03
"""Real seconds between the answer to a restart and the end of the connection."""
BACKLOG = 16
OWNER_ONLY = 0o177
"""The umask that makes a socket readable and writable by its owner alone."""


class Settings(NamedTuple):
    """What the command line says."""

    socket: Path
    gcodes: Path
    restart_delay_factor: float
    config: Path | None
    log_file: Path | None


class Host:
    """Serves clients until `close()`; each restart gives the printer a new life behind the same socket path."""

    def __init__(self, loop: Loop, settings: Settings, log: Callable[[str], None]) -> None:
        self._loop = loop
        self._settings = settings
        self._log = log
        self._heat = Heat()
        self._data = json.loads(DATA.read_text("utf-8"))
        self._connections: set[Connection] = set()
        self._listener: socket.socket | None = None
        self._printer: Printer
        self._api: Api
        self._start(FIRST_STARTUP)

    def close(self) -> None:
        """Drop everybody and remove the socket."""
        self._disconnect()
        self._settings.socket.unlink(missing_ok=True)

    def lose_mcu(self) -> None:
        """Pretend that the micro-controller does not answer any more."""
        self._printer.state.shut_down("Lost communication with MCU 'mcu'")

    def _start(self, startup: float) -> None:
        """Begin a life: listen, then become ready, unless the configuration is bad."""
        factor = self._settings.restart_delay_factor
        outside = Outside(self._call_remote, self._begin_restart, RESTART_DWELL * factor, self._log)
        self._printer = Printer(self._loop, self._heat, self._settings.gcodes, outside)
        problem, readable = self._check_config()
        objects = build_unconfigured(self._printer)
        if readable:
            objects = build(self._printer, self._data["constants"], self._printer_settings())
        self._api = Api(self._printer, objects, self._data["bed_mesh_dump"], self._file_names())
        self._listen()
        if problem is None:
            self._loop.call_later(startup * factor, partial(self._become_ready, self._printer))
        else:
            self._log(f"Config error: {problem}")
            self._printer.state.fail(problem)

    def _become_ready(self, printer: Printer) -> None:
        if printer is self._printer and printer.state.name == "startup":
            printer.state.become_ready()
            printer.gcode.respond_state("Ready")
            self._log("Printer is ready")

    def _check_config(self) -> tuple[str | None, bool]:
        """What is wrong with the configuration file, if anything, and whether it could be read at all."""
        if self._settings.config is None:
            return None, True
        parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
        try:
            parser.read_string(self._settings.config.read_text("utf-8"))
        except (OSError, ValueError, configparser.Error):
            return f"Unable to open config file {self._settings.config}", False
        known = {name.lower() for name in self._data["settings"]}
        for section in parser.sections():
            if section.lower() not in known:
                return f"Section '{section.lower()}' is not a valid config section", True
        return None, True

    def _printer_settings(self) -> Status:
        settings: Status = dict(self._data["settings"])
        card = self._data["settings"]["virtual_sdcard"]
        settings["virtual_sdcard"] = {**card, "path": str(self._settings.gcodes)}
        return settings

    def _file_names(self) -> dict[str, str]:
        """Where the files are, or would be in the usual layout."""
        data = self._settings.gcodes.parent
        log = self._settings.log_file or data / "logs" / "klippy.log"
        config = self._settings.config or data / "config" / "printer.cfg"
        return {"log_file": str(log), "config_file": str(config)}

    def _listen(self) -> None:
        path = self._settings.socket
        if path.is_socket():
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.setblocking(False)
        mask = os.umask(OWNER_ONLY)
        listener.bind(str(path))
        os.umask(mask)
        listener.listen(BACKLOG)
        self._loop.watch(listener, selectors.EVENT_READ, self._accept)
        self._listener = listener

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        self._connections.add(Connection(self._loop, sock, self._on_message, self._on_close))

    def _on_close(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._api.forget(connection)

    def _on_message(self, connection: Connection, message: object) -> None:
        if not isinstance(message, dict):
            return
        request = Request(connection, message)
        try:
            self._api.handle(request)
        except Exception as error:
            self._log(traceback.format_exc())
            request.refuse(str(error))
            self._printer.state.shut_down(f"Internal Error on WebRequest: {request.method}")

    def _call_remote(self, method: str, params: dict[str, object]) -> None:
        self._api.call_remote(method, params)

    def _begin_restart(self) -> None:
        self._loop.call_later(FAREWELL, self._restart)

    def _restart(self) -> None:
        """Say goodbye, refuse connections for a while (the path stays, as Klipper leaves it), then live again."""
        self._log("Restarting")
        self._printer.gcode.respond_state("Disconnect")
        self._disconnect()
        factor = self._settings.restart_delay_factor
        self._loop.call_later(UNREACHABLE * factor, lambda: self._start(STARTUP))

    def _disconnect(self) -> None:
        if self._listener is not None:
            self._loop.unwatch(self._listener)
            self._listener.close()
            self._listener = None
        self._printer.stop()
        self._api.stop()
        for connection in list(self._connections):
            connection.close()
