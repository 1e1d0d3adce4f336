"""The errors that agents raise, and the one table of how each transport shows them.

BusError
├── ParseError            the text is not JSON                          -32700  400
├── InvalidRequest        JSON, but not a JSON-RPC 2.0 request          -32600  400
├── MethodNotFound        no such method, or not on this transport      -32601  404
├── InvalidArguments      params are not an object                      -32602  400
├── InvalidParams         a parameter is missing or of the wrong kind      400  400
├── Refused               Klipper said no, or the host's own rules do      400  400
├── Unauthenticated       no or wrong credentials                       -32602  401
├── Forbidden             known, but not allowed                           403  403
├── NotFound              the thing asked for does not exist            -32601  404
├── MethodNotAllowed      the resource exists, the verb does not           405  405
├── Conflict              the state moved on meanwhile                     409  409
├── TooLarge              over a size limit                                413  413
├── Unprocessable         understood, but its content is wrong             422  422
├── FailedDependency      an agent of somebody else's failed               424  424
├── Duplicate             a request that was already accepted           -10000  409
├── Internal              our own fault                                    500  500
├── HostError             the host refused to do it, or failed             500  500
├── Unavailable           what is needed is down or busy (retry)           503  503
├── Timeout               no answer within the deadline (retry)            504  504
├── OutOfSpace            the disk is full (retry)                         507  507
└── Overloaded            too much waits to be sent on (retry)             529  529

Codes are Moonraker's habit (behaviours.md section 6): the HTTP status is the JSON-RPC code, except 404 and 401.
"""

from typing import Any


class BusError(Exception):
    """Anything that is answered to a caller; the text is shown to people."""

    code: int = 500
    status: int = 500
    retryable: bool = False

    def __init__(self, message: str, *, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class ParseError(BusError):
    """The text is not JSON."""

    code, status = -32700, 400


class InvalidRequest(BusError):
    """JSON, but not a JSON-RPC 2.0 request."""

    code, status = -32600, 400


class MethodNotFound(BusError):
    """No such method, or not offered on this transport."""

    code, status = -32601, 404


class InvalidArguments(BusError):
    """The params member is not an object."""

    code, status = -32602, 400


class InvalidParams(BusError):
    """A parameter is missing or cannot be converted."""

    code, status = 400, 400


class Refused(BusError):
    """Klipper refused, in its own words, or the rules of the host do."""

    code, status = 400, 400


class Unauthenticated(BusError):
    """No credentials, or wrong ones."""

    code, status = -32602, 401


class Forbidden(BusError):
    """The caller is known and may not do this."""

    code, status = 403, 403


class NotFound(BusError):
    """The thing asked for does not exist."""

    code, status = -32601, 404


class MethodNotAllowed(BusError):
    """The resource exists but does not offer the verb."""

    code, status = 405, 405


class Conflict(BusError):
    """The state is not the one the caller expected."""

    code, status = 409, 409


class TooLarge(BusError):
    """Over a size limit; the text names the limit and the way round it."""

    code, status = 413, 413


class Unprocessable(BusError):
    """Well formed, but its content is wrong (a checksum, an archive)."""

    code, status = 422, 422


class FailedDependency(BusError):
    """An agent of somebody else's answered with an error; `data` holds it."""

    code, status = 424, 424


class Duplicate(BusError):
    """A request that was already accepted (MQTT re-delivery)."""

    code, status = -10000, 409


class Internal(BusError):
    """Our own fault; the cause is in the log, never in the answer."""

    code, status = 500, 500


class HostError(BusError):
    """The host refused to do it, or failed; the text says why."""

    code, status = 500, 500


class Unavailable(BusError):
    """What is needed is down or busy."""

    code, status, retryable = 503, 503, True


class Timeout(BusError):
    """No answer within the method's deadline."""

    code, status, retryable = 504, 504, True


class OutOfSpace(BusError):
    """The disk is full; reads and the emergency stop still work."""

    code, status, retryable = 507, 507, True


class Overloaded(BusError):
    """Too much is on its way out already."""

    code, status, retryable = 529, 529, True


def to_rpc(error: BusError) -> dict[str, Any]:
    """The JSON-RPC error object of an error."""
    shown: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        shown["data"] = error.data
    return shown


def to_http(code: int) -> int:
    """The HTTP status that stands for a JSON-RPC error code."""
    return _STATUS.get(code, code if 400 <= code <= 599 else 500)


def _tree(base: type[BusError]) -> list[type[BusError]]:
    return [base, *(found for child in base.__subclasses__() for found in _tree(child))]


_STATUS = {kind.code: kind.status for kind in reversed(_tree(BusError))} | {-32601: 404, -32602: 401}
