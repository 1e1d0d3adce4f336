"""amqtt's broker object with our protocol engine behind its listeners; none of its own connection handling runs."""

import asyncio
import logging
import ssl
from types import TracebackType
from typing import Self

import amqtt.broker
from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

from .access import Authenticator
from .exchange import Exchange
from .listeners import BrokerSettings, Listener
from .sockets import SocketProtocol, notice_dead_peers
from .websocket_listener import WebsocketServer, serve_websockets

# amqtt wants a listener of this name, from which the others inherit; one without an address is not started.
TEMPLATE = "default"
BACKLOG = 1024
UNIX_SOCKET_MODE = 0o660


class Broker(amqtt.broker.Broker):  # type: ignore[misc]  # amqtt is not marked as typed
    """The listeners of the settings, connected to the exchange while the context is entered."""

    def __init__(self, exchange: Exchange, authenticator: Authenticator, settings: BrokerSettings) -> None:
        self._exchange = exchange
        self._authenticator = authenticator
        self._settings = settings
        self._unix_servers: list[asyncio.AbstractServer] = []
        super().__init__(_amqtt_config(settings), loop=exchange.loop)
        # A failed start is raised; amqtt would also log it, with a traceback.
        self.logger.setLevel(logging.CRITICAL)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
            await self._start_unix_listeners()
        except BaseException as error:
            await self._close()
            # amqtt wraps what went wrong, such as a port in use, in an exception of its own.
            raise error.__cause__ or error from None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        await self.shutdown()

    async def _close(self) -> None:
        servers = [server.instance for server in self._servers.values()] + self._unix_servers
        for server in servers:
            server.close()
        self._exchange.sessions.close_all()
        for server in servers:
            await server.wait_closed()
        for listener in self._settings.listeners.values():
            if listener.path is not None:
                listener.path.unlink(missing_ok=True)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each bound tcp and websocket listener, in the order of the settings."""
        sockets = [sock for server in self._servers.values() for sock in server.instance.sockets]
        return [sock.getsockname()[:2] for sock in sockets]

    async def _create_server_instance(
        self,
        listener_name: str,
        listener_type: ListenerType,
        address: str | None,
        port: int,
        ssl_context: ssl.SSLContext | None,
    ) -> asyncio.Server | WebsocketServer:
        listener = self._settings.listeners[_name(listener_name)]
        if ssl_context is not None:
            ssl_context.verify_mode = _verification(listener)
        if listener_type == ListenerType.WS:
            return await serve_websockets(self._exchange, self._authenticator, listener, ssl_context)
        server = await self._exchange.loop.create_server(
            self._accept,
            listener.host,
            listener.port,
            ssl=ssl_context,
            ssl_handshake_timeout=self._exchange.limits.first_packet_seconds if ssl_context else None,
            reuse_address=True,
            backlog=BACKLOG,
        )
        notice_dead_peers(server)
        return server

    def _accept(self) -> SocketProtocol:
        return SocketProtocol(self._exchange, self._authenticator)

    async def _start_unix_listeners(self) -> None:
        for listener in self._settings.listeners.values():
            if listener.path is not None:
                server = await self._exchange.loop.create_unix_server(self._accept, listener.path, backlog=BACKLOG)
                self._unix_servers.append(server)
                listener.path.chmod(UNIX_SOCKET_MODE)

    async def _broadcast_loop(self) -> None:
        """Routing is the exchange's; amqtt's own loop has nothing to do."""

    async def _session_monitor(self) -> None:
        """Sessions are the exchange's; amqtt has none to expire."""


def _verification(listener: Listener) -> ssl.VerifyMode:
    if listener.require_certificate:
        return ssl.CERT_REQUIRED
    return ssl.CERT_OPTIONAL if listener.cafile is not None else ssl.CERT_NONE


def _key(name: str) -> str:
    """amqtt's name of a listener, which cannot be that of the template."""
    return f"{name}:"


def _name(key: str) -> str:
    return key.removesuffix(":")


def _amqtt_config(settings: BrokerSettings) -> BrokerConfig:
    ours = {name: listener for name, listener in settings.listeners.items() if listener.type != "unix"}
    listeners = {_key(name): _amqtt_listener(listener) for name, listener in ours.items()}
    config = BrokerConfig(listeners={TEMPLATE: ListenerConfig(bind=None), **listeners}, plugins={})
    # amqtt takes 0.0.0.0:1883 for "not given" and replaces it by the template's.
    for name, listener in ours.items():
        config.listeners[_key(name)].bind = _bind(listener)
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
