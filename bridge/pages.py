"""The pages under /docs: files of our own, and the generated documents that they show."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.rpc import GENERATED

STATIC = Path(__file__).with_name("static")
PAGES = {"/docs": "index.html", "/docs/": "index.html", "/docs/topics": "topics.html"}
PARTS = ("docs.css", "docs.js", "methods.js", "topics.js", "try.js")
DOCUMENTS = ("openapi.json", "asyncapi.json", "openrpc.json", "schemas.json")
FILES = (
    {path: STATIC / name for path, name in PAGES.items()}
    | {f"/docs/{name}": STATIC / name for name in PARTS}
    | {f"/docs/{name}": GENERATED / name for name in DOCUMENTS}
)
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json"}
LINKING = (".html", ".js")  # files that name others
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def page_routes(prefix: str) -> list[Route]:
    """A route per file; they say the same of every installation, so anybody may read them."""
    return [Route(path, _serving(file, prefix.encode())) for path, file in FILES.items()]


def _serving(file: Path, prefix: bytes) -> Callable[[Request], Awaitable[Response]]:
    async def serve(_: Request) -> Response:
        body = await asyncio.to_thread(file.read_bytes)
        if prefix and file.suffix in LINKING:
            body = body.replace(b'"/docs', b'"%b/docs' % prefix)
        return Response(body, headers=HEADERS, media_type=f"{KINDS[file.suffix]}; charset=UTF-8")

    return serve
