"""A scripted Spoolman on a free port: its HTTP, its websocket, its spools, and every trouble that a test wants."""

import json
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from threading import Event, Lock, Thread
from typing import Any

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455
CLOSE = b"\x88"  # how the frame begins with which a client closes
PATIENCE = 30.0  # seconds
SPOOLS = "/api/v1/spool"

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Trouble:
    """What happens to one use of filament: whether it counts, and a status or, with None, a lost connection."""

    counts: bool
    status: int | None = None


@dataclass
class Spoolman:
    """What the server has, what it was asked (`VERB path`, body), and what it says elsewhere, by `VERB path`."""

    url: str
    spools: dict[int, float] = field(default_factory=dict)  # used_length, mm
    heard: list[tuple[str, Any]] = field(default_factory=list, repr=False)  # hypothesis shows the rest
    answers: dict[str, Answer] = field(default_factory=dict)
    troubles: deque[Trouble] = field(default_factory=deque)
    leads_to: str = ""  # where websockets of other paths are sent
    down: bool = False  # every connection is cut
    silent: Event = field(default_factory=Event)  # nothing is answered until it is cleared
    _listeners: list[socket] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @property
    def listeners(self) -> int:
        """Websockets that are open, as far as is known."""
        return len(self._listeners)

    def uses(self) -> list[tuple[str, float]]:
        """Path and length of all uses that were asked for."""
        return [(what, body["use_length"]) for what, body in self.heard if what.startswith("PUT")]

    def delete(self, spool_id: int) -> None:
        """As somebody does it in Spoolman's own pages."""
        del self.spools[spool_id]
        self.say({"type": "deleted", "resource": "spool", "date": "2026-01-01T00:00:00", "payload": {"id": spool_id}})

    def change(self, spool_id: int, used: float) -> None:
        """The same."""
        self.spools[spool_id] = used
        self.say({"type": "updated", "resource": "spool", "date": "x", "payload": shown(spool_id, used)})

    def say(self, message: object) -> None:
        """To all websockets; bytes are sent as they are."""
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        for listener in list(self._listeners):
            with suppress(OSError):
                listener.sendall(b"\x81" + _length(content) + content)

    def disconnect(self) -> None:
        """Cuts all websockets."""
        for listener in list(self._listeners):
            with suppress(OSError):
                listener.shutdown(SHUT_RDWR)

    def answer(self, verb: str, path: str, content: bytes) -> Answer | None:
        """To a request; None cuts the connection."""
        body = json.loads(content) if content else None
        with self._lock:
            self.heard.append((f"{verb} {path}", body))
            scripted = self.answers.get(f"{verb} {path}")
            if scripted is not None:
                return scripted
            if path.startswith(SPOOLS + "/"):
                return self._spool(verb, path, body)
        return said(404, {"detail": "Not Found"})

    def _spool(self, verb: str, path: str, body: Any) -> Answer | None:
        number, _, action = path.removeprefix(SPOOLS + "/").partition("/")
        spool_id = int(number)
        if spool_id not in self.spools:
            return said(404, {"message": f"No spool with ID {spool_id} found."})
        if verb == "PUT" and action == "use":
            trouble = self.troubles.popleft() if self.troubles else None
            if trouble is None or trouble.counts:
                self.spools[spool_id] += body["use_length"]
            if trouble is not None:
                return None if trouble.status is None else said(trouble.status, {"message": "scripted"})
        return said(200, shown(spool_id, self.spools[spool_id]))

    def attend(self, listener: socket) -> None:
        """A websocket, until it ends."""
        self._listeners.append(listener)
        try:
            with suppress(OSError):
                while listener.recv(4096)[:1] not in (b"", CLOSE):
                    continue
        finally:
            self._listeners.remove(listener)


def said(status: int, value: object, **headers: str) -> Answer:
    """An answer in JSON."""
    return status, {"content-type": "application/json", **headers}, json.dumps(value).encode()


def shown(spool_id: int, used: float) -> Json:
    """A spool as Spoolman shows it."""
    return {"id": spool_id, "used_length": used, "used_weight": used * 0.003, "archived": False}


def until(met: Callable[[], bool]) -> None:
    """Waits for something that another thread or process brings about."""
    end = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@contextmanager
def spoolman(spools: Mapping[int, float]) -> Iterator[Spoolman]:
    """The server with these spools (used_length by id), until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            until(lambda: not server.silent.is_set())
            self.close_connection = True
            if server.down:
                return
            if self.headers.get("Upgrade", "").lower() == "websocket":
                return self._upgrade()
            answer = server.answer(self.command, self.path, content)
            if answer is not None:
                self._send(*answer)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _upgrade(self) -> None:
            if self.path != SPOOLS:
                return self._send(307 if server.leads_to else 403, {"Location": server.leads_to}, b"")
            accept = b64encode(sha1(self.headers["Sec-WebSocket-Key"].encode() + MAGIC).digest())  # noqa: S324
            self.send_response(101)
            headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept.decode()}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            server.attend(self.connection)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = Spoolman(f"http://127.0.0.1:{http.server_port}", dict(spools))
        thread = Thread(target=http.serve_forever, args=(0.05,), name="scripted Spoolman")
        thread.start()
        try:
            yield server
        finally:
            server.silent.clear()
            server.disconnect()
            http.shutdown()
            thread.join()


def _length(content: bytes) -> bytes:
    size = len(content)
    return bytes([size]) if size < 126 else b"\x7f" + size.to_bytes(8, "big")
