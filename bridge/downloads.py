"""Downloads over HTTP: ranges, validators and names of files, and the contents as a transfer brings them."""

import asyncio
import re
from email.utils import formatdate, parsedate_to_datetime
from mimetypes import guess_type
from typing import NamedTuple
from urllib.parse import quote

from bus.errors import BusError, Forbidden, InvalidParams, NotFound
from schemas.files import LOGS

from .answers import HTML
from .replies import Reply
from .requests import Request
from .transfers import Download, Transfers

STEM = "/server/files/"
RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
WHOLE, PARTIAL, UNCHANGED, NO_RANGE = 200, 206, 304, 416
PICTURES = (".png", ".jpg")
TEXTS = (".gcode", ".gco", ".g", ".nc", ".cfg", ".conf", ".log")
TEXT, PLAIN = "text/plain", "application/octet-stream"


def is_picture(path: str) -> bool:
    """Whether this is what an image tag of a web page shows, which cannot send credentials."""
    return path.endswith(PICTURES)


class Part(NamedTuple):
    """The bytes of a file from `start` to before `end`."""

    start: int
    end: int


class Downloads:
    """The endpoint below `/server/files/`."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    async def __call__(self, request: Request, reply: Reply) -> None:
        """The file, a part of it, or that it has not changed."""
        download = await self._open(request)
        try:
            await self._answer(download, request, reply)
        finally:
            await self._transfers.close(request.actor, download)

    async def _open(self, request: Request) -> Download:
        path = request.path.removeprefix(STEM)
        if "/" not in path and path not in LOGS:
            raise NotFound("Not Found")
        try:
            return await self._transfers.open_download(request.actor, path)
        except BusError as error:
            raise _as_for_a_page(error, path) from None

    async def _answer(self, download: Download, request: Request, reply: Reply) -> None:
        modified = formatdate(download.modified, usegmt=True)
        headers = [(b"accept-ranges", b"bytes"), (b"last-modified", modified.encode())]
        if _unchanged(request, download):
            return await reply.start(UNCHANGED, *headers, length=None)
        part, status = Part(0, download.size), WHOLE
        if request.header(b"if-range") in ("", modified) and (asked := _range(request, download)) is not None:
            if asked.start >= asked.end:
                unsatisfied = (b"content-range", b"bytes */%d" % download.size)
                return await reply.whole(NO_RANGE, b"", unsatisfied, kind=HTML)
            part, status = asked, PARTIAL
            headers.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, download.size)))
        kind = TEXT if download.name.lower().endswith(TEXTS) else guess_type(download.name)[0] or PLAIN
        headers += [
            (b"content-type", kind.encode()),
            (b"content-disposition", disposition(download.name)),
        ]
        body = request.verb != "HEAD"
        await reply.start(status, *headers, length=part.end - part.start, body=body)
        if body:
            await self._send(download, part, request, reply)
        return None

    async def _send(self, download: Download, part: Part, request: Request, reply: Reply) -> None:
        """Asks for the next chunk whenever one has gone to the socket."""
        at, asked = part.start, min(part.start + download.window, part.end)
        download.want(asked, start=at)
        gone = asyncio.create_task(request.gone(), name="bridge: download")
        try:
            while at < part.end and not gone.done():
                data = await download.next()
                at += len(data)
                if asked < part.end and asked - at <= download.window // 2:
                    asked = min(at + download.window, part.end)
                    download.want(asked)
                await reply.more(data, last=at >= part.end)
        finally:
            gone.cancel()
            await asyncio.wait((gone,))


def disposition(name: str) -> bytes:
    """The header by which a browser saves a file under its own name, whatever that contains."""
    plain = name.encode("ascii", "replace").decode().translate(str.maketrans('"\\\r\n', "____"))
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}".encode()


def _unchanged(request: Request, download: Download) -> bool:
    since = request.header(b"if-modified-since")
    if not since or request.header(b"if-none-match"):
        return False
    try:
        return int(download.modified) <= parsedate_to_datetime(since).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False


def _range(request: Request, download: Download) -> Part | None:
    """The part that is asked for, empty where it is outside of the file; None for the whole, or what is no range."""
    found = RANGE.fullmatch(request.header(b"range").strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return Part(max(0, download.size - int(found[2])), download.size)
    start = int(found[1])
    if not found[2]:
        return Part(start, download.size)
    end = int(found[2]) + 1
    return Part(start, min(end, download.size)) if start < end else None


def _as_for_a_page(error: BusError, path: str) -> BusError:
    """Where a method would call the path invalid, a page is forbidden or missing."""
    if error.code != InvalidParams.code:
        return error
    return Forbidden("Forbidden") if ".." in path.split("/") else NotFound("Not Found")
