"""AsyncAPI 3.0: topics, notifications, state documents and events, and what the websocket carries."""

from collections.abc import Mapping
from re import findall
from typing import Any

from .. import NAMESPACES, Notification
from ..events import EVENTS, STREAMS, EventType
from ..server import Event
from ..topics import ANSWER, EVENT, NOTIFICATION, PARAMETERS, REQUEST, TOPICS, Topic
from .definitions import COMPONENTS, Definitions, Json, info

KIND = "What is said on MQTT topics and on the websocket. Every payload is JSON."
NOTIFICATIONS = {
    value.name: value for module in NAMESPACES for value in vars(module).values() if isinstance(value, Notification)
}
BROADCAST = [value.name for value in NOTIFICATIONS.values() if not value.private]
ENUMS = {"notification": BROADCAST, "stream": STREAMS, "type": list(EVENTS)}
SERVERS: Json = {
    "mqtt": {"host": "localhost:1883", "protocol": "mqtt", "protocolVersion": "3.1.1"},
    "mqttOverWebsocket": {
        "host": "localhost:7125",
        "pathname": "/mqtt",
        "protocol": "ws",
        "description": "MQTT 3.1.1 in binary frames, subprotocol `mqtt`.",
    },
    "websocket": {
        "host": "localhost:7125",
        "protocol": "ws",
        "description": "JSON-RPC 2.0, a message per text frame.",
    },
}
MQTT = [{"$ref": "#/servers/mqtt"}, {"$ref": "#/servers/mqttOverWebsocket"}]
SOCKET = "websocket"


def asyncapi() -> Json:
    """The document of all topics."""
    known = Definitions(_types())
    messages = {name: _message(name, known[name]) for name in _plain()}
    messages |= {name: _notification(row, known) for name, row in NOTIFICATIONS.items()}
    messages |= {name: _event(row, known) for name, row in EVENTS.items()}
    channels = {topic.name: _channel(topic) for topic in TOPICS.values()}
    return {
        "asyncapi": "3.0.0",
        "info": info(KIND),
        "defaultContentType": "application/json",
        "servers": SERVERS,
        "channels": {**channels, SOCKET: _socket()},
        "operations": {**{name: _operation(topic) for name, topic in TOPICS.items()}, **_socket_operations()},
        "components": {"messages": messages, "schemas": known.models},
    }


def _plain() -> dict[str, Any]:
    return {name: kind for topic in TOPICS.values() for name, kind in topic.messages.items()}


def _types() -> dict[str, Any]:
    params = {name: row.params for name, row in NOTIFICATIONS.items() if row.params is not None}
    return {**_plain(), **params, **{name: row.data for name, row in EVENTS.items()}, "Event": Event}


def _message(name: str, payload: Json) -> Json:
    return {"name": name, "title": name, "payload": payload}


def _notification(row: Notification, known: Definitions) -> Json:
    members: Json = {"jsonrpc": {"const": "2.0"}, "method": {"const": row.name}}
    if row.params is not None:
        members["params"] = known[row.name]
    payload = {"type": "object", "required": list(members), "properties": members}
    return {**_message(row.name, payload), "summary": row.when}


def _event(row: EventType, known: Definitions) -> Json:
    members: Json = {"type": {"const": row.name}, "data": known[row.name]}
    if row.stream is not None:
        members["stream"] = {"const": row.stream}
    payload = {"allOf": [{"$ref": COMPONENTS.format(model="server.Event")}, {"properties": members}]}
    return {**_message(row.name, payload), "summary": row.when}


def _names(topic: Topic) -> list[str]:
    return {NOTIFICATION: BROADCAST, EVENT: list(EVENTS)}.get(topic.name) or list(topic.messages)


def _channel(topic: Topic) -> Json:
    found: Json = {"address": topic.address, "summary": topic.summary, "servers": MQTT}
    found["parameters"] = {name: _parameter(name) for name in findall(r"{(\w+)}", topic.address)}
    found["messages"] = _messages(_names(topic))
    return {**found, "x-retained": topic.retained, "x-internal": topic.internal}


def _messages(names: list[str]) -> Json:
    return {_key(name): {"$ref": f"#/components/messages/{_pointer(name)}"} for name in names}


def _key(name: str) -> str:
    return name.replace("/", ".")


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _parameter(name: str) -> Json:
    return {"description": PARAMETERS[name], **({"enum": ENUMS[name]} if name in ENUMS else {})}


def _operation(topic: Topic) -> Json:
    """What printbus does: it receives what clients publish, and sends the rest."""
    found: Json = {"action": "receive" if topic.taken else "send", "channel": {"$ref": f"#/channels/{topic.name}"}}
    found["bindings"] = {"mqtt": {"retain": topic.retained, "bindingVersion": "0.2.0"}}
    if topic.reply is not None:
        found["reply"] = {"channel": {"$ref": f"#/channels/{topic.reply}"}}
    return found


def _socket() -> Json:
    return {
        "address": "/websocket",
        "summary": "Requests, their answers, and all notifications.",
        "servers": [{"$ref": "#/servers/websocket"}],
        "messages": _messages([*REQUEST, *ANSWER, *NOTIFICATIONS]),
    }


def _socket_operations() -> Json:
    channel = {"$ref": f"#/channels/{SOCKET}"}

    def of(names: Mapping[str, Any]) -> list[Json]:
        return [{"$ref": f"#/channels/{SOCKET}/messages/{name}"} for name in names]

    asked = {"action": "receive", "channel": channel, "messages": of(REQUEST)}
    return {
        "websocketRequest": {**asked, "reply": {"channel": channel, "messages": of(ANSWER)}},
        "websocketNotification": {"action": "send", "channel": channel, "messages": of(NOTIFICATIONS)},
    }
