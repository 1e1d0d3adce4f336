"""One accepted call on its way: recorded, dispatched, bounded in time, answered once."""

import asyncio
from collections import Counter

from .agent import Call
from .audit import Audit
from .envelope import NULL, failure, result
from .errors import BusError, Timeout, Unavailable
from .once import Once
from .origins import Answer
from .ports import Port

MAX_IN_FLIGHT = 4096  # calls that wait for their agent; one more is refused
MAX_OF_ONE_CLIENT = 1024


class Flow:
    """What all calls share, and how many of them wait for their agent."""

    def __init__(self, audit: Audit, once: Once) -> None:
        self.audit = audit
        self.once = once
        self._in_flight: Counter[str] = Counter()
        self._total = 0

    def require_room(self, client: str, *, many: bool) -> None:
        """Raises Unavailable where too many calls wait; a client that speaks for `many` has no bound of its own."""
        if self._total >= MAX_IN_FLIGHT or (not many and self._in_flight[client] >= MAX_OF_ONE_CLIENT):
            raise Unavailable("Too many requests are in flight")

    def enter(self, client: str) -> None:
        """One more waits."""
        self._total += 1
        self._in_flight[client] += 1

    def leave(self, client: str) -> None:
        """One has been answered."""
        self._total -= 1
        self._in_flight[client] -= 1
        if not self._in_flight[client]:
            del self._in_flight[client]


class Pending:
    """One accepted call until its answer has left."""

    __slots__ = ("_accepted", "_answer", "_call", "_client", "_flow", "_id", "_outcome", "_timer", "waits")

    def __init__(self, flow: Flow, call: Call, client: str, request_id: bytes, answer: Answer) -> None:
        self._flow = flow
        self._call = call
        self._client = client
        self._id = request_id
        self._answer: Answer | None = answer
        self._accepted: asyncio.Future[int] | None = None
        self._outcome: bytes | BusError | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.waits = False

    def run(self, port: Port) -> None:
        """Records and dispatches; an urgent call reaches its agent before anything is recorded."""
        flags = self._call.method.flags
        if flags.urgent:
            self._run_urgent(port)
        elif flags.changes:
            self._run_recorded(port)
        else:
            port.call(self._call, self.finish)
        if self._answer is not None:
            self._wait()

    def _run_recorded(self, port: Port) -> None:
        audit = self._flow.audit
        self._accepted = audit.accepted(self._call)
        if not audit.doubtful:
            return port.call(self._call, self.finish)

        def recorded(accepted: "asyncio.Future[int]") -> None:
            if accepted.cancelled() or accepted.exception() is not None:
                self.finish(Unavailable("The event log failed"))  # replaced by the log's own error
            else:
                port.call(self._call, self.finish)

        return self._accepted.add_done_callback(recorded)

    def _run_urgent(self, port: Port) -> None:
        port.call(self._call, self._urgent)
        self._accepted = self._flow.audit.accepted(self._call)
        if self._outcome is not None:
            self._answer_when_recorded()

    def _urgent(self, outcome: bytes | BusError) -> None:
        """The outcome of an urgent call may be here before its record was even begun."""
        if self._accepted is not None:
            self.finish(outcome)
        else:
            self._outcome = outcome

    def finish(self, outcome: bytes | BusError) -> None:
        """Takes the outcome; the answer leaves when the record of the command is durable."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        if self._timer is not None:
            self._timer.cancel()
        self._answer_when_recorded()

    def _answer_when_recorded(self) -> None:
        if self._accepted is None or self._accepted.done():
            self._send()
        else:
            self._accepted.add_done_callback(lambda _: self._send())

    def _wait(self) -> None:
        self.waits = True
        self._flow.enter(self._client)
        deadline = self._call.method.deadline
        if self._outcome is None and deadline is not None:
            late = Timeout(f"{self._call.name} was not answered within {deadline:g} s")
            self._timer = asyncio.get_running_loop().call_later(deadline, self.finish, late)

    def _send(self) -> None:
        answer, self._answer = self._answer, None
        outcome = self._outcome
        if answer is None or outcome is None:
            return
        if self.waits:
            self._flow.leave(self._client)
        if self._accepted is not None:
            outcome = self._flow.audit.ended(self._call, self._accepted, outcome)
        if isinstance(outcome, BusError):
            reply: bytes | None = failure(outcome, self._id)
        else:
            reply = None if self._id is NULL else result(outcome, self._id)
        if reply is not None and self._call.once is not None:
            self._flow.once.answered(self._call.once, reply)
        answer(reply)
        self._call.answered()
