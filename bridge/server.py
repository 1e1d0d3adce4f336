"""uvicorn in our loop: bound before it starts, without signal handlers, and quick to stop."""

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

from starlette.types import ASGIApp

# The package imports its command line, with click and multiprocessing: 1.7 MB that nobody here has a use for.
_COMMAND_LINE = "uvicorn.main"
if _COMMAND_LINE not in sys.modules:
    sys.modules[_COMMAND_LINE] = ModuleType(_COMMAND_LINE)
    vars(sys.modules[_COMMAND_LINE]).update(Server=None, main=None, run=None)

import uvicorn.config  # noqa: E402
import uvicorn.server  # noqa: E402

from .crowd import Crowd, is_idle  # noqa: E402
from .direct import answering  # noqa: E402

if not hasattr(sys.modules[_COMMAND_LINE], "__file__"):
    del sys.modules[_COMMAND_LINE]  # whoever wants it gets the real one

BACKLOG = 2048
KEEP_ALIVE = 75  # seconds that an idle HTTP connection is kept
STOP_WAIT = 1  # seconds for answers under way when the server stops


class Server:
    """Serves one application on one address; `websocket` makes the protocol of an upgraded connection.

    `crowd` counts connections, perhaps those of several servers.
    """

    def __init__(
        self,
        app: ASGIApp,
        websocket: Callable[..., asyncio.Protocol],
        host: str,
        port: int,
        crowd: Crowd,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._config = uvicorn.config.Config(
            cast(Any, app),
            ws=cast(type[asyncio.Protocol], websocket),
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="critical",  # below it are a line per malformed request and tracebacks of vanished clients
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE,
        )
        self._crowd = crowd
        self._tls = tls
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._server: uvicorn.server.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle: dict[object, object] = {}

    def bind(self) -> tuple[str, int]:
        """Takes the address, from when on connections queue; its URL and port. Raises OSError."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = socket.create_server((self._host, self._port), family=family, backlog=BACKLOG)
        # asyncio sets this only where the socket names its protocol; otherwise bodies wait 40 ms behind their heads.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = self._socket.getsockname()[:2]
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}", int(port)

    async def start(self) -> None:
        """Answers from now on."""
        assert self._socket is not None, "bind first"  # noqa: S101
        # The steps of `Server.serve` without its signal handlers: signals belong to the program.
        self._config.load()
        self._config.http_protocol_class = self._crowd.counted(answering(self._config.http_protocol_class))
        self._config.ssl = self._tls
        self._server = uvicorn.server.Server(self._config)
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup(sockets=[self._socket])
        self._task = asyncio.create_task(self._server.main_loop(), name="bridge: http")

    async def stop(self) -> None:
        """Answers what is under way, then closes; within `STOP_WAIT` and a little."""
        if self._server is None or self._task is None:
            return
        # Not uvicorn's own shutdown, which sleeps more than it works.
        self._task.cancel()
        await asyncio.wait([self._task])
        state = self._server.server_state
        for listener in self._server.servers:
            listener.close()
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            _, late = await asyncio.wait(list(state.tasks), timeout=STOP_WAIT)
            for task in late:
                task.cancel()
        self._server = self._task = self._socket = None

    def sweep(self) -> None:
        """Cuts connections that have been in the middle of a request's head since the last sweep.

        uvicorn times out only connections that wait between two requests.
        """
        if self._server is None:
            return
        known, self._idle = self._idle, {}
        for connection in list(self._server.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            between = getattr(connection, "timeout_keep_alive_task", None) is not None
            if between or not is_idle(connection):
                continue
            if connection in known and known[connection] is cycle and connection.transport is not None:
                connection.transport.close()
            self._idle[connection] = cycle
