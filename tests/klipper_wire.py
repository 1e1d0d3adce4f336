"""A Klipper host at the wire: a unix socket that answers as scripted, and refuses what Klipper would not survive."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

Message = dict[str, Any]
Answer = Callable[["Connection", Message], None]

INFO: Message = {
    "state": "ready",
    "state_message": "Printer is ready",
    "hostname": "printer",
    "klipper_path": "/home/pi/klipper",
    "python_path": "/home/pi/klippy-env/bin/python",
    "process_id": 4822,
    "user_id": 0,
    "group_id": 0,
    "log_file": "/home/pi/printer_data/logs/klippy.log",
    "config_file": "/home/pi/printer_data/config/printer.cfg",
    "software_version": "v0.13.0-730-g84104bbbd",
    "cpu_info": "2 core",
}
STATUS: dict[str, Message] = {
    "webhooks": {"state": "ready", "state_message": "Printer is ready"},
    "configfile": {"config": {"printer": {"kinematics": "cartesian"}}, "settings": {}, "warnings": []},
    "print_stats": {
        "filename": "",
        "total_duration": 0.0,
        "print_duration": 0.0,
        "filament_used": 0.0,
        "state": "standby",
        "message": "",
        "info": {"total_layer": None, "current_layer": None},
    },
    "virtual_sdcard": {"file_path": None, "progress": 0.0, "is_active": False},
    "display_status": {"progress": 0.0, "message": None},
    "pause_resume": {"is_paused": False},
    "toolhead": {"position": [0.0, 0.0, 0.0, 0.0], "homed_axes": ""},
    "extruder": {"temperature": 22.0, "target": 0.0},
}
# What Klipper's handlers take; anything else raises in them, and an unexpected exception shuts the printer down.
PARAMS: dict[str, dict[str, type]] = {
    "info": {},
    "list_endpoints": {},
    "objects/list": {},
    "objects/query": {"objects": dict},
    "objects/subscribe": {"objects": dict, "response_template": dict},
    "gcode/subscribe_output": {"response_template": dict},
    "gcode/script": {"script": str},
    "gcode/help": {},
    "gcode/restart": {},
    "gcode/firmware_restart": {},
    "query_endstops/status": {},
    "register_remote_method": {"remote_method": str, "response_template": dict},
    "emergency_stop": {},
    "pause_resume/pause": {},
    "pause_resume/resume": {},
    "pause_resume/cancel": {},
    "bed_mesh/dump_mesh": {},
    "motion_report/dump_stepper": {"name": str, "response_template": dict},
}
MESH: Message = {"current_mesh": {}, "profiles": {}, "probe_offsets": [0.0, 0.0, 0.2]}


class Connection:
    """One client of the scripted Klipper."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.following: set[str] = set()

    def send(self, message: Message) -> None:
        """One frame."""
        self.write(orjson.dumps(message) + b"\x03")

    def write(self, data: bytes) -> None:
        """Raw bytes."""
        self._writer.write(data)

    def result(self, request: Message, value: Any) -> None:
        """A success answer."""
        self.send({"id": request["id"], "result": value})

    def error(self, request: Message, text: str) -> None:
        """An error answer in Klipper's form."""
        self.send({"id": request["id"], "error": {"error": "WebRequestError", "message": text}})

    async def drained(self) -> None:
        """Waits until the other side has read nearly all."""
        await self._writer.drain()

    def close(self) -> None:
        """Sends what was written and closes."""
        self._writer.close()


class KlipperWire:
    """`script[method]` replaces an answer; `requests` and `faults` are what came; leaving the context checks faults."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info = dict(INFO)
        self.status = {name: dict(fields) for name, fields in STATUS.items()}
        self.script: dict[str, Answer] = {}
        self.accept: Callable[[Connection], bool] = lambda connection: True
        self.requests: list[Message] = []
        self.faults: list[str] = []
        self.connections: list[Connection] = []
        self.eventtime = 100.0
        self.reading = asyncio.Event()  # cleared: nothing is read
        self.reading.set()
        self._server: asyncio.Server | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> "KlipperWire":
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()
        assert not self.faults, self.faults

    async def listen(self) -> None:
        """Opens the socket."""
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        """Closes the socket and all connections: what a restart looks like."""
        if self._server is not None:
            self._server.close()
        for connection in self.connections:
            connection.close()
        self.connections.clear()

    async def asked(self, count: int) -> None:
        """Waits until that many requests came."""
        while len(self.requests) < count:
            self._news.clear()
            await self._news.wait()

    def methods(self) -> list[str]:
        """What was asked, in order."""
        return [request["method"] for request in self.requests]

    def push(self, method: str, params: Message) -> None:
        """A message that nobody asked for, to all clients."""
        for connection in self.connections:
            connection.send({"method": method, "params": params})

    def say(self, line: str) -> None:
        """A console line."""
        self.push("process_gcode_response", {"response": line})

    def change(self, changed: dict[str, Message]) -> None:
        """Objects change; clients that follow them are told on this tick."""
        self.eventtime += 0.25
        for name, fields in changed.items():
            self.status.setdefault(name, {}).update(fields)
        for connection in self.connections:
            status = {name: fields for name, fields in changed.items() if name in connection.following}
            if status:
                params = {"eventtime": self.eventtime, "status": status}
                connection.send({"method": "process_status_update", "params": params})

    def become(self, state: str, message: str, *, tick: bool = True) -> None:
        """Another state of Klipper; without a tick only `info` says so yet."""
        self.info |= {"state": state, "state_message": message}
        self.status["webhooks"] = {"state": state, "state_message": message}
        if tick:
            self.change({"webhooks": self.status["webhooks"]})

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(writer)
        if not self.accept(connection):
            return connection.close()
        self.connections.append(connection)
        buffer = b""
        try:
            while data := await reader.read(65536):
                await self.reading.wait()
                *frames, buffer = (buffer + data).split(b"\x03")
                for frame in frames:
                    self._take(connection, frame)
        except ConnectionError:
            pass
        connection.close()

    def _take(self, connection: Connection, frame: bytes) -> None:
        request: Message = orjson.loads(frame)
        self.requests.append(request)
        self._news.set()
        self._check(request)
        method = request["method"]
        if method in self.script:
            self.script[method](connection, request)
        else:
            connection.result(request, self._answer(connection, method, request["params"]))

    def _check(self, request: Message) -> None:
        known = PARAMS.get(request.get("method", ""))
        params = request.get("params", {})
        if known is None or type(request.get("id")) is not int or not isinstance(params, dict):
            self.faults.append(f"invalid request {request}")
        elif any(not isinstance(params.get(name), kind) for name, kind in known.items()):
            self.faults.append(f"invalid params {request}")

    def _answer(self, connection: Connection, method: str, params: Message) -> Any:
        match method:
            case "info":
                return self.info
            case "list_endpoints":
                return {"endpoints": list(PARAMS)}
            case "objects/list":
                return {"objects": list(self.status)}
            case "gcode/help":
                return {"G28": "Home", "RESTART": "Reload config file"}
            case "bed_mesh/dump_mesh":
                return MESH
            case "query_endstops/status":
                return {"stepper_x": "open", "stepper_y": "TRIGGERED"}
            case "objects/query" | "objects/subscribe":
                if method == "objects/subscribe":
                    connection.following = set(params["objects"])
                status = {name: self.status.get(name, {}) for name in params["objects"]}
                return {"eventtime": self.eventtime, "status": status}
        return {}


def never(connection: Connection, request: Message) -> None:
    """A script entry: no answer at all."""


def hang_up(connection: Connection, request: Message) -> None:
    """A script entry: the connection closes instead of an answer."""
    connection.close()


def refuse(text: str) -> Answer:
    """A script entry: an error of Klipper's."""
    return lambda connection, request: connection.error(request, text)
