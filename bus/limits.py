"""The bounds a broker puts on its clients; each refusal or cut they cause shows in `bus.counters`."""

from pydantic import BaseModel, ConfigDict, Field

KIB = 1024
MIB = 1024 * KIB


class Limits(BaseModel):
    """The `limits` section of `broker.yaml`; local sessions are exempt from the sizes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: int = Field(2000, ge=1, description="open sockets at once")
    connections_per_address: int = Field(1000, ge=1, description="open sockets at once from one host")
    silent_per_address: int = Field(100, ge=1, description="sockets of one host without a CONNECT; the oldest is cut")
    first_packet_seconds: float = Field(5.0, gt=0, description="until the whole CONNECT has arrived")
    first_packet_bytes: int = Field(64 * KIB, ge=128, description="size of a CONNECT")
    packet_bytes: int = Field(MIB, ge=KIB, le=268_435_455, description="size of any other packet")
    client_id_bytes: int = Field(256, ge=23, le=65_535, description="length of a client id")
    inflight: int = Field(100, ge=1, le=65_535, description="unacknowledged QoS 1 and 2 messages per client")
    inflight_bytes: int = Field(256 * KIB, ge=1, description="bytes of them, from which on further ones wait")
    queued_bytes: int = Field(4 * MIB, ge=64 * KIB, description="unsent bytes for a slow reader, which is then cut")
    offline_messages: int = Field(10_000, ge=0, description="queued QoS 1 and 2 messages per session")
    offline_bytes: int = Field(8 * MIB, ge=0, description="queued QoS 1 and 2 bytes per session")
    offline_bytes_total: int = Field(64 * MIB, ge=0, description="queued QoS 1 and 2 bytes of all sessions together")
    offline_sessions: int = Field(1000, ge=0, description="persistent sessions without a connection")
    offline_seconds: float = Field(7 * 86_400.0, gt=0, description="until a session without a connection is forgotten")
    retained_bytes: int = Field(4 * MIB, ge=0, description="retained topics and payloads per client")
    retained_bytes_total: int = Field(64 * MIB, ge=0, description="retained topics and payloads of all socket clients")
    topic_levels: int = Field(32, ge=4, description="levels of a topic or filter")
    topic_bytes: int = Field(1024, ge=64, le=65_535, description="length of a topic or filter")
    filters: int = Field(1000, ge=1, description="subscriptions per client")
