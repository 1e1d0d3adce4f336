"""The core agent: server.info, connections and the event log, beside the broker."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from bus.accounts import CONFIDENTIAL, Accounts
from bus.agent import Agent, Bus, Call, Components, Connection, Host, Raw, Settings, implements
from bus.envelope import dumps
from bus.errors import BusError, Forbidden, InvalidParams, Unauthenticated
from bus.identity import NOBODY, Credential, Principal, Scheme
from bus.log import Excerpt, NewEvent
from schemas import NoParams, Permission, files, printer, rpc, server

from .klipper_log import roll_klipper_log

API_VERSION = (1, 5, 0)  # the Moonraker API that is answered
OK = "ok"
MOONRAKER_VERSION = "0.11.0"
AS_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\n": "<br/>"})
DISCONNECTED = {"klippy_connected": False, "klippy_state": "disconnected", "missing_klippy_requirements": []}
OUT_OF_REACH = {"state": "disconnected", "message": "The klippy agent is not running"}


class Core(Agent):
    """Answers for the server as a whole."""

    name = "core"
    components = ("application", "jsonrpc", "websockets")
    beside_broker = True

    def __init__(self, bus: Bus, settings: Settings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("the core agent runs beside the broker only")
        self._host = host
        self._printer: dict[str, Any] = DISCONNECTED
        self._shown_for: tuple[bool, int, dict[str, Any], Components] | None = None
        self._shown = Raw()
        self._config = Raw()
        self._roots: list[str] = []  # of the file manager
        self._methods = Raw()  # as OpenRPC, once somebody has asked

    async def run(self) -> None:
        """Follows the printer's state."""
        self.bus.subscribe(self.bus.topics.state(printer.OWNER, "server"), self._on_printer)
        self.bus.subscribe(self.bus.topics.agent(printer.OWNER), self._on_printer_agent)
        self.bus.subscribe(self.bus.topics.state(files.OWNER, "roots"), self._on_roots)
        await super().run()

    def _on_printer(self, _topic: str, payload: bytes) -> None:
        self._printer = DISCONNECTED | orjson.loads(payload) if payload else DISCONNECTED

    def _on_printer_agent(self, _topic: str, payload: bytes) -> None:
        """An agent that dies cannot say that the printer is out of reach."""
        if payload and orjson.loads(payload)["alive"]:
            return
        if self._printer["klippy_connected"]:
            self.notify(printer.KLIPPY_DISCONNECTED)
        self._printer = DISCONNECTED
        self.bus.publish(self.bus.topics.klippy_state, dumps(OUT_OF_REACH), retain=True)

    def _on_roots(self, _topic: str, payload: bytes) -> None:
        self._roots = orjson.loads(payload)["roots"] if payload else []
        self._shown_for = None

    @implements(server.INFO)
    def info(self, params: server.InfoParams, call: Call) -> Raw:
        """What runs here and how it is; made anew only when something of it has changed."""
        key = (params.raw, self._host.websockets(), self._printer, self._host.components())
        if key != self._shown_for:
            self._shown_for, self._shown = key, Raw(dumps(self._info(*key)))
        return self._shown

    def _info(self, raw: bool, websockets: int, known: dict[str, Any], parts: Components) -> server.Info:
        components, failed, warnings = parts
        return server.Info(
            klippy_connected=known["klippy_connected"],
            klippy_state=known["klippy_state"],
            components=components,
            failed_components=failed,
            registered_directories=self._roots,
            warnings=warnings if raw else [_as_html(text) for text in warnings],
            websocket_count=websockets,
            moonraker_version=MOONRAKER_VERSION,
            missing_klippy_requirements=known["missing_klippy_requirements"],
            api_version=list(API_VERSION),
            api_version_string=".".join(map(str, API_VERSION)),
            plugins=components,
            failed_plugins=failed,
        )

    @implements(server.CONFIG)
    def config(self, params: NoParams, call: Call) -> Raw:
        """As it was when the program started: a changed file counts after a restart."""
        if not self._config:
            self._config = Raw(dumps(self._host.configuration()))
        return self._config

    @implements(server.RESTART)
    def restart(self, params: NoParams, call: Call) -> str:
        """Answers, then ends."""
        call.then.append(self._host.restart)
        return OK

    @implements(server.LOGS_ROLLOVER)
    async def roll_logs(self, params: server.RolloverParams, call: Call) -> server.RolledOver:
        """Each log on its own: what fails is in the answer."""
        rolls: dict[str, Callable[[], Awaitable[None]]] = {
            "moonraker": self._host.roll_log,
            "klipper": partial(roll_klipper_log, self.bus),
        }
        done: list[str] = []
        failed: dict[str, str] = {}
        for name in [params.application] if params.application else rolls:
            try:
                await rolls[name]()
                done.append(name)
            except (OSError, BusError) as error:
                failed[name] = str(error)
        return server.RolledOver(rolled_over=done, failed=failed)

    @implements(server.WEBSOCKET_ID)
    def websocket_id(self, params: NoParams, call: Call) -> server.WebsocketId:
        """The caller's connection; the shared topic has none."""
        return server.WebsocketId(websocket_id=call.connection.id if call.connection else 0)

    @implements(server.IDENTIFY)
    def identify(self, params: server.IdentifyParams, call: Call) -> server.Identified:
        """Names the caller's connection, once."""
        if call.connection is None:
            return server.Identified(connection_id=0)
        who = self._bearer(params, call.connection)
        if call.connection.identity is not None:
            raise InvalidParams(f"Connection already identified as {call.connection.identity['name']}")
        if params.type == "agent" and self._agent_connected(params.client_name):
            raise InvalidParams(f"Agent {params.client_name} is already connected")
        name = {"name": params.client_name, "version": params.version, "type": params.type, "url": params.url}
        self._host.become(call.connection, who)
        self._host.identify(call.connection, name)
        return server.Identified(connection_id=call.connection.id)

    def _bearer(self, params: server.IdentifyParams, connection: Connection) -> Principal:
        """Who shows that; raises Unauthenticated: a connection that shows something wrong is nobody's from then on."""
        directory, who = self._host.directory, connection.actor.principal
        if credential := _credential(params):
            try:
                return directory.identify(credential, connection.actor.client)
            except Unauthenticated:
                self._host.become(connection, NOBODY)
                raise
        if Permission.READ not in connection.actor.rights(directory):
            raise Unauthenticated("Unauthorized")
        return who

    def _agent_connected(self, name: str) -> bool:
        known = (found.identity for found in self._host.connections() if found.identity is not None)
        return any(identity["type"] == "agent" and identity["name"] == name for identity in known)

    @implements(server.EVENTS_READ)
    async def read(self, params: server.EventsParams, call: Call) -> server.Events:
        """Facts after a position or from a time on, in order; raises Forbidden."""
        without = frozenset[str]() if self._may_see_all(call) else CONFIDENTIAL
        if params.stream in without:
            raise Forbidden(f"The events of '{params.stream}' need the permission '{Permission.ADMIN}'")
        wanted = Excerpt(params.since, params.stream, params.limit, params.since_time, params.until_time, without)
        found, head = await self._host.read_events(wanted)
        events = [
            server.Event.model_construct(
                seq=event.seq,
                time=event.time,
                stream=event.stream,
                type=event.type,
                actor=dict(event.actor) if event.actor else None,
                data=dict(event.data),
            )
            for event in found
        ]
        return server.Events.model_construct(events=events, head=head)

    @implements(server.EVENTS_STATE)
    async def past(self, params: server.StateParams, call: Call) -> server.PastState:
        """The state of a fold, now or as it was; raises Forbidden."""
        if params.fold == Accounts.name and not self._may_see_all(call):
            raise Forbidden(f"The state of '{params.fold}' needs the permission '{Permission.ADMIN}'")
        state = await self._host.fold_state(params.fold, params.seq, params.time)
        return server.PastState(fold=params.fold, state=state)

    def _may_see_all(self, call: Call) -> bool:
        return Permission.ADMIN in call.actor.rights(self._host.directory)

    @implements(server.EVENTS_APPEND)
    async def append(self, params: server.AppendParams, call: Call) -> server.Appended:
        """Records facts of an agent in another process."""
        try:
            append_id = UUID(params.append_id)
        except ValueError:
            raise InvalidParams("Argument append_id: expected a UUID") from None
        events = [NewEvent(fact.type, fact.data, fact.actor) for fact in params.events]
        return server.Appended(seq=await self.bus.append(params.stream, events, append_id=append_id))

    @implements(rpc.DISCOVER)
    async def discover(self, params: NoParams, call: Call) -> Raw:
        """The method table, as it was generated."""
        if not self._methods:
            self._methods = await asyncio.to_thread(_openrpc)
        return self._methods


def _credential(params: server.IdentifyParams) -> Credential | None:
    """What is shown; an empty text, as clients send it that have nothing configured, is nothing."""
    if params.access_token:
        return Credential(Scheme.TOKEN, params.access_token)
    return Credential(Scheme.KEY, params.api_key) if params.api_key else None


def _as_html(text: str) -> str:
    """Front ends show warnings as HTML, and some hold what stands in a file."""
    return text.translate(AS_HTML)


def _openrpc() -> Raw:
    """Without the white space that is there for reviewers."""
    return Raw(dumps(orjson.loads((rpc.GENERATED / "openrpc.json").read_bytes())))
