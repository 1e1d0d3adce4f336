"""Requests that come down an uplink: who sent them, with which rights, and where on that broker their answers go."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from .access import Identity, Role
from .agent import Actor, Connection
from .client import RemoteMessage
from .envelope import NULL, failure, id_at_end, id_of, loads
from .errors import BusError, Forbidden, TooLarge
from .home import Home
from .identity import Kind
from .message import Message
from .origins import TOO_LARGE, Answer, Origin
from .outbox import Passing
from .topics import group_request

CLIENTS = 1000  # remote clients that are remembered; the one unheard for longest is forgotten
LARGEST = 1_000_000  # bytes of a payload; brokers set their limits at 1 MiB or above

Send = Callable[[Passing], None]


@dataclass(slots=True)
class _Client:
    """A client of the other broker, as it is known here."""

    identity: Identity
    actor: Actor
    connection: Connection | None


class Downlink:
    """Hands requests of another broker's clients to the router; `name` is the uplink's.

    Such a client is `uplink.{name}.{client}` here: it shares nothing with local clients and has the rights of the role.
    """

    def __init__(self, name: str, role: str | None, home: Home) -> None:
        self._prefix = f"uplink.{name}"
        self._transport = f"uplink:{name}"
        self._roles = (role,) if role else ()
        self._may = home.given(self._roles)
        self._exchange = home.exchange
        self._router = home.router
        self._topics = home.topics
        self._shared = {home.topics.request, *map(group_request, home.groups)}
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    @property
    def filters(self) -> list[str]:
        """What to subscribe to on the other broker."""
        return [*self._shared, f"{self._topics.request}/+", self._topics.rpc_requests]

    def received(self, message: RemoteMessage, topic: str, send: Send, is_reachable: Callable[[str], bool]) -> None:
        """Takes a message of the other broker, and its topic as it is called here; what is no request is ignored.

        A response topic of MQTT 5 is honoured where `is_reachable`; retained requests are not run.
        """
        asked = self._asked(message, topic, send, is_reachable)
        if asked is None:
            return
        request, origin = asked
        if self._exchange.rules.may_publish(request.sender, request.topic):
            self._router.take(request, origin)
        else:
            _forbid(request, origin)

    def refuse(self, message: RemoteMessage, topic: str, send: Send, is_reachable: Callable[[str], bool]) -> None:
        """Answers a request that there is no room for."""
        asked = self._asked(message, topic, send, is_reachable)
        if asked is not None:
            self._router.refuse(*asked)

    def _asked(
        self, message: RemoteMessage, topic: str, send: Send, is_reachable: Callable[[str], bool]
    ) -> tuple[Message, Origin] | None:
        place = self._place(topic)
        if place is None or message.retain:
            return None
        name, local, answers = place
        client = self._known(name)
        wish = message.response if message.response and is_reachable(message.response) else None
        origin = Origin(
            client.actor,
            client.identity.client_id,
            _sender(send, Passing(wish or answers, b"", message.correlation, literal=wish is not None)),
            client.connection,
            may=self._may,
            shared=True,  # secrets stay at home, whatever topic of the other broker asks for them
        )
        return Message(local, message.payload, message.qos, False, False, client.identity), origin

    def close(self) -> None:
        """Forgets all clients."""
        while self._clients:
            self._forget()

    def _place(self, topic: str) -> tuple[str, str, str] | None:
        """Client, local topic and answer topic of a request; the client of a shared topic has no name."""
        topics = self._topics
        if topic in self._shared:
            return "", topic, topics.response
        if topic.startswith(f"{topics.request}/"):
            client = topic[len(topics.request) + 1 :]
            return (
                (client, topics.private_request(self._id(client)), topics.private_response(client)) if client else None
            )
        client, _, method = topic.removeprefix(topics.rpc_requests[:-1]).partition("/")
        if not topic.startswith(topics.rpc_requests[:-1]) or not client or not method:
            return None
        return client, topics.rpc(self._id(client), method), topics.reply(client)

    def _id(self, client: str) -> str:
        return f"{self._prefix}.{client}" if client else self._prefix

    def _known(self, name: str) -> _Client:
        known = self._clients.get(name)
        if known is None:
            known = self._clients[name] = self._made(name)
            if len(self._clients) > CLIENTS:
                self._forget()
        self._clients.move_to_end(name)
        return known

    def _made(self, name: str) -> _Client:
        key = self._id(name)
        identity = Identity(key, Role.CLIENT, transport=self._transport, roles=self._roles)
        actor = Actor(None, self._transport, name, Kind.TRUSTED if self._may is None else Kind.UPLINK, may=self._may)
        return _Client(identity, actor, self._router.connections.seen(key, actor) if name else None)

    def _forget(self) -> None:
        _, client = self._clients.popitem(last=False)
        self._router.connections.closed(client.identity.client_id)


def _sender(send: Send, envelope: Passing) -> Answer:
    def answer(payload: bytes | None) -> None:
        if payload is None:
            return
        if len(payload) > LARGEST:
            payload = failure(TooLarge(TOO_LARGE.format(LARGEST)), id_at_end(payload))
        send(envelope._replace(payload=payload))

    return answer


def _forbid(request: Message, origin: Origin) -> None:
    try:
        request_id = id_of(loads(request.payload)) if len(request.payload) <= LARGEST else NULL
    except BusError:
        request_id = NULL
    origin.send(failure(Forbidden("The role of this uplink may not do that"), request_id))
