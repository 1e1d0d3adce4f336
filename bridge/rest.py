"""What HTTP answers besides the table of methods, put together: the front page, the redirect, the pages under /docs."""

import logging
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from bus.errors import BusError, Internal, InvalidParams, MethodNotAllowed, NotFound
from bus.web_pages import origin_of

from .answers import failure
from .auth import Gate
from .callers import Callers
from .commands import Commands
from .front_page import FrontPage
from .pages import page_routes
from .settings import BridgeSettings

log = logging.getLogger(__name__)

NOT_FOUND = 404


class Rest:
    """An ASGI application; its errors have the shape of the others."""

    def __init__(self, settings: BridgeSettings, gate: Gate, callers: Callers, commands: Commands) -> None:
        routes = [
            Route("/", FrontPage(settings, gate, callers, commands).show),
            Route("/server/redirect", _redirecting(gate)),
            *page_routes(settings.prefix),
        ]
        self._router = Router(routes)  # an application around it would bring middleware that is not needed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self._router  # it then raises what it refuses
        try:
            await self._router(scope, receive, send)
        except (BusError, HTTPException) as error:
            await _shown(_error(error))(scope, receive, send)
        except Exception:
            log.exception("%s failed", scope["path"])
            await _shown(Internal("Internal error"))(scope, receive, send)


def _redirecting(gate: Gate) -> Callable[[Request], Response]:
    def redirect(request: Request) -> Response:
        """To a page of a configured origin, and nowhere else."""
        url = request.query_params.get("url", "")
        origin = origin_of(url)
        if origin is None or not gate.pages.is_configured(origin):
            raise InvalidParams("url must be a page of an origin that is listed under 'cors_domains'")
        return RedirectResponse(url, 302)

    return redirect


def _error(error: BusError | HTTPException) -> BusError:
    if isinstance(error, BusError):
        return error
    return NotFound("Not Found") if error.status_code == NOT_FOUND else MethodNotAllowed("Method Not Allowed")


def _shown(error: BusError) -> Response:
    status, body = failure(error)
    return Response(body, status, media_type="application/json; charset=UTF-8")
