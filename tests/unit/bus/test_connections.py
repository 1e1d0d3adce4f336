"""The connections known to the router, and the count of websockets among them."""

from typing import Any

from bus.agent import Actor
from bus.connections import Connections


def opened(transport: str) -> dict[str, Any]:
    """What a bridge says about a client of its own."""
    return {"open": True, "actor": {"user": None, "transport": transport, "client": "127.0.0.1"}}


def counted(connections: Connections) -> int:
    """The slow way to know."""
    return sum(found.actor.transport == "websocket" for found in connections)


def test_websockets_are_counted_and_nothing_else() -> None:
    connections = Connections()
    connections.announced("bridge/1", opened("websocket"))
    connections.announced("bridge/2", opened("http"))
    connections.seen("desk", Actor(None, "mqtt", "desk"))
    assert connections.websockets == counted(connections) == 1


def test_a_websocket_that_is_announced_again_counts_once() -> None:
    connections = Connections()
    for _ in range(2):  # a bridge that has lost its broker says again who is there
        connections.announced("bridge/1", opened("websocket"))
    assert connections.websockets == counted(connections) == 1


def test_a_websocket_that_closes_counts_no_more_however_often_that_is_said() -> None:
    connections = Connections()
    connections.announced("bridge/1", opened("websocket"))
    for _ in range(2):
        connections.announced("bridge/1", {"open": False})
    assert connections.websockets == counted(connections) == 0


def test_a_bridge_that_leaves_takes_its_websockets_out_of_the_count() -> None:
    connections = Connections()
    for number in (1, 2):
        connections.announced(f"bridge/{number}", opened("websocket"))
    connections.announced("bridge2/3", opened("websocket"))
    connections.closed("bridge")
    assert connections.websockets == counted(connections) == 1
