"""Where requests come from: the actor behind a topic and session, and the way its answers go."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .access import Identity, Role
from .agent import Actor, Connection
from .connections import Connections
from .envelope import failure, id_at_end
from .errors import TooLarge
from .message import Message
from .session import LocalSession
from .topics import Topics

TOO_LARGE = "The answer is longer than {} bytes; ask for less at a time, or fetch files by file transfer or HTTP"

TEMPLATE = "template"  # the transport of what a mandate covers

log = logging.getLogger(__name__)

Answer = Callable[[bytes | None], None]  # None: nothing is to be sent


@dataclass(slots=True)
class Origin:
    """Where a request came from and where its answers go; `shared` topics can be read by others."""

    actor: Actor
    client: str
    send: Answer
    connection: Connection | None = None
    shared: bool = False
    confided: bool = True  # nobody on the way can listen
    agent: bool = False  # a part of the printer host, which may call what is for those
    may: frozenset[str] | None = None  # those of a mandate or an uplink; None: those of the actor


class Origins:
    """Origins by topic and sender; method and actor come from topic and session, never from a payload."""

    def __init__(self, session: LocalSession, topics: Topics, answer_bytes: int) -> None:
        self._answer_bytes = answer_bytes
        self.connections = Connections()
        self._session = session
        self._topics = topics
        self._known: dict[str, Origin] = {}

    def of(self, message: Message) -> Origin | None:
        """The origin of a message on any request topic; None for a client that its bridge did not announce."""
        sender = message.sender
        if message.topic.startswith(self._topics.rpc_requests[:-1]):
            return self.rpc(sender)
        private = self._topics.request + "/"
        if not message.topic.startswith(private):
            return self._known.get("//" + sender.client_id) or self._shared(sender)
        client = message.topic[len(private) :]
        return self._known.get(client) or self._private(client, sender)

    def rpc(self, sender: Identity) -> Origin:
        """The origin of requests on per-method topics."""
        return self._known.get("/" + sender.client_id) or self._per_method(sender)

    def spoken_for(self, origin: Origin, request: dict[str, Any]) -> Origin:
        """What a bridge says about its HTTP user; where it names none, it speaks for itself."""
        who = request.get("actor")
        if who is None:
            return origin
        actor = Actor.from_dict(who)
        number = request.get("connection")
        connection = self.connections.numbered(number) if number else None
        return Origin(actor, origin.client, origin.send, connection=connection)

    def mandated(self, origin: Origin, mandate: dict[str, Any]) -> Origin:
        """What an agent asks for in the name of somebody, or of what was configured: no more than that may."""
        who, may = mandate.get("actor"), mandate["permissions"]
        actor = Actor.from_dict(who) if who else Actor(None, TEMPLATE, f"{origin.client}/{mandate['name']}")
        if may is not None:
            actor = replace(actor, may=frozenset(may))
        return Origin(actor, origin.client, origin.send, may=actor.may)

    def announced(self, client: str, news: dict[str, Any]) -> None:
        """A bridge says that a client of its own opened or closed."""
        self._known.pop(client, None)
        self.connections.announced(client, news)

    def renewed(self, client: str) -> None:
        """Who a client is has changed."""
        for known in (client, f"/{client}", f"//{client}"):
            self._known.pop(known, None)

    def closed(self, client: str) -> None:
        """A client has left the broker; a bridge takes its websockets with it."""
        self.connections.closed(client)
        prefix = client + "/"
        for known in [known for known in self._known if known.lstrip("/") == client or known.startswith(prefix)]:
            del self._known[known]

    def _shared(self, sender: Identity) -> Origin:
        connection = self.connections.get(sender.client_id)
        actor = connection.actor if connection else actor_of(sender)
        found = Origin(actor, sender.client_id, self._sender(self._topics.response, sender), shared=True)
        self._known["//" + sender.client_id] = found
        return found

    def _private(self, client: str, sender: Identity) -> Origin | None:
        if sender.role is Role.BRIDGE:
            connection = self.connections.get(client)
        else:
            connection = self.connections.seen(client, actor_of(sender))
        if connection is None:
            log.warning("request of a connection that %s did not announce: %s", sender.client_id, client)
            return None
        plain_http = connection.actor.transport == "http"
        send = self._sender(self._topics.private_response(client), sender, silence=plain_http)
        if not plain_http:
            connection.send = send
        found = Origin(
            connection.actor, client, send, connection=None if plain_http else connection, confided=_confided(sender)
        )
        self._known[client] = found
        return found

    def _per_method(self, sender: Identity) -> Origin:
        actor = actor_of(sender)
        agent = sender.role in (Role.AGENT, Role.BRIDGE)
        connection = self.connections.seen(sender.client_id, actor) if sender.role is Role.CLIENT else None
        actor = connection.actor if connection else actor
        send = self._sender(self._topics.reply(sender.client_id), sender)
        if connection is not None:
            connection.send = self._sender(self._topics.private_response(sender.client_id), sender)
        found = Origin(actor, sender.client_id, send, connection=connection, confided=_confided(sender), agent=agent)
        self._known["/" + sender.client_id] = found
        return found

    def _sender(self, topic: str, to: Identity, *, silence: bool = False) -> Answer:
        """Publishes answers; with `silence` an empty one where there is nothing to answer, since HTTP waits for it."""
        publish = self._session.publish
        limit = None if to.transport == "local" else self._answer_bytes

        def send(answer: bytes | None) -> None:
            if answer is None:
                if silence:
                    publish(topic, b"")
            elif limit is None or len(answer) <= limit:
                publish(topic, answer)
            else:
                publish(topic, failure(TooLarge(TOO_LARGE.format(limit)), id_at_end(answer)))

        return send


def _confided(sender: Identity) -> bool:
    return sender.confided or sender.transport == "local" or sender.role is not Role.CLIENT


def actor_of(sender: Identity) -> Actor:
    """The actor behind a session."""
    if sender.role is not Role.CLIENT:
        return Actor(sender.user, str(sender.role), sender.client_id)
    return Actor(sender.user, "mqtt", sender.client_id, sender.kind, sender.address)
