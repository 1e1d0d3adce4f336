"""amqtt's broker object with our protocol engine behind its listeners; none of its own connection handling runs."""

import asyncio
import ssl
from types import TracebackType
from typing import Self

import amqtt.broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from .access import Authenticator
from .exchange import Exchange
from .listeners import BrokerSettings, Listener
from .sockets import SocketProtocol

# amqtt wants a listener of this name, from which the others inherit; one without an address is not started.
TEMPLATE = "default"
BACKLOG = 1024


class Broker(amqtt.broker.Broker):  # type: ignore[misc]  # amqtt is not marked as typed
    """The listeners of the settings, connected to the exchange while the context is entered."""

    def __init__(self, exchange: Exchange, authenticator: Authenticator, settings: BrokerSettings) -> None:
        self._exchange = exchange
        self._authenticator = authenticator
        self._settings = settings
        super().__init__(_amqtt_config(settings), loop=exchange.loop)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            server.instance.close()
        self._exchange.sessions.close_all()
        await self.shutdown()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each bound tcp socket, in the order of the settings."""
        sockets = [sock for server in self._servers.values() for sock in server.instance.sockets]
        return [sock.getsockname()[:2] for sock in sockets]

    async def _create_server_instance(
        self,
        listener_name: str,
        listener_type: ListenerType,
        address: str | None,
        port: int,
        ssl_context: ssl.SSLContext | None,
    ) -> asyncio.Server:
        return await self._exchange.loop.create_server(
            lambda: SocketProtocol(self._exchange, self._authenticator),
            address.strip("[]") if address else None,
            port,
            ssl=ssl_context,
            reuse_address=True,
            backlog=BACKLOG,
        )

    async def _broadcast_loop(self) -> None:
        """Routing is the exchange's; amqtt's own loop has nothing to do."""

    async def _session_monitor(self) -> None:
        """Sessions are the exchange's; amqtt has none to expire."""


def _amqtt_config(settings: BrokerSettings) -> BrokerConfig:
    listeners = {f"{name}:": _amqtt_listener(listener) for name, listener in settings.listeners.items()}
    config = BrokerConfig(listeners={TEMPLATE: ListenerConfig(bind=None), **listeners}, plugins={})
    # amqtt takes 0.0.0.0:1883 for "not given" and replaces it by the template's.
    for name, listener in settings.listeners.items():
        config.listeners[f"{name}:"].bind = _bind(listener)
    return config


def _amqtt_listener(listener: Listener) -> ListenerConfig:
    return ListenerConfig(
        type=ListenerType(listener.type),
        bind=_bind(listener),
        ssl=listener.certfile is not None,
        cafile=listener.cafile,
        certfile=listener.certfile,
        keyfile=listener.keyfile,
    )


def _bind(listener: Listener) -> str:
    return f"[{listener.host}]:{listener.port}" if ":" in listener.host else f"{listener.host}:{listener.port}"
