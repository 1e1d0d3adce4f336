"""The MQTT gate: publishes and waits for messages for callers of any transport, and publishes for gcode macros."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import ValidationError

from bus.agent import Actor, Agent, Bus, Call, Host, Settings, implements
from bus.errors import InvalidParams, Timeout
from bus.macros import Macros
from bus.router import explain
from schemas import mqtt

from .payloads import decoded, encoded

MACRO = Actor(None, "klipper", "macro")
PUBLISH_FROM_MACRO = "publish_mqtt_topic"


class MqttGate(Agent):
    """Knows who calls, and leaves it to the broker what they may do; so it runs beside the broker only."""

    name = "mqttgate"
    components = ("mqtt",)
    beside_broker = True

    def __init__(self, bus: Bus, settings: Settings, host: Host | None = None) -> None:
        super().__init__(bus, settings, host)
        if host is None:
            raise ValueError("the MQTT gate runs beside the broker only")
        self._host = host

    async def run(self) -> None:
        """Lets macros publish."""
        async with Macros(self.bus, self.name) as macros:
            macros.offer(PUBLISH_FROM_MACRO, self._publish_from_macro)
            await super().run()

    @implements(mqtt.PUBLISH)
    async def publish(self, params: mqtt.PublishParams, call: Call) -> mqtt.Topic:
        """Answers when the broker has it."""
        qos, payload = self._qos(params.qos), encoded(params.payload)
        async with _within(params.timeout if qos else None, f"The message on '{params.topic}' was not acknowledged"):
            await self._host.publish(
                call.actor, params.topic, payload, qos=qos, retain=params.retain, uplink=params.uplink
            )
        return mqtt.Topic(topic=params.topic)

    @implements(mqtt.SUBSCRIBE)
    async def subscribe(self, params: mqtt.TopicParams, call: Call) -> mqtt.Received:
        """The subscription ends with the answer."""
        qos = self._qos(params.qos)
        async with _within(params.timeout, f"No message came on '{params.topic}'"):
            payload = await self._host.listen(call.actor, params.topic, qos=qos, uplink=params.uplink)
        return mqtt.Received(topic=params.topic, payload=decoded(payload))

    async def _publish_from_macro(self, arguments: dict[str, Any]) -> None:
        try:
            given = mqtt.MacroParams.model_validate(arguments)
        except ValidationError as error:
            raise InvalidParams(explain(error)) from None
        topic = f"{self.bus.topics.instance}/{given.topic.lstrip('/')}" if given.use_prefix else given.topic
        payload, qos = encoded(given.payload), self._qos(given.qos)
        await self._host.publish(MACRO, topic, payload, qos=qos, retain=given.retain)

    def _qos(self, asked: int | None) -> int:
        return self.bus.mqtt.default_qos if asked is None else asked


@asynccontextmanager
async def _within(seconds: float | None, otherwise: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Timeout(f"{otherwise} within {seconds:g} s") from None
