"""Requests from here to clients, and the answers that come back on their connections."""

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any

from bus.agent import Connection
from bus.envelope import dumps
from bus.errors import BusError, FailedDependency, Internal, Timeout

MAX_TEXT = 1000  # characters of an agent's error message

Answer = asyncio.Future[Any]


class Requests:
    """Those that wait for an answer, each for at most `patience` seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._numbers = count(1)
        self._waiting: dict[tuple[int, int], Answer] = {}  # by connection and number

    async def ask(self, agent: Connection, method: str, arguments: list[Any] | dict[str, Any] | None) -> Any:
        """The result that a client gives; raises FailedDependency with its error as data, Timeout or Internal."""
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[agent.id, number] = answer
        try:
            agent.send(message(method, arguments, number))
            async with asyncio.timeout(self._patience):
                return await answer
        except TimeoutError:
            raise Timeout(f"{method} was not answered within {self._patience:g} s") from None
        finally:
            del self._waiting[agent.id, number]

    def answered(self, agent: Connection, said: Mapping[str, Any]) -> None:
        """Takes an answer; one that nobody waits for is ignored."""
        number = said.get("id")
        answer = self._waiting.get((agent.id, number)) if type(number) is int else None
        if answer is None or answer.done():
            return
        if "result" in said and said.get("error") is None:
            answer.set_result(said["result"])
        else:
            answer.set_exception(_failed(said.get("error")))

    def lost(self, agent: Connection, reason: str) -> None:
        """A client has gone: what it was asked fails."""
        for (connection, _), answer in self._waiting.items():
            if connection == agent.id and not answer.done():
                answer.set_exception(Internal(reason))


def message(method: str, params: list[Any] | dict[str, Any] | None, number: int | None = None) -> bytes:
    """A JSON-RPC request; without a number a notification, which nobody answers."""
    said: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if params is not None:
        said["params"] = params
    if number is not None:
        said["id"] = number
    return dumps(said)


def _failed(error: Any) -> BusError:
    text = error.get("message") if isinstance(error, dict) else None
    known = text[:MAX_TEXT] if isinstance(text, str) and text else "The agent answered with an error"
    return FailedDependency(known, data=error)
