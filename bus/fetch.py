"""Asks over HTTP and HTTPS, each time in a thread of its own with a deadline; no other scheme is followed."""

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from threading import BoundedSemaphore, Thread
from typing import TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

T = TypeVar("T")

MAX_THREADS = 8  # one is busy for longer than its deadline where a server sends a byte at a time
AGENT = "printbus"
TRANSPORTS = (UnknownHandler, HTTPHandler, HTTPSHandler)  # those of urlopen, without files, FTP and data
FOLLOWING = (HTTPDefaultErrorHandler, HTTPRedirectHandler, HTTPErrorProcessor)

_free = BoundedSemaphore(MAX_THREADS)


class Unreachable(Exception):
    """There was no answer that could be used; the text says why and holds nothing of the address."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; a `plain` one takes any answer as it is, errors and redirections too, and follows nothing."""

    verb: str = "GET"
    json: bytes | None = None  # the body
    plain: bool = False


GET = Ask()


async def fetch(
    url: str, take: Callable[[HTTPResponse], T], timeout: float, *, proxies: bool = True, ask: Ask = GET
) -> T:
    """What `take` makes of the answer, in the thread; raises Unreachable.

    The threads do not keep the program from ending: a name server that is silent cannot hold up a stop.
    """
    if not _free.acquire(blocking=False):
        raise Unreachable("too many requests are under way")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def work() -> None:
        try:
            settle, value = answer.set_result, _answered(url, take, timeout, proxies, ask)
        except Exception as error:
            settle, value = answer.set_exception, error  # type: ignore[assignment]
        finally:
            _free.release()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_unless_done, answer, settle, value)

    Thread(target=work, name="fetch", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            return await answer
    except TimeoutError:
        raise Unreachable("no answer in time") from None
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(_reason(error)) from None


def _reason(error: Exception) -> str:
    """Without the wrapping and the number."""
    inner = error.reason if type(error) is URLError else error
    return (isinstance(inner, OSError) and inner.strerror) or str(inner) or type(error).__name__


def body(response: HTTPResponse, limit: int) -> bytes:
    """The whole body; raises ValueError where it is larger than the limit, in bytes, and IncompleteRead."""
    found = response.read(limit + 1)
    if len(found) > limit:
        raise ValueError(f"the answer is larger than {limit} bytes")
    if response.length:
        raise IncompleteRead(found, response.length)
    return found


def _answered(url: str, take: Callable[[HTTPResponse], T], timeout: float, proxies: bool, ask: Ask) -> T:
    try:
        with _opener(proxies, ask).open(_request(url, ask), timeout=timeout) as answer:
            return take(answer)
    except HTTPError as error:
        error.close()
        raise


def _request(url: str, ask: Ask) -> Request:
    """Name and password of an address go where HTTP has them, and not along with a redirection."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    headers = {"User-Agent": AGENT} | ({} if ask.json is None else {"Content-Type": "application/json"})
    request = Request(bare, ask.json, headers, method=ask.verb)  # noqa: S310 - the opener knows http and https only
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    return request


def _opener(proxies: bool, ask: Ask) -> OpenerDirector:
    opener = OpenerDirector()
    for kind in (*TRANSPORTS, *(() if ask.plain else FOLLOWING)):
        opener.add_handler(kind())
    opener.add_handler(ProxyHandler(None if proxies else {}))
    return opener


def _unless_done(answer: "asyncio.Future[T]", settle: Callable[[T], None], value: T) -> None:
    if not answer.done():
        settle(value)
