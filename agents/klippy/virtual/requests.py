"""A request as the socket carries it: typed arguments, and the errors about them in Klipper's words."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connection import Connection

Json = dict[str, object]


class RequestError(Exception):
    """The request fails with this message."""


class Request:
    """One request; answered once, or never if it has no id."""

    __slots__ = ("connection", "id", "method", "params")

    def __init__(self, connection: "Connection", message: Json) -> None:
        method, params = message.get("method"), message.get("params", {})
        if not isinstance(method, str) or not isinstance(params, dict):
            raise ValueError("Invalid request type")
        self.connection = connection
        self.id = message.get("id")
        self.method = method
        self.params: Json = params

    def text(self, name: str) -> str:
        """A required string."""
        value = self._required(name)
        if not isinstance(value, str):
            raise RequestError(f"Invalid Argument Type [{name}]")
        return value

    def mapping(self, name: str, default: Json | None = None) -> Json:
        """An object; without a default it must be there."""
        value = self.params.get(name, default) if default is not None else self._required(name)
        if not isinstance(value, dict):
            raise RequestError(f"Invalid Argument Type [{name}]")
        return value

    def _required(self, name: str) -> object:
        if name not in self.params:
            raise RequestError(f"Missing Argument [{name}]")
        return self.params[name]

    def answer(self, result: Json) -> None:
        """Send the result."""
        if self.id is not None:
            self.connection.send({"id": self.id, "result": result})

    def refuse(self, message: str) -> None:
        """Send an error."""
        if self.id is not None:
            self.connection.send({"id": self.id, "error": {"error": "WebRequestError", "message": message}})


Endpoint = Callable[[Request], Json | None]
"""Returns the result, or None if it answers later by itself."""
