"""Stock amqtt as a differential oracle: the same users and rules as its counterpart with our engine."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import amqtt.broker
from amqtt.contexts import Action, BrokerConfig, ListenerConfig, ListenerType
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

CLOSED = "closed/"
INTRUDER = "intruder"
OWNER = "anna"
SHUTDOWN_SECONDS = 1.0


class Users(BaseAuthPlugin):  # type: ignore[misc]
    """Everybody may log in but the intruder."""

    async def authenticate(self, *, session: Session) -> bool:
        return bool(session.username != INTRUDER)


class Rules(BaseTopicPlugin):  # type: ignore[misc]
    """Topics below `closed/` are the owner's."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        return session is None or session.username == OWNER or not (topic or "").startswith(CLOSED)


Plugins = dict[str, dict[str, dict[str, list[str]]]]
RULES_PLUGIN: Plugins = {f"{__name__}.Rules": {}}
_ALL = {name: ["#"] for name in ("anonymous", OWNER, "ben")}
RECEIVE_ONLY_PLUGIN: Plugins = {"amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {"acl": _ALL}}
"""Rules for everything but publishing."""


@contextlib.asynccontextmanager
async def stock_broker(rules: Plugins) -> AsyncIterator[amqtt.broker.Broker]:
    """A running amqtt broker with a tcp and a websocket listener."""
    listeners = {
        "default": ListenerConfig(bind="127.0.0.1:0"),
        "ws": ListenerConfig(type=ListenerType.WS, bind="127.0.0.1:00"),
    }
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    broker = amqtt.broker.Broker(BrokerConfig(listeners=listeners, plugins={f"{__name__}.Users": {}, **rules}))
    await broker.start()
    try:
        yield broker
    finally:
        with contextlib.suppress(TimeoutError):  # from Python 3.12 on it waits for clients that it does not close
            await asyncio.wait_for(broker.shutdown(), SHUTDOWN_SECONDS)


def bound(broker: amqtt.broker.Broker, name: str) -> tuple[str, int]:
    """Host and port of a listener."""
    host, port = broker._servers[name].instance.sockets[0].getsockname()[:2]
    return host, port
