"""The broker for those who are not on it: publishing a message, and waiting for one."""

from typing import Annotated, Any

from pydantic import Field

from .base import CHANGES, Bool, Float, Int, Method, Model, Params, Permission

OWNER = "mqttgate"
YEAR = 31_536_000.0  # seconds

Qos = Annotated[Int, Field(ge=0, le=2)]
Seconds = Annotated[Float, Field(gt=0, le=YEAR)]


class TopicParams(Params):
    """A topic of this broker, or of one that is joined."""

    topic: str = Field(min_length=1, description="Without wildcards.")
    qos: Qos | None = Field(None, description="From 0 to 2; by default the configured one, `mqtt.default_qos`.")
    timeout: Seconds | None = Field(None, description="Seconds; without it there is no end to waiting.")
    uplink: str | None = Field(None, description="The name of an uplink: its broker instead of this one.")


class PublishParams(TopicParams):
    """A message; the timeout is for the broker's acknowledgement, so it counts with QoS 1 and 2."""

    payload: Any = Field(None, description="Text as it is, JSON for everything else, null for an empty message.")
    retain: Bool = Field(False, description="Whether the broker keeps it; an empty one clears the topic.")


class Topic(Model):
    """Where it was published."""

    topic: str


class Received(Model):
    """A message."""

    topic: str
    payload: Any = Field(description="Parsed where it is JSON, else text; null where it is empty.")


class MacroParams(Params):
    """What a gcode macro gives to `publish_mqtt_topic`."""

    topic: str = Field(min_length=1)
    payload: Any = None
    qos: Qos | None = None
    retain: Bool = False
    use_prefix: Bool = Field(False, description="Whether the topic is below the instance's name.")


PUBLISH = Method(
    "server.mqtt.publish",
    PublishParams,
    Topic,
    OWNER,
    Permission.CONTROL,
    ("POST /server/mqtt/publish",),
    deadline=None,
    flags=CHANGES,
    summary="Publishes a message with the caller's rights on the broker.",
)
SUBSCRIBE = Method(
    "server.mqtt.subscribe",
    TopicParams,
    Received,
    OWNER,
    Permission.READ,
    ("POST /server/mqtt/subscribe",),
    deadline=None,
    summary="Answers what is retained on a topic, or else the next message there.",
)
