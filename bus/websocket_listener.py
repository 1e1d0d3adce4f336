"""Listeners of type ws: MQTT over websockets, by the websockets library that comes with amqtt."""

import ssl
from functools import partial
from http import HTTPStatus

from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from .access import Authenticator
from .errors import Forbidden
from .exchange import Exchange
from .listeners import Listener
from .sockets import tls_of
from .web_pages import WebPages, is_loopback
from .websocket import PACKETS_PER_MESSAGE, SUBPROTOCOL, carry

__all__ = ["WebsocketServer", "serve_websockets"]


async def serve_websockets(
    exchange: Exchange, authenticator: Authenticator, listener: Listener, context: ssl.SSLContext | None
) -> WebsocketServer:
    """Serves MQTT on each websocket; raises OSError where the address cannot be had."""

    async def on_websocket(websocket: ServerConnection) -> None:
        peer = websocket.remote_address
        address = peer[0] if isinstance(peer, tuple) else ""
        await carry(exchange, authenticator, _Wire(websocket), address, tls_of(websocket.transport))

    return await serve(
        on_websocket,
        listener.host,
        listener.port,
        ssl=context,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        compression=None,
        max_size=PACKETS_PER_MESSAGE * exchange.limits.packet_bytes,
        open_timeout=exchange.limits.first_packet_seconds,
        ping_interval=None,
        process_request=partial(_judge, WebPages(listener.origins, listener.hosts, is_loopback)),
    )


def _judge(pages: WebPages, websocket: ServerConnection, request: Request) -> Response | None:
    """Refuses what a foreign web page opens."""
    names = ((name, request.headers.get_all(name)) for name in ("Host", "Origin"))
    try:
        pages.check_socket({name.lower().encode(): ", ".join(found).encode() for name, found in names if found})
    except Forbidden as refused:
        return websocket.respond(HTTPStatus.FORBIDDEN, f"{refused.message}\n")
    return None


class _Wire:
    """A websocket of the websockets library."""

    def __init__(self, websocket: ServerConnection) -> None:
        self._websocket = websocket

    async def receive(self) -> bytes | None:
        try:
            data = await self._websocket.recv()
        except ConnectionClosed:
            return None
        return data if isinstance(data, bytes) else None

    async def send(self, data: bytes) -> None:
        try:
            await self._websocket.send(data)
        except ConnectionClosed as error:
            raise ConnectionError from error

    async def close(self) -> None:
        await self._websocket.close()
