"""The endpoints of the socket: one function for each path, over one printer."""

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from .command import CommandError
from .connection import Connection
from .dumps import (
    STEPPER_AXIS,
    STEPPER_HEADER,
    TRAPQ_HEADER,
    Dump,
    Format,
    extruder_batch,
    stepper_format,
    toolhead_batch,
)
from .messages import VERSION
from .objects import Objects
from .printer import Printer
from .requests import Endpoint, Json, Request, RequestError
from .subscriptions import Subscriptions, Wanted

ENDSTOP_QUERY_TIME = 0.1
"""Simulated seconds a query of the end stops takes."""


class Api:
    """Answers requests for one life of the printer."""

    def __init__(self, printer: Printer, objects: Objects, mesh: Json, files: dict[str, str]) -> None:
        self._printer = printer
        self._objects = objects
        self._mesh = mesh
        self._files = files
        self._subscriptions = Subscriptions(printer.loop, objects, self._prepare)
        self._outputs: dict[Connection, Json] = {}
        self._remotes: dict[str, dict[Connection, Json]] = {}
        self._dumps: dict[Connection, list[Dump]] = {}
        printer.gcode.listeners.append(self._broadcast_response)
        self._endpoints = self._table()

    def _table(self) -> dict[str, Endpoint]:
        return {
            "list_endpoints": lambda _: {"endpoints": self._paths()},
            "info": self._info,
            "emergency_stop": self._emergency_stop,
            "register_remote_method": self._register_remote_method,
            "gcode/help": lambda _: dict(self._printer.gcode.help()),
            "gcode/script": lambda request: self._run(request, request.text("script")),
            "gcode/restart": partial(self._run, script="RESTART"),
            "gcode/firmware_restart": partial(self._run, script="FIRMWARE_RESTART"),
            "gcode/subscribe_output": self._subscribe_output,
            "objects/list": lambda _: {"objects": self._objects.names()},
            "objects/query": self._query,
            "objects/subscribe": self._subscribe,
            "pause_resume/cancel": partial(self._run, script="CANCEL_PRINT"),
            "pause_resume/pause": partial(self._run, script="PAUSE"),
            "pause_resume/resume": partial(self._run, script="RESUME"),
            "bed_mesh/dump_mesh": lambda _: self._mesh,
            "query_endstops/status": self._endstops,
            "motion_report/dump_stepper": self._dump_stepper,
            "motion_report/dump_trapq": self._dump_trapq,
        }

    def _paths(self) -> list[str]:
        """Until the printer is ready the motion queues are not there to be dumped."""
        late = set() if self._printer.state.name in ("ready", "shutdown") else {"motion_report/dump_trapq"}
        return [path for path in self._endpoints if path not in late]

    def handle(self, request: Request) -> None:
        """Answer a request, now or later."""
        endpoint = self._endpoints.get(request.method)
        if endpoint is None:
            request.refuse(f"webhooks: No registered callback for path '{request.method}'")
            return
        try:
            result = endpoint(request)
        except RequestError as error:
            request.refuse(str(error))
        else:
            if result is not None:
                request.answer(result)

    def forget(self, connection: Connection) -> None:
        """A client is gone."""
        self._subscriptions.drop(connection)
        self._outputs.pop(connection, None)
        for clients in self._remotes.values():
            clients.pop(connection, None)
        for dump in self._dumps.pop(connection, []):
            dump.stop()

    def stop(self) -> None:
        """End of this life."""
        self._subscriptions.stop()

    def call_remote(self, method: str, params: Json) -> None:
        """Send a macro's call to every client that registered the method."""
        clients = self._remotes.get(method)
        if not clients:
            raise CommandError(f"Remote method '{method}' not registered")
        for connection, template in clients.items():
            connection.send({"params": params, **template})

    def _prepare(self) -> None:
        self._printer.heat.advance(self._printer.clock.simulated())

    def _broadcast_response(self, text: str) -> None:
        for connection, template in list(self._outputs.items()):
            connection.send({**template, "params": {"response": text}})

    def _info(self, request: Request) -> Json:
        request.mapping("client_info", {})
        state = self._printer.state
        return {
            "state": state.name,
            "state_message": state.message,
            "hostname": platform.node(),
            "klipper_path": str(Path(__file__).parent),
            "python_path": sys.executable,
            "process_id": os.getpid(),
            "user_id": os.getuid(),
            "group_id": os.getgid(),
            **self._files,
            "software_version": VERSION,
            "cpu_info": f"{os.cpu_count()} core {platform.machine()}",
        }

    def _emergency_stop(self, _request: Request) -> Json:
        self._printer.state.shut_down("Shutdown due to webhooks request")
        return {}

    def _register_remote_method(self, request: Request) -> Json:
        template = request.mapping("response_template")
        self._remotes.setdefault(request.text("remote_method"), {})[request.connection] = template
        return {}

    def _subscribe_output(self, request: Request) -> Json:
        self._outputs[request.connection] = request.mapping("response_template", {})
        return {}

    def _run(self, request: Request, script: str) -> None:
        self._printer.run(script, partial(_report, request))

    def _query(self, request: Request) -> None:
        self._subscriptions.query(_wanted(request), request.answer)

    def _subscribe(self, request: Request) -> None:
        wanted, template = _wanted(request), request.mapping("response_template", {})
        connection = request.connection

        def update(params: Json) -> None:
            connection.send({**template, "params": params})

        self._subscriptions.subscribe(connection, wanted, request.answer, update)

    def _endstops(self, request: Request) -> None:
        """Waits for the planned moves, as the query does that Klipper sends to the micro-controller."""
        printer = self._printer
        ready_at = max(printer.toolhead.print_time, printer.clock.simulated()) + ENDSTOP_QUERY_TIME
        moment = printer.clock.real_from_simulated(ready_at)
        printer.loop.call_at(moment, lambda: request.answer(dict(printer.endstops.read())))

    def _dump_trapq(self, request: Request) -> Json:
        formats: dict[str, Format] = {"toolhead": toolhead_batch, "extruder": extruder_batch}
        return self._dump(request, TRAPQ_HEADER, formats.get)

    def _dump_stepper(self, request: Request) -> Json:
        return self._dump(request, STEPPER_HEADER, lambda name: stepper_format(name) if name in STEPPER_AXIS else None)

    def _dump(self, request: Request, header: list[str], find: Callable[[str], Format | None]) -> Json:
        name = request.text("name")
        as_batch = find(name)
        if as_batch is None:
            raise RequestError(f"The value '{name}' is not valid for name")
        template, connection = request.mapping("response_template", {}), request.connection

        def send(batch: Json) -> None:
            connection.send({**template, "params": batch})

        dump = Dump(self._printer.loop, self._printer.toolhead, as_batch, send)
        self._dumps.setdefault(connection, []).append(dump)
        return {"header": header}


def _report(request: Request, error: CommandError | None) -> None:
    if error is None:
        request.answer({})
    else:
        request.refuse(str(error))


def _wanted(request: Request) -> Wanted:
    wanted: Wanted = {}
    for name, fields in request.mapping("objects").items():
        if fields is not None and not isinstance(fields, list):
            raise RequestError("Invalid argument")
        if fields is not None and not all(isinstance(field, str) for field in fields):
            raise RequestError("Invalid argument")
        wanted[name] = fields
    return wanted
