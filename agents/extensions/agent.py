"""The extensions agent: passes calls to clients that identify as agents, and their events to everybody else."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import Field

from bus.agent import Agent, Bus, Call, Connection, Host, Settings, implements
from bus.errors import InvalidParams
from bus.macros import Macros, Offers
from schemas import NoParams, extensions

from .requests import Requests, message

OK = "ok"


class ExtensionsSettings(Settings):
    """How long agents may take."""

    request_timeout: float = Field(60.0, gt=0, le=86_400, description="Seconds until a call of an agent is given up.")


class Extensions(Agent):
    """Somebody else's agents on the bus; it sees the connections, so it runs beside the broker only."""

    name = "extensions"
    components = ("extensions",)
    beside_broker = True
    settings_model = ExtensionsSettings
    settings: ExtensionsSettings

    def __init__(self, bus: Bus, settings: ExtensionsSettings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("the extensions agent runs beside the broker only")
        self._host = host
        self._macros = Macros(bus, self.name)
        self._offers = Offers(bus)
        self._lenders: dict[str, Connection] = {}  # by the names that macros may call
        self._requests = Requests(settings.request_timeout)

    async def run(self) -> None:
        """Watches connections until cancelled."""
        self._offers.start()
        async with self._macros:
            self._host.watch(self)
            try:
                await super().run()
            finally:
                self._host.unwatch(self)

    # -- what happens to connections

    def identified(self, connection: Connection) -> None:
        """An agent that has come is announced behind the answer to it."""
        if _name(connection) is not None:
            asyncio.get_running_loop().call_soon(self._say, connection, "connected", dict(connection.identity or {}))

    def left(self, connection: Connection) -> None:
        """All that an agent lent goes with it."""
        if _name(connection) is None:
            return
        for method in [method for method, lender in self._lenders.items() if lender is connection]:
            del self._lenders[method]
            self._macros.withdraw(method)
        self._requests.lost(connection, f"Agent {_name(connection)} has disconnected")
        self._say(connection, "disconnected")

    def answered(self, connection: Connection, answer: Mapping[str, Any]) -> None:
        """An agent answers a request of ours."""
        self._requests.answered(connection, answer)

    def _say(self, connection: Connection, event: str, *data: Any) -> None:
        said = {"agent": _name(connection), "event": event}
        self.notify(extensions.AGENT_EVENT, [{**said, "data": data[0]} if data else said])

    # -- what is answered

    @implements(extensions.LIST)
    def list_agents(self, params: NoParams, call: Call) -> extensions.ExtensionsList:
        """As they have identified themselves."""
        known = [extensions.Extension.model_validate(found.identity) for found in self._agents().values()]
        return extensions.ExtensionsList(agents=known)

    @implements(extensions.REQUEST)
    async def request(self, params: extensions.RequestParams, call: Call) -> Any:
        """The agent's own result; FailedDependency with its error, Timeout, or Internal when it goes meanwhile."""
        agent = self._agents().get(params.agent)
        if agent is None:
            raise InvalidParams(f"Agent {params.agent} not connected")
        return await self._requests.ask(agent, params.method, params.arguments)

    @implements(extensions.SEND_EVENT)
    def send_event(self, params: extensions.EventParams, call: Call) -> str:
        """To everybody but the agent's own websocket."""
        agent = _agent(call, "send events")
        if params.event in extensions.RESERVED:
            raise InvalidParams(f"Event '{params.event}' is reserved")
        self._say(agent, params.event, *([params.data] if "data" in params.model_fields_set else []))
        return OK

    @implements(extensions.REGISTER)
    def register(self, params: extensions.RegisterParams, call: Call) -> str:
        """A name belongs to who was first with it."""
        agent, method = _agent(call, "register methods"), params.method_name
        if method in extensions.KLIPPERS_OWN or method in self._lenders or self._offers.owner(method) is not None:
            raise InvalidParams(f"Method '{method}' is already registered")
        self._lenders[method] = agent
        self._macros.offer(method, partial(_call, agent, method))
        return OK

    def _agents(self) -> dict[str, Connection]:
        return {name: found for found in self._host.connections() if (name := _name(found)) is not None}


def _name(connection: Connection) -> str | None:
    """The name of an agent; None for any other client."""
    known = connection.identity
    return known["name"] if known is not None and known["type"] == "agent" else None


def _agent(call: Call, what: str) -> Connection:
    if call.connection is None or _name(call.connection) is None:
        raise InvalidParams(f"Only connections of the 'agent' type can {what}")
    return call.connection


def _call(agent: Connection, method: str, arguments: dict[str, Any]) -> None:
    """A macro waits for no answer, so the agent gets a notification."""
    agent.send(message(method, arguments))
