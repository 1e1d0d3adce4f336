"""A scripted HTTP server on a free port: says what a test wants, and keeps what it was asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: Message
    body: bytes = b""


class Scripted:
    """What the server says by path, 404 elsewhere, and what it has heard."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.heard: list[Asked] = []
        self._answers: dict[str, tuple[int, dict[str, str], bytes]] = {}

    def say(self, path: str, content: bytes, status: int = 200, **headers: str) -> None:
        """From now on."""
        self._answers[path] = status, headers, content

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request."""
        self.heard.append(asked)
        return self._answers.get(asked.path, (404, {}, b"nothing here"))


@contextmanager
def scripted() -> Iterator[Scripted]:
    """The server, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            status, headers, content = script.answer(Asked(self.path, self.headers, body))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        script = Scripted(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.05,), name="scripted HTTP")
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()
