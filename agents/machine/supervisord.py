"""Services by supervisord, over its XML-RPC on a unix socket or HTTP; it looks for changes."""

import asyncio
import os
import socket
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault, ProtocolError, ServerProxy, Transport

from bus.errors import HostError, Refused, Unavailable
from schemas.machine import UnitState
from schemas.services import ProviderName

from . import supervisord_place
from .allowed import Allowed
from .provider import Looks, Power, Rights, States, Unreachable, Verb

LOOK_SECONDS = 5.0  # between two looks
ANSWER_SECONDS = 5.0
CHANGE_SECONDS = 100.0  # it answers when a program has started, or has ended
BAD_NAME, ALREADY_STARTED, NOT_RUNNING = 10, 60, 70
ACTIVE: Mapping[str, str] = {  # in the words of systemd, which are those that front ends know
    "RUNNING": "active",
    "STARTING": "activating",
    "BACKOFF": "activating",
    "STOPPING": "deactivating",
    "STOPPED": "inactive",
    "EXITED": "inactive",
    "FATAL": "failed",
}
BROKEN = (OSError, HTTPException, ProtocolError)


@dataclass(frozen=True, slots=True)
class Server:
    """Where supervisord answers: a path, or host and port."""

    socket: str | None = None
    address: str = ""
    user: str = ""
    password: str = ""

    @property
    def login(self) -> str:
        """User and password as HTTP has them."""
        return b64encode(f"{self.user}:{self.password}".encode()).decode()

    @classmethod
    def find(cls, config: Path | None) -> "Server":
        """From the given file, from a file where one usually is, or from our own environment; raises Unreachable."""
        path, url = supervisord_place.configuration(config), urlsplit(supervisord_place.url())
        if path is not None:
            return _configured(path)
        if url.scheme == "unix":
            return cls(url.path)
        if url.scheme == "http":
            return cls(None, url.netloc)
        raise Unreachable(supervisord_place.UNKNOWN)


class Supervisord:
    """The provider `supervisord_cli`; services are its programs, as `group:program` where the names differ."""

    name: ProviderName = "supervisord_cli"
    has_power = False
    restarts_us = False  # who ends with the first half of a restart cannot ask for the second

    def __init__(self, allowed: Allowed, config: Path | None = None) -> None:
        self._allowed = allowed
        self._config = config
        self._server: Server | None = None
        self._processes: Mapping[int, str] = {}
        self._looks = Looks(self._survey)

    async def probe(self) -> None:
        """Looks once."""
        await self._survey()

    def states(self) -> AsyncGenerator[States, None]:
        """Looks again and again, and after each command."""
        return self._looks.states(LOOK_SECONDS)

    async def rights(self) -> Rights:
        """Who may ask may do all; the host's power is not supervisord's."""
        reason = "supervisord has no power over the host"
        return Rights(None, reason, reason)

    async def unit_of(self, process: int) -> str | None:
        """As supervisord knows its programs."""
        return self._processes.get(process)

    async def act(self, verb: Verb, unit: str, *, wait: bool = True) -> None:
        """A restart is both, one after the other."""
        try:
            if verb in (Verb.STOP, Verb.RESTART):
                await self._change("stopProcess", unit, NOT_RUNNING, wait=wait)
            if verb in (Verb.START, Verb.RESTART):
                await self._change("startProcess", unit, ALREADY_STARTED, wait=wait)
        finally:
            self._looks.soon()

    async def power(self, action: Power) -> None:
        """Never."""
        raise Unavailable("supervisord has no power over the host")

    async def _change(self, method: str, unit: str, harmless: int, *, wait: bool) -> None:
        try:
            await asyncio.to_thread(self._call, CHANGE_SECONDS, method, unit, wait)
        except Fault as fault:
            if fault.faultCode == BAD_NAME:
                raise Refused(f"supervisord has no program '{unit}'") from None
            if fault.faultCode != harmless:
                raise HostError(f"supervisord: {fault.faultString}") from None
        except BROKEN as error:
            raise Unavailable(f"supervisord does not answer: {_reason(error)}") from None

    async def _survey(self) -> States:
        try:
            self._server = self._server or await asyncio.to_thread(Server.find, self._config)
            programs = await asyncio.to_thread(self._call, ANSWER_SECONDS, "getAllProcessInfo")
        except (*BROKEN, Fault) as error:
            self._server = None
            raise Unreachable(f"supervisord does not answer: {_reason(error)}") from None
        found = {_name(program): program for program in programs}
        self._processes = {program["pid"]: name for name, program in found.items() if program["pid"]}
        return {name: _state(program) for name, program in sorted(found.items()) if self._allowed.permits(name)}

    def _call(self, seconds: float, method: str, *arguments: Any) -> Any:
        """One call on a connection of its own."""
        server = self._server or Server()
        with ServerProxy(f"http://{server.address or 'localhost'}/RPC2", _Transport(server, seconds)) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


class _Transport(Transport):
    def __init__(self, server: Server, seconds: float) -> None:
        super().__init__(headers=[("Authorization", f"Basic {server.login}")] if server.user else [])
        self._server = server
        self._seconds = seconds

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = _Connection(str(host), self._server.socket, self._seconds)
        self._connection = host, connection  # the library closes it
        return connection


class _Connection(HTTPConnection):
    def __init__(self, host: str, path: str | None, seconds: float) -> None:
        super().__init__(host, timeout=seconds)
        self._path = path

    def connect(self) -> None:
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _configured(path: Path) -> Server:
    parser = ConfigParser(interpolation=None, inline_comment_prefixes=(";",), strict=False)
    try:
        parser.read_string(path.read_text())
    except (OSError, UnicodeDecodeError, ConfigParserError) as error:
        raise Unreachable(f"{path}: {error}") from None
    for section, option in (("unix_http_server", "file"), ("inet_http_server", "port")):
        if parser.has_option(section, option):
            wanted = (option, "username", "password")
            place, *login = (_expanded(parser.get(section, name, fallback=""), path) for name in wanted)
            return Server(place, "", *login) if option == "file" else Server(None, _with_host(place), *login)
    raise Unreachable(f"{path} gives supervisord no place to answer")


def _expanded(value: str, path: Path) -> str:
    """As supervisord expands its options."""
    names = {"here": str(path.resolve().parent), "host_node_name": os.uname().nodename}
    try:
        return value % (names | {f"ENV_{name}": found for name, found in os.environ.items()})
    except (KeyError, ValueError, TypeError):
        raise Unreachable(f"{path}: '%' in an option cannot be expanded") from None


def _with_host(place: str) -> str:
    host, _, port = place.rpartition(":")
    return f"{host if host not in ('', '*') else '127.0.0.1'}:{port}"


def _name(program: Mapping[str, Any]) -> str:
    group, name = program["group"], program["name"]
    return str(name) if group == name else f"{group}:{name}"


def _state(program: Mapping[str, Any]) -> UnitState:
    said = str(program["statename"])
    return UnitState(active_state=ACTIVE.get(said, "unknown"), sub_state=said.lower())


def _reason(error: Exception) -> str:
    if isinstance(error, ProtocolError):
        return f"{error.errcode} {error.errmsg}"
    return error.faultString if isinstance(error, Fault) else str(error) or type(error).__name__
