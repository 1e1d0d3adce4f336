"""The record of commands: who asked for what, and how it ended."""

import asyncio
import logging
from typing import Any

from .agent import Call
from .envelope import loads
from .errors import BusError, Unavailable
from .journal import Journal
from .log import NewEvent

log = logging.getLogger(__name__)

STREAM = "commands"
ACCEPTED = "command.accepted.1"
ENDED = "command.ended.1"
RESULT_BYTES = 1024  # a longer result is not kept for repeats after a restart


class Audit:
    """Writes `command.accepted` durably before the answer, and `command.ended` lazily behind it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def doubtful(self) -> bool:
        """Whether the last commit failed: a command is then recorded first and run afterwards."""
        return not self._journal.writable

    def accepted(self, call: Call) -> "asyncio.Future[int]":
        """Records a command; resolves once that is durable."""
        flags = call.method.flags
        told = call.raw if flags.secret else flags.told_elsewhere
        params = {name: value for name, value in call.raw.items() if name not in told}
        data: dict[str, Any] = {"method": call.name, "params": params}
        if call.once is not None:
            data["once"] = call.once
        return self._journal.append(STREAM, [NewEvent(ACCEPTED, data, call.actor.as_dict())])

    def ended(self, call: Call, accepted: "asyncio.Future[int]", outcome: bytes | BusError) -> bytes | BusError:
        """Records the outcome; answers it, or the error that kept the command out of the log."""
        failed = accepted.exception() if not accepted.cancelled() else Unavailable("The event log is closed")
        if failed is not None and call.method.flags.urgent:
            log.error("%s could not be recorded", call.name, exc_info=failed)
            return outcome
        if failed is not None:
            return failed if isinstance(failed, BusError) else Unavailable("The event log failed")
        data: dict[str, Any] = {"command": accepted.result(), "method": call.name, "outcome": "ok"}
        if isinstance(outcome, BusError):
            data |= {"outcome": "error", "code": outcome.code, "message": outcome.message}
        elif call.once is not None and len(outcome) <= RESULT_BYTES and not call.method.flags.secret:
            data["result"] = loads(bytes(outcome))  # orjson takes no subclass, as Raw is
        self._journal.append_lazy(STREAM, [NewEvent(ENDED, data, call.actor.as_dict())])
        return outcome
