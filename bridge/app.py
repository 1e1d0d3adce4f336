"""The bridge put together: what a session of the bus offers, over HTTP and websockets."""

import asyncio
import logging
from collections import Counter
from functools import partial
from pathlib import Path
from ssl import SSLContext

from starlette.types import ASGIApp

from bus.authorization import Authorization
from bus.calls import Caller, Received, Session
from bus.topics import Topics
from bus.trust import Trust
from schemas import METHODS
from schemas.files import LOGS

from .asgi import Application
from .auth import Gate
from .callers import Callers
from .clients import Clients
from .commands import Commands
from .crowd import Crowd
from .door import Door
from .downloads import Downloads, is_picture
from .jsonrpc import JsonRpc
from .late import Late
from .mqtt_socket import MqttFactory
from .octoprint import OctoPrint
from .requests import Request
from .routes import Routes, Streaming, routes_of
from .server import Server
from .settings import BridgeSettings
from .tls import certificate, context
from .transfers import Transfers
from .tunnels import Tunnels
from .unix_socket import SOCKET, UnixServer
from .uploads import Uploads

log = logging.getLogger(__name__)

PING_EVERY = 20.0  # seconds; who has not answered by the next ping is cut


class Bridge:
    """Translates HTTP and websockets to topics and back, over one session that it does not own.

    The session's client id is `client_id`; `mqtt` makes the broker's side of connections to `/mqtt`; the unix socket
    is in the folder `data`.
    """

    def __init__(
        self,
        session: Session,
        topics: Topics,
        client_id: str,
        settings: BridgeSettings,
        authorization: Authorization,
        *,
        mqtt: MqttFactory | None = None,
        data: Path | None = None,
    ) -> None:
        self._trust = Trust(authorization.trusted_clients)
        self._gate = Gate(settings, self._trust)
        self._caller = Caller(session, topics, client_id)
        callers = Callers(self._gate, self._caller)
        self._clients = Clients(session, topics, client_id)
        self._tunnels = Tunnels(session, topics, client_id, self._clients)
        self._door = Door(settings, self._gate, callers, self._clients, self._tunnels, mqtt)
        self._unix = UnixServer(self._clients, data / SOCKET) if data and settings.unix_socket else None
        commands = Commands(self._caller, settings.max_requests)
        routes = routes_of(METHODS, commands, self._clients, self._check)
        self._transfers = Transfers(session, topics, client_id, commands)
        add_files(routes, self._transfers, settings.prefix)
        OctoPrint(commands, settings).add_to(routes)
        jsonrpc = JsonRpc(self._clients, settings.max_requests)
        pages = Late(partial(_pages, settings, self._gate, callers, commands))
        self._app = Application(routes, self._gate, callers, commands, jsonrpc, pages, settings.prefix)
        self._settings = settings
        self._certificate = certificate(settings, data)
        self._servers: list[Server] = []
        self._crowd = Crowd(settings.max_connections_per_address)
        self._tasks: list[asyncio.Task[None]] = []
        self.urls: list[str] = []
        self.ports: dict[str, int] = {}
        self.warning: str | None = None  # why there is no HTTPS although there is a certificate

    @property
    def connections(self) -> int:
        """Clients that speak JSON-RPC on a websocket or the unix socket."""
        return len(self._clients.sockets)

    @property
    def counters(self) -> dict[str, int]:
        """What was refused or cut, by reason."""
        unix = self._unix.counters if self._unix else Counter[str]()
        return dict(self._door.counters + self._crowd.counters + unix)

    @staticmethod
    def urgent(_: Received) -> bool:
        """For a session in the broker's process: handle everything during its delivery, as that only writes to sockets.

        So an answer is on its way before whatever its agent publishes next.
        """
        return True

    @property
    def url(self) -> str:
        """Where HTTP answers."""
        return self.urls[0] if self.urls else ""

    async def start(self) -> None:
        """Listens and answers; `urls` and `ports` then say where. Raises OSError where the address is taken."""
        self._listen("http", self._settings.port)
        if self._certificate is not None:
            try:
                self._listen("https", self._settings.ssl_port, context(*self._certificate))
            except OSError as error:
                self.warning = f"There is no HTTPS: {error}"
                log.warning("%s", self.warning)
        self._clients.start()
        self._tunnels.start()
        self._transfers.start()
        for server in self._servers:
            await server.start()
        if self._unix is not None:
            await self._unix.start()
        self._tasks = [
            asyncio.create_task(self._ping(), name="bridge: pings"),
            asyncio.create_task(self._trust.keep(), name="bridge: names of trusted clients"),
        ]

    def _listen(self, name: str, port: int, tls: SSLContext | None = None) -> None:
        server = Server(self._app, self._door.connection, self._settings.host, port, self._crowd, tls)
        url, self.ports[name] = server.bind()
        self._servers.append(server)
        self.urls.append(url + self._settings.prefix)

    async def stop(self) -> None:
        """Fails what waits, ends all websockets and stops listening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._caller.lost()
        self._clients.fail()
        if self._unix is not None:
            await self._unix.stop()
        await self._door.close()
        for server in self._servers:
            await server.stop()
        self._servers = []

    def lost(self) -> None:
        """The session has lost the broker: what waits fails, and websockets end: their requests are lost."""
        self._caller.lost()
        self._clients.lost()
        self._transfers.lost()
        self._door.drop()
        if self._unix is not None:
            self._unix.part()

    def restored(self) -> None:
        """The session is back: says again which websockets are open."""
        self._caller.restored()
        self._clients.restored()

    def _check(self, request: Request) -> None:
        self._gate.pages.check_change(request.seen, request.verb)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY)
            self._door.ping()
            for server in self._servers:
                server.sweep()


def _pages(settings: BridgeSettings, gate: Gate, callers: Callers, commands: Commands) -> ASGIApp:
    from .rest import Rest  # with the library for it: a megabyte and 20 ms that only people in a browser need

    return Rest(settings, gate, callers, commands)


def add_files(routes: Routes, transfers: Transfers, prefix: str) -> None:
    """What carries contents of files, and so is no method call."""
    upload = Streaming(Uploads(transfers, f"{prefix}/server/files"), changes=True)
    octoprint = Streaming(Uploads(transfers, f"{prefix}/api/files/moonraker"), changes=True)
    download = Streaming(Downloads(transfers), is_open=is_picture)
    routes.add("POST", "/server/files/upload", upload)
    routes.add("POST", "/api/files/local", octoprint)
    for verb in ("GET", "HEAD"):
        routes.add(verb, "/server/files/{root}/{filename}", download)
        for path in LOGS.values():
            routes.add(verb, path, download)
