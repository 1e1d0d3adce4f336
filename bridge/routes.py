"""The method table turned into HTTP routes: exact paths, a verb each, no handler per method."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import orjson

from bus.errors import InvalidParams, NotFound
from schemas import AnyMethod, Arguments, Permission
from schemas.base import is_open, stem

from .arguments import Params
from .clients import Clients
from .commands import Commands
from .replies import Reply
from .requests import Request

Endpoint = Callable[[Request], Awaitable[bytes]]

NO_PARAMS, NO_OBJECTS = b"{}", b'{"objects":{}}'
OPEN_PATH = re.compile(r"(/[A-Za-z0-9_-]{1,64}){1,8}")  # of a row that stands for many: it becomes a topic


class Streaming(NamedTuple):
    """An endpoint that answers by itself, whether it changes anything, and when it does not matter who asks."""

    answer: Callable[[Request, Reply], Awaitable[None]]
    changes: bool = False
    is_open: Callable[[str], bool] = lambda _path: False


Verbs = dict[str, Endpoint | Streaming]


class Plain(NamedTuple):
    """A row that changes nothing, asked for without arguments: no more than a call."""

    method: str
    params: bytes


class Routes:
    """Endpoints by path and verb; a path of the table that ends in a `{place}` stands for all that begin alike."""

    def __init__(self) -> None:
        self._exact: dict[str, Verbs] = {}
        self._open: dict[str, Verbs] = {}
        self.plain: dict[str, Plain] = {}
        """GET of rows that are no more than a call where nothing comes along, by path."""

    def add(self, verb: str, path: str, endpoint: Endpoint | Streaming) -> None:
        """Adds one."""
        known = self._open if is_open(path) else self._exact
        known.setdefault(stem(path), {})[verb] = endpoint

    def find(self, path: str) -> Verbs | None:
        """The verbs of a path; None where nothing is there."""
        found = self._exact.get(path)
        if found is None:
            found = next((verbs for begin, verbs in self._open.items() if path.startswith(begin)), None)
        return found


def routes_of(
    methods: Mapping[str, AnyMethod], commands: Commands, clients: Clients, check: Callable[[Request], None]
) -> Routes:
    """Path -> verb -> endpoint for every row with an HTTP form; `check` guards rows that change something."""
    found = Routes()
    for row in methods.values():
        endpoint = _subscribing(row, commands, clients) if row.flags.connection else _calling(row, commands)
        if row.flags.changes:
            endpoint = _guarded(endpoint, check)
        if row.needs is not Permission.OPEN:
            endpoint = _guarded(endpoint, Request.require_known)
        for route in row.http:
            verb, path = route.split(" ", 1)
            found.add(verb, path, endpoint)
            if verb == "GET" and not is_open(path) and _is_plain(row):
                found.plain[path] = Plain(row.name, _nothing(row))
    return found


def _is_plain(row: AnyMethod) -> bool:
    return row.needs is not Permission.OPEN and not (row.flags.changes or row.flags.connection)


def _nothing(row: AnyMethod) -> bytes:
    """The params of a request without any."""
    return NO_OBJECTS if row.flags.arguments is Arguments.OBJECTS else NO_PARAMS


def _encoded(params: Params) -> bytes:
    try:
        return orjson.dumps(params)
    except orjson.JSONEncodeError:
        raise InvalidParams("The arguments are nested too deeply") from None


def _guarded(endpoint: Endpoint, check: Callable[[Request], None]) -> Endpoint:
    def guarded(request: Request) -> Awaitable[bytes]:
        check(request)
        return endpoint(request)

    return guarded


def _calling(row: AnyMethod, commands: Commands) -> Endpoint:
    by_object = row.flags.arguments is Arguments.OBJECTS
    name = "" if is_open(row.name) else row.name
    no_params = _nothing(row)
    placed = next((stem(path) for path in (route.split(" ")[1] for route in row.http) if name and is_open(path)), "")

    async def with_arguments(request: Request) -> bytes:
        arguments = await request.arguments()
        params = _encoded(arguments.objects() if by_object else arguments.named())
        if placed:
            params = _encoded({"path": request.path.removeprefix(placed)})
        return await commands.run(name or _named(request.path), params, request.actor)

    def call(request: Request) -> Awaitable[bytes]:
        if placed or not request.bare:
            return with_arguments(request)
        return commands.run(name or _named(request.path), no_params, request.actor)

    return call


def _named(path: str) -> str:
    """The method that a path names; raises NotFound for what cannot be a method."""
    if not OPEN_PATH.fullmatch(path):
        raise NotFound("Not Found")
    return path[1:].replace("/", ".")


def _subscribing(row: AnyMethod, commands: Commands, clients: Clients) -> Endpoint:
    """Over HTTP a subscription is made for a live websocket, which then gets the updates."""

    async def subscribe(request: Request) -> bytes:
        arguments = await request.arguments()
        socket = clients.sockets.get(arguments.connection or 0)
        if socket is None:
            raise InvalidParams("connection_id must name an open websocket")
        params = arguments.objects()
        body = await commands.run(row.name, _encoded(params), request.actor, socket.number)
        socket.follow(params["objects"], orjson.loads(body)["revision"])
        return body

    return subscribe
