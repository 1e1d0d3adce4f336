"""What can go wrong, for the documents: codes and meanings of the errors that `bus/errors.py` raises."""

from collections.abc import Iterator
from dataclasses import dataclass

from .base import AnyMethod, NoParams, Permission


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of error: its JSON-RPC code, its HTTP status, and whether the same request may succeed later."""

    name: str
    code: int
    status: int
    meaning: str
    retryable: bool = False


FAILURES = {
    failure.name: failure
    for failure in (
        Failure("ParseError", -32700, 400, "The text is not JSON."),
        Failure("InvalidRequest", -32600, 400, "JSON, but not a JSON-RPC 2.0 request."),
        Failure("MethodNotFound", -32601, 404, "No such method, or not offered on this transport."),
        Failure("InvalidArguments", -32602, 400, "The params member is not an object."),
        Failure("InvalidParams", 400, 400, "A parameter is missing or cannot be converted."),
        Failure("Refused", 400, 400, "Klipper refused, in its own words, or the rules of the host do."),
        Failure("Unauthenticated", -32602, 401, "No credentials, or wrong ones."),
        Failure("Forbidden", 403, 403, "The caller is known and may not do this."),
        Failure("NotFound", -32601, 404, "The thing asked for does not exist."),
        Failure("MethodNotAllowed", 405, 405, "The resource exists but does not offer the verb."),
        Failure("Conflict", 409, 409, "The state is not the one the caller expected."),
        Failure("TooLarge", 413, 413, "Over a size limit; the text names the limit and the way round it."),
        Failure("Unprocessable", 422, 422, "Well formed, but its content is wrong (a checksum, an archive)."),
        Failure("FailedDependency", 424, 424, "An agent of somebody else's answered with an error; `data` holds it."),
        Failure("Duplicate", -10000, 409, "A request that was already accepted (MQTT re-delivery)."),
        Failure("Internal", 500, 500, "Our own fault; the cause is in the log, never in the answer."),
        Failure("HostError", 500, 500, "The host refused to do it, or failed; the text says why."),
        Failure("Unavailable", 503, 503, "What is needed is down or busy.", True),
        Failure("Timeout", 504, 504, "No answer within the method's deadline.", True),
        Failure("OutOfSpace", 507, 507, "The disk is full; reads and the emergency stop still work.", True),
        Failure("Overloaded", 529, 529, "Too much is on its way out already.", True),
    )
}
KLIPPY = "klippy"  # the agent that passes Klipper's refusals on
MACHINE = "machine"  # the one that manages services and power
MQTTGATE = "mqttgate"  # the one that hands messages to other brokers


def failures_of(row: AnyMethod) -> Iterator[Failure]:
    """The errors that a caller of a method has to reckon with."""
    yield from (FAILURES[name] for name, happens in _happens(row).items() if happens)


def _happens(row: AnyMethod) -> dict[str, bool]:
    return {
        "InvalidParams": row.params is not NoParams,
        "Refused": row.owner in (KLIPPY, MACHINE),
        "Unauthenticated": row.needs is not Permission.OPEN,
        "Forbidden": row.needs is not Permission.OPEN,
        "MethodNotFound": True,
        "TooLarge": True,
        "Duplicate": row.flags.changes,
        "Conflict": row.flags.changes,
        "Internal": True,
        "HostError": row.owner == MACHINE and row.flags.changes,
        "Unavailable": True,
        "Timeout": row.deadline is not None or "timeout" in row.params.model_fields,
        "OutOfSpace": row.flags.changes and not row.flags.urgent,
        "Overloaded": row.owner == MQTTGATE and row.flags.changes,
    }
