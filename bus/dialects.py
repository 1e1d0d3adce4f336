"""What sets the brokers that people already have apart: characters they cannot carry, and what else they cannot do."""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["printbus", "mosquitto", "emqx", "rabbitmq", "nats", "other"]

NO_VERSION_5 = "MQTT 5: requests cannot name a response topic or carry correlation data"
NO_SHARE = "$share: the filter is taken literally and gets nothing"
NO_WILDCARD_REPLAY = (
    "retained messages for filters with wildcards: a new subscriber asks for the state on {instance}/uplink/resend"
)
NO_QOS_2 = "QoS 2: a message of QoS 2 is delivered with less, or ends the connection"
LONGEST_TOPIC = 65_535
LONGEST_KEY = 255
"""Bytes of an AMQP routing key, which RabbitMQ makes of a topic (AMQP 0-9-1 section 1.1, short strings)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of broker; `unsafe` are characters that it changes or refuses, which travel percent-encoded."""

    kind: Kind
    cannot: tuple[str, ...] = ()
    unsafe: str = ""
    topic_bytes: int = LONGEST_TOPIC

    def encode(self, topic: str) -> str | None:
        """The topic's name on this broker; None for one that it cannot carry."""
        if _CONTROL.search(topic):
            return None
        for character in f"%{self.unsafe}" if self.unsafe else "":
            topic = topic.replace(character, _code(character))
        return topic if len(topic.encode()) <= self.topic_bytes else None

    def decode(self, topic: str) -> str:
        """The name that `encode` was given; escapes that it does not make, such as that of '/', stay as they are."""
        for character in f"{self.unsafe}%" if self.unsafe else "":
            topic = topic.replace(_code(character), character)
        return topic


def _code(character: str) -> str:
    return f"%{ord(character):02X}"


_ENCODED = "the characters {} in topics: they are percent-encoded there, and so is '%'"
PLAIN = Dialect("other")
DIALECTS: dict[Kind, Dialect] = {
    each.kind: each
    for each in (
        PLAIN,
        Dialect("printbus", (NO_VERSION_5, "$share: such a subscription is refused")),
        Dialect("mosquitto"),
        Dialect("emqx"),
        Dialect(
            "rabbitmq",
            (
                _ENCODED.format("'.' and '*'"),
                f"topics of more than {LONGEST_KEY} bytes: they are left out",
                NO_WILDCARD_REPLAY,
                NO_QOS_2,
                NO_SHARE,
                f"{NO_VERSION_5} (before 3.13)",
            ),
            unsafe=".*",
            topic_bytes=LONGEST_KEY,
        ),
        Dialect(
            "nats",
            (_ENCODED.format("'.', ' ', '*' and '>'"), NO_QOS_2, NO_SHARE, NO_VERSION_5),
            unsafe=". *>",
        ),
    )
}


def named_by(version: str) -> Kind | None:
    """The kind of a broker by what it says on `$SYS/broker/version`, which mosquitto and those like it have."""
    return next((kind for kind in DIALECTS if version.lower().startswith(kind)), None)
