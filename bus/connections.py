"""Who is connected: the websockets that a bridge announces, and the MQTT clients of private topics."""

from collections.abc import Iterator, Mapping
from itertools import count
from secrets import randbelow
from typing import Any

from .agent import Actor, Connection, Watcher


class Connections:
    """Connections by client id; MQTT clients get their number here, websockets bring it along."""

    def __init__(self) -> None:
        self._by_client: dict[str, Connection] = {}
        self._numbers = count(1 + randbelow(1 << 30))
        self._watchers: list[Watcher] = []
        self.websockets = 0  # kept, because server.info tells it at every call

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._by_client.values())

    def get(self, client: str) -> Connection | None:
        """The connection of a client that was announced or seen."""
        return self._by_client.get(client)

    def numbered(self, number: int) -> Connection | None:
        """The connection with an id."""
        return next((found for found in self if found.id == number), None)

    def seen(self, client: str, actor: Actor) -> Connection:
        """The connection of an MQTT client, made at its first private request."""
        found = self._by_client.get(client)
        if found is None:
            found = Connection(next(self._numbers), client, actor)
            self._add(found)
        return found

    def announced(self, client: str, news: dict[str, Any]) -> None:
        """A bridge says that its client `{bridge}/{number}` opened or closed."""
        self._drop(client)
        if not news.get("open"):
            return
        self._add(Connection(int(client.rpartition("/")[2]), client, Actor.from_dict(news["actor"])))

    def closed(self, client: str) -> None:
        """An MQTT client has left; a bridge takes its websockets with it."""
        prefix = client + "/"
        for name in [name for name in self._by_client if name == client or name.startswith(prefix)]:
            self._drop(name)

    def identify(self, connection: Connection, identity: Mapping[str, str]) -> None:
        """A client has said who it is."""
        connection.identity = identity
        for watcher in self._watchers:
            watcher.identified(connection)

    def answered(self, connection: Connection, answer: Mapping[str, Any]) -> None:
        """A client has sent an answer."""
        for watcher in self._watchers:
            watcher.answered(connection, answer)

    def watch(self, watcher: Watcher) -> None:
        """Tells somebody about connections."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Tells it no more."""
        self._watchers.remove(watcher)

    def _add(self, connection: Connection) -> None:
        self._by_client[connection.client] = connection
        self.websockets += connection.actor.transport == "websocket"

    def _drop(self, client: str) -> None:
        gone = self._by_client.pop(client, None)
        if gone is not None:
            self.websockets -= gone.actor.transport == "websocket"
            for watcher in self._watchers:
                watcher.left(gone)
