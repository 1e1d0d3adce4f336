"""The one way of every command: parse, actor, permission, once, validate, record, dispatch, deadline, answer."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from schemas import AnyMethod, NoParams, Permission, Table

from .access import Role
from .agent import Call
from .alertness import Alertness
from .audit import Audit
from .connections import Connections
from .envelope import MAX_REQUEST, NULL, failure, id_of, is_answer, loads, request_of, too_large
from .errors import (
    BusError,
    Forbidden,
    Internal,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    Unauthenticated,
    Unavailable,
)
from .identity import EVERYTHING, Kind
from .log import StoredEvent
from .message import Message
from .once import Once
from .origins import Answer, Origin, Origins
from .pending import Flow, Pending
from .ports import LocalPort, Port, RemotePort
from .session import LocalSession
from .standing import Rights, Standing
from .topics import Topics, group_request

log = logging.getLogger(__name__)

MAX_BATCH = 1000  # requests of one batch; a longer one is refused whole
BATCH_TURN = 32  # requests of a batch between two turns of the loop
NO_PARAMS = NoParams()
ALWAYS = (Permission.OPEN, Permission.AGENT)  # for everybody, and for parts of the host, which was looked at before


class Router:
    """Answers every request topic of one instance; agents are reached through ports.

    Unless `over_mqtt`, clients of brokers are told that there is nothing for them. `rights` says what somebody may do.
    """

    def __init__(
        self,
        session: LocalSession,
        topics: Topics,
        methods: Mapping[str, AnyMethod],
        audit: Audit,
        *,
        groups: Iterable[str] = (),
        answer_bytes: int = MAX_REQUEST,
        over_mqtt: bool = True,
        rights: Rights = lambda _: EVERYTHING,
    ) -> None:
        self.session = session
        self.topics = topics
        self.methods = Table(methods.values())
        self.ports: dict[str, Port] = {}
        self._remote: dict[str, RemotePort] = {}
        self._flow = Flow(audit, Once())
        self._origins = Origins(session, topics, answer_bytes)
        self._rights = rights
        self.standing = Standing(session, topics, self._origins, rights)
        self._alertness = Alertness(session.loop)
        self.counters: Counter[str] = Counter()
        self._groups = tuple(groups)
        self._over_mqtt = over_mqtt
        self._names: dict[str, str] = {}
        self._defaults: dict[str, Any] = {}  # params of calls without any
        self._batches: asyncio.TaskGroup | None = None

    @property
    def connections(self) -> Connections:
        """Who is connected."""
        return self._origins.connections

    async def run(self, started: Callable[[], None]) -> None:
        """Serves until cancelled."""
        async with asyncio.TaskGroup() as self._batches:
            topics = self.topics
            for shared in (topics.request, *map(group_request, self._groups)):
                self.session.subscribe(shared, self._on_shared)
            self.session.subscribe(topics.private_requests, self._on_private)
            self.session.subscribe(topics.rpc_requests, self._on_rpc)
            self.session.subscribe(topics.connections, self._on_connection)
            self.session.subscribe(topics.agents, self._on_presence)
            self.session.subscribe(topics.agent_answers, self._on_agent_answer)
            started()
            await asyncio.Event().wait()

    @staticmethod
    def urgent(message: Message) -> bool:
        """Whether a message is to be handled during its delivery: one that may hold an emergency stop.

        Or one that announces a client, whose first request may be that; that it has gone has to wait for its requests.
        """
        if message.topic.endswith("/printer/emergency_stop") or b"printer.emergency_stop" in message.payload:
            return True
        return "/connection/" in message.topic and b'"open":true' in message.payload

    def overflow(self, message: Message) -> None:
        """A request that finds the inbox full is refused at once."""
        self.refuse(message, None if message.retain else self._origins.of(message))

    def refuse(self, message: Message, origin: Origin | None) -> None:
        """Answers a request that there is no room for."""
        self.counters["refused"] += 1
        if origin is None or len(message.payload) > MAX_REQUEST:
            return
        try:
            request_id = id_of(loads(message.payload))
        except BusError:
            request_id = NULL
        origin.send(failure(Unavailable("The server is busy"), request_id))

    def closed(self, client: str) -> None:
        """A client has left the broker."""
        self._origins.closed(client)

    def recover(self, commands: Iterable[StoredEvent]) -> None:
        """Learns from an earlier run's records which commands were accepted."""
        self._flow.once.recover(commands)

    def take(self, message: Message, origin: Origin) -> None:
        """A request that a client of another broker has sent on any request topic; its uplink says who that is."""
        if message.topic.startswith(self.topics.rpc_requests[:-1]):
            self._on_method(message, origin)
        else:
            self._receive(message, origin)

    # -- one handler per kind of topic

    def _on_shared(self, message: Message) -> None:
        self._receive(message, self._origins.of(message))

    def _on_private(self, message: Message) -> None:
        if len(message.topic) > len(self.topics.request):  # the filter `request/#` matches the shared topic too
            self._receive(message, self._origins.of(message))

    def _on_rpc(self, message: Message) -> None:
        self._on_method(message, self._origins.rpc(message.sender))

    def _on_method(self, message: Message, origin: Origin) -> None:
        """Per-method topics: method and actor come from topic and session; only a bridge may speak for another."""
        if message.retain:
            return
        path = message.topic.split("/", 3)[3]
        name = self._names.get(path) or path.replace("/", ".")
        if len(message.payload) > MAX_REQUEST:
            return origin.send(failure(too_large(), NULL))
        if self._is_repeat(message, origin):
            return
        try:
            request = loads(message.payload) if message.payload else {}
            if not isinstance(request, dict):
                raise InvalidRequest("Invalid Request: expected an object with params and id")
        except BusError as error:
            return origin.send(failure(error, NULL))
        if name in self.methods:
            self._names[path] = name
        if message.sender.role is Role.BRIDGE:
            origin = self._origins.spoken_for(origin, request)
        elif origin.agent and request.get("actor"):
            origin = self._origins.mandated(origin, request["actor"])
        params = request.get("params", {})
        if not isinstance(params, dict):
            return origin.send(failure(InvalidParams("Invalid params: expected an object"), id_of(request)))
        return self._execute(name, params, origin, id_of(request), origin.send, message)

    def _on_connection(self, message: Message) -> None:
        client = message.topic.split("/", 2)[2]
        if message.sender.role is not Role.BRIDGE or message.retain:
            return
        self._origins.announced(client, loads(message.payload))
        connection = self.connections.get(client)
        if connection is not None:
            self.standing.tell(connection)

    # -- requests

    def _is_repeat(self, message: Message, origin: Origin) -> bool:
        """Whether a message was here before; a second stop does no harm, and a lost one would."""
        return bool(message.qos) and not self._flow.once.delivery(origin.client, message) and not self.urgent(message)

    def _receive(self, message: Message, origin: Origin | None) -> None:
        if message.retain or origin is None:  # a retained command would run again at every reconnect
            return
        if len(message.payload) > MAX_REQUEST:
            return origin.send(failure(too_large(), NULL))
        if self._is_repeat(message, origin):
            return
        try:
            request = loads(message.payload)
        except BusError as error:
            return origin.send(failure(error, NULL))
        if isinstance(request, list):
            self._on_batch(request, origin, message)
        else:
            self._request(request, origin, origin.send, message)

    def _request(self, request: Any, origin: Origin, answer: Answer, message: Message) -> None:
        try:
            name, params = request_of(request)
        except BusError as error:
            if not is_answer(request):
                return answer(failure(error, id_of(request)))
            if origin.connection is not None:
                self.connections.answered(origin.connection, request)
            return answer(None)
        return self._execute(name, params, origin, id_of(request), answer, message)

    def _execute(
        self, name: str, params: dict[str, Any], origin: Origin, request_id: bytes, answer: Answer, message: Message
    ) -> None:
        self._alertness.request()
        try:
            given = None if message.sender.role is Role.BRIDGE else params.pop("mqtt_timestamp", None)
            call, port = self._accept(name, params, origin)
            stamp = None
            if given is not None:
                stamp = self._flow.once.timestamp(origin.client, given, [name, params, request_id.decode()])
            if call.method.flags.changes and not call.method.flags.urgent:  # a second stop does no harm
                secret = call.method.flags.secret
                key, repeated, first = self._flow.once.claim(
                    origin.client, request_id, name, None if secret else params
                )
                if repeated:
                    return answer(first)
                call.once = key or (None if secret else stamp)  # it goes into the record, with its digest
            Pending(self._flow, call, origin.client, request_id, answer).run(port)
        except BusError as error:
            answer(failure(error, request_id))
        except Exception:
            log.exception("%s could not be dispatched", name)
            answer(failure(Internal("Internal error"), request_id))

    def _accept(self, name: str, params: dict[str, Any], origin: Origin) -> tuple[Call, Port]:
        row = self.methods.find(name)
        port = None if row is None else self.ports.get(row.owner)
        mandated = origin.may is not None
        if not self._over_mqtt and not mandated and origin.actor.transport.startswith(("mqtt", "uplink:")):
            raise MethodNotFound("No methods are offered over MQTT: 'enable_moonraker_api' is switched off")
        if row is None or (row.needs is Permission.AGENT and not origin.agent):
            raise MethodNotFound("Method not found")
        self._require(row, name, origin)
        if port is None:
            raise MethodNotFound("Method not found")
        if row.flags.connection and origin.connection is None and (mandated or origin.actor.transport == "http"):
            raise MethodNotFound(f"{name} needs a connection that stays")
        if row.flags.secret and origin.shared:
            raise Forbidden(f"{name} is refused on a topic that others can read; use a private one")
        if row.flags.secret and not origin.confided:
            raise Forbidden(f"{name} is refused where a network could listen; connect over TLS, or from this machine")
        if not row.flags.urgent:
            self._flow.require_room(origin.client, many=origin.actor.transport == "http")
        call = Call(row, self._validated(row, params), origin.actor, origin.connection, params, asked=name)
        call.client = origin.client
        return call, port

    def _require(self, row: AnyMethod, name: str, origin: Origin) -> None:
        """Raises Unauthenticated where a login could help, and Forbidden."""
        may = self._rights(origin.actor.principal) if origin.may is None else origin.may
        if row.needs in ALWAYS or row.needs in may:
            return
        if origin.actor.kind in (Kind.NOBODY, Kind.TRUSTED):
            raise Unauthenticated("Unauthorized")
        raise Forbidden(f"{name} needs the permission '{row.needs}'")

    def _validated(self, row: AnyMethod, params: dict[str, Any]) -> Any:
        if row.params is NoParams:
            return NO_PARAMS
        try:
            if params:
                self.counters["unknown params"] += len(params.keys() - row.params.model_fields.keys())
                return row.params.model_validate(params)
            if row.name not in self._defaults:
                self._defaults[row.name] = row.params.model_validate(params)
            return self._defaults[row.name]
        except ValidationError as error:
            raise InvalidParams(explain(error)) from None

    def _on_batch(self, requests: list[Any], origin: Origin, message: Message) -> None:
        if not requests:
            return origin.send(failure(InvalidRequest("Invalid Request: an empty batch"), NULL))
        if len(requests) > MAX_BATCH:
            return origin.send(failure(InvalidRequest(f"Invalid Request: a batch holds at most {MAX_BATCH}"), NULL))
        if self._batches is not None:
            self._batches.create_task(self._batch(requests, origin, message), name=f"batch of {origin.client}")

    async def _batch(self, requests: list[Any], origin: Origin, message: Message) -> None:
        """In order, one after the other; what has no id has no entry in the answer."""
        answers: list[bytes] = []
        for index, request in enumerate(requests):
            if index % BATCH_TURN == BATCH_TURN - 1:
                await asyncio.sleep(0)
            ended: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
            self._request(request, origin, ended.set_result, message)
            answer = await ended
            silent = isinstance(request, dict) and "id" not in request and isinstance(request.get("method"), str)
            if answer is not None and not silent:
                answers.append(answer)
        origin.send(b"[" + b",".join(answers) + b"]" if answers else None)

    # -- agents in other processes

    def _on_presence(self, message: Message) -> None:
        port = self._remote.get(message.topic.rpartition("/")[2])
        if port is None or message.sender.client_id != f"agent.{port.name}" or message.retain:
            return
        news = loads(message.payload)
        if news.get("alive"):
            port.alive(str(news["boot"]))
        else:
            port.gone()

    def _on_agent_answer(self, message: Message) -> None:
        port = self._remote.get(message.topic.rsplit("/", 2)[1])
        if port is not None and message.sender.client_id == f"agent.{port.name}":
            port.answered(message.payload)

    def away(self) -> frozenset[str]:
        """Agents of other processes that are not connected."""
        return frozenset(name for name, port in self._remote.items() if port.boot is None)

    def expect(self, name: str) -> RemotePort:
        """A port for an agent that will connect from another process."""
        topic = self.topics.agent_call(name)
        port = RemotePort(name, partial(self.session.publish, topic))
        self.ports[name] = self._remote[name] = port
        return port

    def attach(self, name: str) -> LocalPort:
        """A port for an agent in this process."""
        port = LocalPort()
        self.ports[name] = port
        return port


def explain(error: ValidationError) -> str:
    """The first problem of invalid params as one sentence."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"Missing argument: {where}"
    return f"Argument {where}: {first['msg']}"
