"""What connections may do: said to their bridge, and judged anew whenever users, keys or roles change."""

from collections.abc import Callable
from dataclasses import replace

from schemas import Permission

from .agent import Connection
from .envelope import dumps
from .identity import NOBODY, Principal
from .origins import Origins
from .session import LocalSession
from .topics import Topics

Rights = Callable[[Principal], frozenset[Permission]]


class Standing:
    """The one place that changes who a connection is."""

    def __init__(self, session: LocalSession, topics: Topics, origins: Origins, rights: Rights) -> None:
        self._session = session
        self._topics = topics
        self._origins = origins
        self._rights = rights

    def tell(self, connection: Connection) -> None:
        """Says to its bridge what a websocket may do; MQTT clients are judged by the broker."""
        actor = connection.actor
        if "/" in connection.client and actor.transport != "http":
            may = sorted(self._rights(actor.principal))
            said = {"user": actor.user, "kind": actor.kind, "permissions": may}
            self._session.publish(self._topics.standing(connection.client), dumps(said))

    def become(self, connection: Connection, who: Principal) -> None:
        """A connection has logged in, or lost its login."""
        connection.actor = replace(connection.actor, user=who.name, kind=who.kind)
        self._origins.renewed(connection.client)
        self.tell(connection)

    def changed(self, changed: frozenset[Principal], ended: frozenset[Principal]) -> None:
        """Somebody may do something else now, or has no login any more."""
        for connection in list(self._origins.connections):
            who = connection.actor.principal
            if who in ended:
                self.become(connection, NOBODY)
            elif who in changed:
                self.tell(connection)
